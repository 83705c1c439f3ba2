"""Sign-ins as log lines: who came in, who did not."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from core.meters import Counter

log = logging.getLogger("accounts.sign_in")

SIGN_INS = Counter("pharos_sign_ins", "Sign-ins.", "outcome")


def _client(request: HttpRequest | None) -> str:
    return request.META.get("REMOTE_ADDR", "") if request else ""


@receiver(user_logged_in)
def signed_in(request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    SIGN_INS.add(1, "ok")
    log.info("%s signed in", user.get_username(), extra={"user": user.get_username(), "client": _client(request)})


@receiver(user_logged_out)
def signed_out(request: HttpRequest, user: AbstractBaseUser | None, **_: Any) -> None:
    if user:
        log.info("%s signed out", user.get_username(), extra={"user": user.get_username()})


@receiver(user_login_failed)
def refused(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    name = str(credentials.get("username", ""))[:150]
    SIGN_INS.add(1, "failed")
    log.warning("Sign-in as %s failed", name, extra={"user": name, "client": _client(request)})
