"""What django-allauth asks of a project: see its `DefaultAccountAdapter` and `DefaultMFAAdapter`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Final

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.trail import recording
from core import secrets

log = logging.getLogger("accounts.sign_in")

ENDED: Final = "sessions_ended"
PLACES_MAX: Final = 500  # characters

# allauth's name of a message, and what we say.
SENTENCES: Final = {
    "account/messages/password_changed.txt": _("Your password is changed. Your other sessions are signed out."),
    "mfa/messages/totp_activated.txt": _("From now on a code of your app is asked for when you sign in."),
    "mfa/messages/totp_deactivated.txt": _("The app's codes are not asked for any more."),
    "mfa/messages/recovery_codes_generated.txt": _("New recovery codes are made. Earlier ones are void."),
    "mfa/messages/webauthn_added.txt": _("The passkey is added."),
    "mfa/messages/webauthn_removed.txt": _("The passkey is removed. Delete it on your device, too."),
    "socialaccount/messages/account_connected.txt": _("The accounts are joined. Sign in with either from now on."),
    "socialaccount/messages/account_connected_updated.txt": _("The accounts were joined already."),
    "socialaccount/messages/account_connected_other.txt": _("The provider's account belongs to another user here."),
}


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _(
            "Please enter a correct username and password. Note that both fields may be case-sensitive."
        ),
        "too_many_login_attempts": _("Too many failed attempts. Try again in five minutes."),
        "rate_limited": _("Too many failed attempts. Try again in five minutes."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        # Whoever comes over a unix socket has none, and is on this machine.
        return str(request.META.get("REMOTE_ADDR") or "127.0.0.1")

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return resolve_url("account")

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        return turned_away(request, user.get_username(), gettext("This account is not active."))

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        answer: HttpResponse | None = super().pre_login(request, user, **kwargs)
        if answer:
            return answer
        alone = settings.SSO_ONLY and "sociallogin" not in (kwargs["signal_kwargs"] or {})
        if alone and not user.is_superuser:
            sentence = gettext("Passwords and passkeys are for emergencies here. Sign in with %(name)s.")
            return turned_away(request, user.get_username(), sentence % {"name": settings.SSO_NAME})
        return None

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError as error:
            sentence = gettext("Too many failed attempts. Try again in %(time)s.")
            name = self._get_login_attempts_cache_key(request, **credentials)
            wait = waiting_time(request, name)
            client = self.get_client_ip(request)
            log.warning("Sign-in as %s was held up: too many failed", name, extra={"user": name, "client": client})
            raise ValidationError(sentence % {"time": spoken(wait)}, code=error.code) from None

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        # Not with the site's name before it, as allauth has it: the host is the client's to choose.
        return str(credentials.get("username", "")).lower()[:150]

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        message_context: dict[str, Any] | None = None,
        extra_tags: str = "",
        message: str | None = None,
    ) -> None:
        if sentence := message or SENTENCES.get(message_template or ""):
            messages.add_message(request, level, sentence, extra_tags=extra_tags)


def turned_away(request: HttpRequest, username: str, sentence: str) -> HttpResponse:
    """Back to the sign-in page, which says why."""
    user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)
    messages.error(request, sentence)
    return redirect("login")


def waiting_time(request: HttpRequest, key: str) -> float:
    """Seconds until somebody who failed too often may try again."""
    waits = [0.0]
    for rate in ratelimit.get_rates(app="allauth.account", action="login_failed"):
        place = ratelimit.get_cache_key(request, app="allauth.account", action="login_failed", rate=rate, key=key)
        times = cache.get(place, [])  # newest first
        if len(times) >= rate.amount:
            waits.append(times[-1] + rate.duration - time.time())
    return max(waits)


def spoken(seconds: float) -> str:
    """Rounded up, so that whoever comes back then isn't too early."""
    whole = max(math.ceil(seconds), 1)
    if whole <= 60:
        return ngettext("%(n)d second", "%(n)d seconds", whole) % {"n": whole}
    minutes = math.ceil(whole / 60)
    return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}


class SecondFactor(DefaultMFAAdapter):
    """Keeps the apps' secrets as `core.secrets` keeps all others."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("This is not right, or was used already. Codes of an app change every half minute."),
    }

    def encrypt(self, text: str) -> str:
        return secrets.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return secrets.decrypt(encrypted_text)
        except secrets.SecretError:
            raise ValidationError(
                gettext(
                    "Your second factor can't be read: PHAROS_SECRET_KEY has changed. Use a passkey, or ask an "
                    "administrator to remove the second factor of your account."
                )
            ) from None

    def generate_authenticator_name(self, user: Any, type: Any) -> str:  # noqa: A002 - allauth's name
        number = len(user.authenticator_set.filter(type=type)) + 1
        return gettext("Passkey") if number == 1 else gettext("Passkey %(n)d") % {"n": number}


class Sessions(DefaultUserSessionsAdapter):
    """Whoever ends sessions leaves an entry in the audit trail."""

    def end_sessions(self, sessions: Sequence[Any]) -> None:
        if sessions:
            places = ", ".join(sorted({session.ip for session in sessions}))[:PLACES_MAX]
            recording.event(ENDED, sessions[0].user, sessions=len(sessions), signed_in_from=places)
        super().end_sessions(sessions)


def has_second_factor(user: User) -> bool:
    from allauth.mfa.models import Authenticator

    types = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=types).exists())
