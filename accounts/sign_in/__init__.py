"""How people come in: password, passkey, second factor, single sign-on; and the pages on which they see to it.

django-allauth does the work. What is here says what is different in Pharos, and how it looks.
"""
