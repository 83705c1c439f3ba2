"""The pages: allauth's views in Pharos' shell. The addresses are in `accounts.sign_in.urls`."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from allauth.account.forms import LoginForm
from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from allauth.account.views import LoginView, PasswordChangeView, ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as ReauthenticateByCodeView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    EditWebAuthnView,
    LoginWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.internal.flows.sessions import end_other_sessions
from allauth.usersessions.models import UserSession
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from unfold.widgets import BASE_INPUT_CLASSES

from accounts.sign_in.adapters import turned_away
from core.pages import shell

log = logging.getLogger("accounts.sign_in")

# Where the session says that its user wants to join the account with the provider's, and until when (Unix time).
JOINING: Final = "sso_joining_until"


class InOurShell:
    """A view of allauth's with our template, in our look."""

    title: Any
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)  # type: ignore[misc]
        for value in found.values():
            if isinstance(value, forms.BaseForm):
                _dress(value)
        return shell(self.request, str(self.title), **found) | {"site_url": ""}  # there is no site to return to


def _dress(form: forms.BaseForm) -> None:
    for field in form.fields.values():
        if not isinstance(field.widget, forms.CheckboxInput | forms.HiddenInput):
            field.widget.attrs["class"] = " ".join(BASE_INPUT_CLASSES)
            field.widget.attrs.pop("placeholder", None)  # it says what the label says


# --- Coming in ------------------------------------------------------------------------------------------------------


class SignInForm(LoginForm):
    def add_prefix(self, field_name: str) -> str:
        # As Django and browsers know it.
        return str(super().add_prefix("username" if field_name == "login" else field_name))


class SignIn(InOurShell, LoginView):
    """`/login/`"""

    title = _("Log in")
    form_class = SignInForm
    template_name = "registration/login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        single = bool(settings.OIDC_URL)
        # With single sign-on alone the form is one click away: for the day when the provider is down.
        emergency = settings.OIDC_ONLY and not (self.request.method == "POST" or "password" in self.request.GET)
        return super().get_context_data(**kwargs) | {
            "single": settings.OIDC_NAME if single else "",
            "sso_url": self.passthrough_next_url(reverse("sso")),
            "by_password": not emergency,
        }


class SecondStep(InOurShell, AuthenticateView):
    """`/login/code/`"""

    title = _("Second factor")
    template_name = "accounts/second_step.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        types = set(self.stage.login.user.authenticator_set.values_list("type", flat=True))
        return found | {"has_passkey": "webauthn" in types, "has_code": types != {"webauthn"}}


class ByPasskey(LoginWebAuthnView):
    """`/login/passkey/`: a script asks for a challenge and sends back what the device signed."""


def too_many(request: HttpRequest) -> HttpResponse:
    """429 of the pages whose limit is allauth's; all of these count for a minute."""
    title = gettext("Too many attempts")
    answer = render(request, "accounts/too_many.html", shell(request, title, site_url=""), status=429)
    answer["Retry-After"] = "60"
    return answer


def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin's own page of that kind would ask for nothing but the password."""
    if request.user.is_authenticated:  # and may not enter: to sign in once more would lead in a circle
        return render(request, "accounts/no_admin.html", shell(request, gettext("Not allowed")), status=403)
    answer = redirect("login")
    answer["Location"] += f"?{request.GET.urlencode()}" if request.GET else ""
    return answer


@require_safe
@never_cache
def single_sign_on(request: HttpRequest) -> HttpResponse:
    """`/login/sso/`: off to the provider. To join an account only for who has just asked for it on our page."""
    if not settings.OIDC_URL:
        raise Http404
    joining = request.GET.get("process", "login") != "login"
    if joining and time.time() > request.session.pop(JOINING, 0):
        return redirect("account-sso")
    return _with_provider(request, "start")


@require_safe
@never_cache
def sso_callback(request: HttpRequest) -> HttpResponse:
    """`/login/sso/callback/`: back from the provider."""
    if not settings.OIDC_URL:
        raise Http404
    return _with_provider(request, "callback")


def _with_provider(request: HttpRequest, verb: str) -> HttpResponse:
    from accounts.sign_in import provider  # megabytes that nobody needs without single sign-on

    try:
        answer: HttpResponse = getattr(provider, verb)(request)
    except provider.ProviderError as error:
        log.warning("Sign-in with %s failed: %s", settings.OIDC_NAME, error, extra={"provider": settings.OIDC_URL})
        sentence = gettext("%(provider)s does not answer as it should. Try again; the log says why.")
        return turned_away(request, "", sentence % {"provider": settings.OIDC_NAME})
    return answer


