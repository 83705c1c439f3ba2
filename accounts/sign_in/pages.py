"""The second step, and "Your account": allauth's views in Pharos' shell.

Imported when one of them is first asked for: what passkeys need takes 9 MB.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from allauth.account.views import PasswordChangeView, ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as ReauthenticateByCodeView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.signals import authentication_failed, authenticator_added, authenticator_removed
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    EditWebAuthnView,
    LoginWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.internal.flows.sessions import end_other_sessions, end_sessions
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.sign_in import device
from accounts.sign_in.entrance import JOINING, InOurShell
from core.pages import shell

log = logging.getLogger("accounts.sign_in")

# --- The second step -----------------------------------------------------------------------------------------------


class SecondStep(InOurShell, AuthenticateView):
    """`/login/code/`"""

    title = _("Second factor")
    template_name = "accounts/second_step.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        types = set(self.stage.login.user.authenticator_set.values_list("type", flat=True))
        return found | {"has_passkey": "webauthn" in types, "has_code": types != {"webauthn"}}


@receiver(authentication_failed)
def refused(request: HttpRequest, user: Any, **_: Any) -> None:
    name, client = user.get_username(), request.META.get("REMOTE_ADDR", "")
    log.warning("The second factor of %s was wrong", name, extra={"user": name, "client": client})


class ByPasskey(LoginWebAuthnView):
    """`/login/passkey/`: a script asks for a challenge and sends back what the device signed."""


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
            sessions=[(session, device.named(session.user_agent or "")) for session in sessions],
            joined=SocialAccount.objects.filter(user_id=user.pk).first(),
            single=settings.SSO_NAME if settings.SSO else "",
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
@require_POST
def sign_out_one(request: HttpRequest, pk: int) -> HttpResponse:
    """`/account/sessions/<pk>/end/`; that of this request, too."""
    session = get_object_or_404(UserSession, pk=pk, user_id=request.user.pk)
    end_sessions(request, [session])
    messages.success(request, gettext("The session is signed out."))
    return redirect("account" if request.user.is_authenticated else "login")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def join(request: HttpRequest) -> HttpResponse:
    """`/account/sso/`: lets the person of this account come in through the provider from now on.

    The way to the provider is a link on the answer, not a redirect: a content policy lets forms lead to us alone.
    """
    if not settings.SSO:
        raise Http404
    raise_if_reauthentication_required(request, app="allauth.socialaccount")
    if request.method == "POST":
        request.session[JOINING] = time.time() + 300
    title = gettext("Single sign-on")
    context = shell(request, title, single=settings.SSO_NAME, asked=request.method == "POST")
    return render(request, "accounts/join.html", context)


@receiver(authenticator_added)
def added(user: Any, authenticator: Any, **_: Any) -> None:
    name = user.get_username()
    log.info("%s added a second factor: %s", name, authenticator.type, extra={"user": name})


@receiver(authenticator_removed)
def removed(user: Any, authenticator: Any, **_: Any) -> None:
    name = user.get_username()
    log.warning("%s removed a second factor: %s", name, authenticator.type, extra={"user": name})


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

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated and not request.user.has_usable_password():
            return redirect("account")  # which says that there is none
        answer: HttpResponse = super().dispatch(request, *args, **kwargs)
        return answer


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
