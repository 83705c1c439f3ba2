"""Addresses of sign-in and of "Your account". Names with an underscore are those under which allauth looks for them."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from accounts.sign_in import pages

urlpatterns = [
    path("login/", pages.SignIn.as_view(), name="login"),
    path("login/", pages.SignIn.as_view(), name="account_login"),
    path("login/code/", pages.SecondStep.as_view(), name="mfa_authenticate"),
    path("login/passkey/", pages.ByPasskey.as_view(), name="mfa_login_webauthn"),
    path("login/sso/", pages.single_sign_on, name="sso"),
    path("login/sso/callback/", pages.sso_callback, name="sso-callback"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/login/", pages.admin_login),
    path("account/", pages.account, name="account"),
    path("account/", pages.account, name="mfa_index"),
    path("account/sessions/end/", pages.sign_out_others, name="account-end-sessions"),
    path("account/sso/", pages.join, name="account-sso"),
    path("account/password/", pages.ChangePassword.as_view(), name="account_change_password"),
    path("account/confirm/", pages.Confirm.as_view(), name="account_reauthenticate"),
    path("account/confirm/code/", pages.ConfirmByCode.as_view(), name="mfa_reauthenticate"),
    path("account/confirm/passkey/", pages.ConfirmByPasskey.as_view(), name="mfa_reauthenticate_webauthn"),
    path("account/app/", pages.AddApp.as_view(), name="mfa_activate_totp"),
    path("account/app/remove/", pages.RemoveApp.as_view(), name="mfa_deactivate_totp"),
    path("account/passkeys/add/", pages.AddPasskey.as_view(), name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/", pages.RenamePasskey.as_view(), name="mfa_edit_webauthn"),
    path("account/passkeys/<int:pk>/remove/", pages.RemovePasskey.as_view(), name="mfa_remove_webauthn"),
    path("account/codes/", pages.Codes.as_view(), name="mfa_view_recovery_codes"),
    path("account/codes/new/", pages.NewCodes.as_view(), name="mfa_generate_recovery_codes"),
]