# --- Your account ---------------------------------------------------------------------------------------------------


@login_required
@require_safe
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    """`/account/`"""
    user = request.user
    factors = list(Authenticator.objects.filter(user_id=user.pk).order_by("created_at"))
    codes = next((each.wrap() for each in factors if each.type == Authenticator.Type.RECOVERY_CODES), None)
    sessions = sorted(UserSession.objects.purge_and_list(user), key=lambda each: each.created_at, reverse=True)
    return render(
        request,
        "accounts/account.html",
        shell(
            request,
            gettext("Your account"),
            app=next((each for each in factors if each.type == Authenticator.Type.TOTP), None),
            passkeys=[each.wrap() for each in factors if each.type == Authenticator.Type.WEBAUTHN],
            codes_left=len(codes.get_unused_codes()) if codes else None,
            sessions=sessions,
            joined=SocialAccount.objects.filter(user_id=user.pk).first(),
            single=settings.OIDC_NAME if settings.OIDC_URL else "",
            roles=user.groups.order_by("name"),
            must_have=settings.REQUIRE_MFA,
        ),
    )


@login_required
@require_POST
def sign_out_others(request: HttpRequest) -> HttpResponse:
    end_other_sessions(request, request.user)
    messages.success(request, gettext("Your other sessions are signed out."))
    return redirect("account")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def join(request: HttpRequest) -> HttpResponse:
    """`/account/sso/`: lets the person of this account come in through the provider from now on.

    The way to the provider is a link on the answer, not a redirect: a content policy lets forms lead to us alone.
    """
    if not settings.OIDC_URL:
        raise Http404
    raise_if_reauthentication_required(request, app="allauth.socialaccount")
    if request.method == "POST":
        request.session[JOINING] = time.time() + 300
    title = gettext("Single sign-on")
    context = shell(request, title, single=settings.OIDC_NAME, asked=request.method == "POST")
    return render(request, "accounts/join.html", context)


class Confirm(InOurShell, ReauthenticateView):
    """Asks again who it is, before something that keeps others out is changed."""

    title = _("Is it you?")
    template_name = "accounts/confirm.html"


class ConfirmByCode(InOurShell, ReauthenticateByCodeView):
    title = _("Is it you?")
    template_name = "accounts/confirm.html"


class ConfirmByPasskey(InOurShell, ReauthenticateWebAuthnView):
    title = _("Is it you?")
    template_name = "accounts/confirm.html"


class ChangePassword(InOurShell, PasswordChangeView):
    title = _("Change password")
    template_name = "accounts/change.html"
    success_url = reverse_lazy("account")


class AddApp(InOurShell, ActivateTOTPView):
    title = _("Set up an authenticator app")
    template_name = "accounts/add_app.html"


class RemoveApp(InOurShell, DeactivateTOTPView):
    title = _("Remove the authenticator app")
    template_name = "accounts/change.html"
    extra_context = {
        "says": _("Codes of the app are not asked for any more. Its entry in the app can then be deleted."),
        "verb": _("Remove it"),
    }


class AddPasskey(InOurShell, AddWebAuthnView):
    title = _("Add a passkey")
    template_name = "accounts/add_passkey.html"


class RenamePasskey(InOurShell, EditWebAuthnView):
    title = _("Rename the passkey")
    template_name = "accounts/change.html"
    success_url = reverse_lazy("account")


class RemovePasskey(InOurShell, RemoveWebAuthnView):
    title = _("Remove the passkey")
    template_name = "accounts/change.html"
    success_url = reverse_lazy("account")
    extra_context = {
        "says": _("Nobody can sign in with it any more."),
        "verb": _("Remove it"),
    }


class Codes(InOurShell, ViewRecoveryCodesView):
    """They are shown once, right after they were made."""

    title = _("Recovery codes")
    template_name = "accounts/codes.html"


class NewCodes(InOurShell, GenerateRecoveryCodesView):
    title = _("New recovery codes")
    template_name = "accounts/change.html"
    extra_context = {
        "says": _("You get ten new codes. Those that you have now become void."),
        "verb": _("Make new codes"),
    }
