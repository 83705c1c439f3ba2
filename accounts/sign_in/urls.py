"""Addresses of sign-in and of "Your account". Names with an underscore are those under which allauth looks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse
from django.urls import path

from accounts.sign_in import entrance

View = Callable[..., HttpResponse]


def later(name: str) -> View:
    """A view of `accounts.sign_in.pages`, which is imported when it is first asked for."""

    def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        from accounts.sign_in import pages

        found: Any = getattr(pages, name)
        answer: HttpResponse = (found.as_view() if hasattr(found, "as_view") else found)(request, **kwargs)
        return answer

    return view


urlpatterns = [
    path("login/", entrance.SignIn.as_view(), name="login"),
    path("login/", entrance.SignIn.as_view(), name="account_login"),
    path("login/code/", later("SecondStep"), name="mfa_authenticate"),
    path("login/passkey/", later("ByPasskey"), name="mfa_login_webauthn"),
    path("login/sso/", entrance.single_sign_on, name="sso"),
    path("login/sso/callback/", entrance.sso_callback, name="sso-callback"),
    path("login/sso/answer/", entrance.sso_answer, name="sso-answer"),
    path("login/sso/metadata/", entrance.sso_metadata, name="sso-metadata"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/", later("account"), name="account"),
    path("account/", later("account"), name="mfa_index"),
    path("account/sessions/end/", later("sign_out_others"), name="account-end-sessions"),
    path("account/sessions/<int:pk>/end/", later("sign_out_one"), name="account-end-session"),
    path("account/sso/", later("join"), name="account-sso"),
    path("account/password/", later("ChangePassword"), name="account_change_password"),
    path("account/confirm/", later("Confirm"), name="account_reauthenticate"),
    path("account/confirm/code/", later("ConfirmByCode"), name="mfa_reauthenticate"),
    path("account/confirm/passkey/", later("ConfirmByPasskey"), name="mfa_reauthenticate_webauthn"),
    path("account/app/", later("AddApp"), name="mfa_activate_totp"),
    path("account/app/remove/", later("RemoveApp"), name="mfa_deactivate_totp"),
    path("account/passkeys/add/", later("AddPasskey"), name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/", later("RenamePasskey"), name="mfa_edit_webauthn"),
    path("account/passkeys/<int:pk>/remove/", later("RemovePasskey"), name="mfa_remove_webauthn"),
    path("account/codes/", later("Codes"), name="mfa_view_recovery_codes"),
    path("account/codes/new/", later("NewCodes"), name="mfa_generate_recovery_codes"),
]
