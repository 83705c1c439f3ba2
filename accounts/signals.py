"""Sign-ins as log lines and in the audit trail: who came in, who did not, and what is odd about it.

Alert rules can match the lines of the logger `accounts.sign_in`; docs/audit-trail.md lists them.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

from auditlog.models import LogEntry
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.acting import PAGE, Actor, acting, known_address
from accounts.trail import recording
from core.meters import Counter

log = logging.getLogger("accounts.sign_in")

SIGN_INS = Counter("pharos_sign_ins", "Sign-ins.", "outcome")
SIGN_IN: Final = "sign_in"
SIGN_OUT: Final = "sign_out"
FAILED: Final = "sign_in_failed"
WITHIN: Final = timedelta(minutes=10)
MANY: Final = 5  # failures for a name or from an address, within that time, are worth a warning of their own
RECORDED_MAX: Final = 20  # failures for a name or from an address that are entries of the trail, within that time …
RECORDED_ALL: Final = 200  # … and of all together: whoever tries a million passwords shall not fill the database
NAME_MAX: Final = 150
NAMES: Final = ("username", "email", "login")


def _actor(request: HttpRequest | None, user: AbstractBaseUser | None = None) -> Actor:
    address = known_address(request.META.get("REMOTE_ADDR", "")) if request else ""
    return Actor(PAGE, user.get_username() if user else "", address, user)


@receiver(user_logged_in)
def signed_in(request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    SIGN_INS.add(1, "ok")
    actor = _actor(request, user)
    log.info("%s signed in", actor.by, extra={"user": actor.by, "client": actor.address})
    if actor.address and _is_strange(user, actor.address):
        log.warning(
            "%s signed in from %s, where this user never signed in before", actor.by, actor.address,
            extra={"user": actor.by, "client": actor.address, "event": "new_address"},
        )  # fmt: skip
    with acting(actor):
        recording.event(SIGN_IN, user)


def _is_strange(user: AbstractBaseUser, address: str) -> bool:
    """The first sign-in of all is not: every address is new to a new user."""
    before = LogEntry.objects.get_for_object(user).filter(additional_data__event=SIGN_IN).order_by()
    return before.exists() and not before.filter(remote_addr=address).exists()


@receiver(user_logged_out)
def signed_out(request: HttpRequest, user: AbstractBaseUser | None, **_: Any) -> None:
    if user:
        actor = _actor(request, user)
        log.info("%s signed out", actor.by, extra={"user": actor.by})
        with acting(actor):
            recording.event(SIGN_OUT, user)


@receiver(user_login_failed)
def refused(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    given = next((credentials[name] for name in NAMES if credentials.get(name)), "")
    name = str(given).replace("\0", "")[:NAME_MAX]
    actor = _actor(request)
    SIGN_INS.add(1, "failed")
    log.warning("Sign-in as %s failed", name, extra={"user": name, "client": actor.address})
    recent = LogEntry.objects.filter(timestamp__gt=timezone.now() - WITHIN, additional_data__event=FAILED).order_by()
    of_name = recent.filter(object_repr=name)
    of_address = recent.filter(remote_addr=actor.address or None)
    counted = _counted(of_name), _counted(of_address)
    if max(counted) < RECORDED_MAX and recent.count() < RECORDED_ALL:
        with acting(actor):
            recording.event(FAILED, User, name)
    if counted[0] + 1 == MANY:
        log.warning(
            "%d sign-ins as %s failed within 10 minutes", MANY, name,
            extra={"user": name, "client": actor.address, "event": "many_failures"},
        )  # fmt: skip
    if actor.address and counted[1] + 1 == MANY:
        log.warning(
            "%d sign-ins from %s failed within 10 minutes", MANY, actor.address,
            extra={"user": name, "client": actor.address, "event": "many_failures"},
        )  # fmt: skip


def _counted(rows: QuerySet[LogEntry]) -> int:
    return len(rows.values_list("pk")[:RECORDED_MAX])
