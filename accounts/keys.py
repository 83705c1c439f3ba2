"""The verbs of API keys: make one, rotate one, revoke one, find the one that a request brings."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiKey, OldSecret, Scope, Secret, valid_scopes
from accounts.names import Names, valid_patterns

log = logging.getLogger(__name__)

MARK: Final = "pharos_"
KNOWN_FOR: Final = 10.0  # seconds: how long a revoked key may still work in a process that has seen it
KNOWN_MAX: Final = 10_000
USED_EVERY: Final = timedelta(minutes=1)
WARNED_BEFORE: Final = timedelta(days=7)
UNKNOWN: Final = "the API key is unknown or revoked"


class Access(msgspec.Struct, frozen=True):
    """What a valid key allows."""

    key_id: int
    name: str
    scopes: frozenset[str]
    services: Names = Names()  # none: all
    only_service: str = ""  # the one that it is for, if there are not several

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class _Known(msgspec.Struct, frozen=True):
    access: Access | None
    why: str = ""  # it is refused


def create(
    name: str, scopes: Iterable[str], secret: str | None = None, services: Iterable[str] = ()
) -> tuple[ApiKey, str]:
    """A new key and its plain text, which can't be had again. Raises ValidationError for unknown scopes.

    `secret` is for a key that was agreed on elsewhere (PHAROS_API_KEY).
    """
    wanted, limited_to = list(scopes), list(services)
    valid_scopes(wanted)
    valid_patterns(limited_to)
    plain = secret or _new_secret()
    if len(plain) < 8:
        raise ValidationError("An API key must have at least 8 characters.")
    key = ApiKey.objects.create(
        name=name, scopes=wanted, services=limited_to, prefix=_shown_of(plain), hash=_hash(plain)
    )
    return key, plain


def rotate(key: ApiKey, grace: timedelta, now: datetime | None = None) -> str:
    """A new secret for the key, as plain text, which can't be had again. The one it had works on for `grace`."""
    now, plain = now or timezone.now(), _new_secret()
    with transaction.atomic():
        held = ApiKey.objects.select_for_update().get(pk=key.pk)
        old = {field.name: getattr(held, field.name) for field in Secret._meta.fields}
        held.hash, held.prefix, held.last_used_at, held.last_used_from = _hash(plain), _shown_of(plain), None, ""
        held.save(update_fields=["hash", "prefix", "last_used_at", "last_used_from"])
        held.old_secrets.filter(works_until__lte=now).delete()
        if grace > timedelta(0):
            OldSecret.objects.create(key=held, works_until=now + grace, **old)
    _known.pop(old["hash"], None)
    key.refresh_from_db()
    return plain


def forget(old: OldSecret) -> None:
    """Ends the time of an old secret now."""
    old.delete()
    _known.pop(old.hash, None)


def revoke(key: ApiKey) -> None:
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
    for digest in [key.hash, *key.old_secrets.values_list("hash", flat=True)]:
        _known.pop(digest, None)


def given(authorization: str, headers: Mapping[str, str] = {}) -> str:
    """The key in a request: `Authorization: Bearer …`, the password of basic authentication, or `X-API-Key`."""
    kind, _, value = authorization.strip().partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return headers.get("x-api-key", "").strip()


def find(plain: str, client: str = "") -> Access | None:
    """What the key allows; None if it may not be used: `why_refused` says why. Remembers answers for some seconds.

    `client` is the address that it comes from, for the record.
    """
    return _find(plain, client).access


def why_refused(plain: str) -> str:
    """The reason, for the sender, why `find` has nothing for this key."""
    return _find(plain, "").why or UNKNOWN


def _find(plain: str, client: str) -> _Known:
    digest = _hash(plain)
    now = time.monotonic()
    known, until = _known.get(digest, (_NOBODY, 0.0))
    if until > now:
        return known
    try:
        known = _look_up(digest, client)
    except DatabaseError:
        # Whoever could send a moment ago still can while the database is away: the lines wait in Redis.
        if digest not in _known:
            raise
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known[digest] = (known, now + KNOWN_FOR)
    return known


def known(plain: str) -> tuple[bool, Access | None]:
    """Whether the answer of `find` is at hand without a query, and the answer."""
    found, until = _known.get(_hash(plain), (_NOBODY, 0.0))
    return until > time.monotonic(), found.access


_NOBODY: Final = _Known(None, UNKNOWN)
_known: dict[str, tuple[_Known, float]] = {}


def _new_secret() -> str:
    return MARK + secrets.token_urlsafe(30)


def _shown_of(plain: str) -> str:
    return plain[: len(MARK) + 4 if plain.startswith(MARK) else 3]


def _hash(plain: str) -> str:
    # Keys are long random texts: a slow password hash would add nothing but time to each request.
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _look_up(digest: str, client: str) -> _Known:
    now = timezone.now()
    secret: ApiKey | OldSecret | None = ApiKey.objects.filter(hash=digest).first()
    if secret is None:
        secret = OldSecret.objects.filter(hash=digest).select_related("key").first()
    if secret is None:
        return _NOBODY
    key = secret.key if isinstance(secret, OldSecret) else secret
    if why := _why_over(key, secret, now):
        return _Known(None, why)
    if secret.last_used_at is None or now - secret.last_used_at > USED_EVERY:
        used = type(secret)._default_manager.filter(pk=secret.pk)
        used.update(last_used_at=now, **({"last_used_from": client[:64]} if client else {}))
    only = key.services[0] if len(key.services) == 1 and not key.services[0].endswith("*") else ""
    return _Known(Access(key.pk, key.name, frozenset(key.scopes), Names.of(key.services), only))


def _why_over(key: ApiKey, secret: ApiKey | OldSecret, now: datetime) -> str:
    """Whoever asks has the key: its name and dates are no secret to him."""
    if key.revoked_at is not None:
        return UNKNOWN
    if key.has_expired(now):
        return f"the API key {key.name!r} expired, its last day was {key.expires_on}; ask for a later date or a new key"
    if isinstance(secret, OldSecret) and secret.works_until <= now:
        return (
            f"the API key {key.name!r} was rotated, and the secret it had before worked until "
            f"{secret.works_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC; use the new one"
        )
    return ""


def warn_of_expiry(now: datetime) -> int:
    """Says once a day of each key that it expires within WARNED_BEFORE; the number of keys."""
    today = now.astimezone(UTC).date()
    soon = ApiKey.objects.filter(revoked_at=None, expires_on__range=(today, today + WARNED_BEFORE))
    told = 0
    for key in soon:
        not_yet = ApiKey.objects.filter(Q(warned_on=None) | Q(warned_on__lt=today), pk=key.pk)
        if not_yet.update(warned_on=today):
            log.warning(
                "The API key %s stops working after %s: give it a later date, or its users a new key",
                key, key.expires_on, extra={"key": key.name, "days_left": key.days_left(today)},
            )  # fmt: skip
            told += 1
    return told
