"""Single sign-on with SAML 2.0: the Web Browser SSO profile, asked for by redirect and answered by POST.

Imported at the first sign-in through it: what reads and checks XML takes 8 MB. How an answer is checked is in
`accounts.sign_in.saml.answers`, and why in docs/adr/0017-sign-in.md.
"""
