"""The verbs of API keys: make one, revoke one, find the one that a request brings."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

import msgspec
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.utils import timezone

from accounts.models import ApiKey, Scope, valid_scopes

MARK: Final = "pharos_"
KNOWN_FOR: Final = 10.0  # seconds: how long a revoked key may still work in a process that has seen it
KNOWN_MAX: Final = 10_000
USED_EVERY: Final = timedelta(minutes=1)


class Access(msgspec.Struct, frozen=True):
    """What a valid key allows."""

    key_id: int
    name: str
    scopes: frozenset[str]

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


def create(name: str, scopes: Iterable[str], secret: str | None = None) -> tuple[ApiKey, str]:
    """A new key and its plain text, which can't be had again. Raises ValidationError for unknown scopes.

    `secret` is for a key that was agreed on elsewhere (PHAROS_API_KEY).
    """
    wanted = list(scopes)
    valid_scopes(wanted)
    plain = secret or MARK + secrets.token_urlsafe(30)
    if len(plain) < 8:
        raise ValidationError("An API key must have at least 8 characters.")
    shown = len(MARK) + 4 if plain.startswith(MARK) else 3
    key = ApiKey.objects.create(name=name, scopes=wanted, prefix=plain[:shown], hash=_hash(plain))
    return key, plain


def revoke(key: ApiKey) -> None:
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
    _known.pop(key.hash, None)


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


def find(plain: str) -> Access | None:
    """What the key allows; None if there is no such key or it was revoked. Remembers answers for some seconds."""
    digest = _hash(plain)
    now = time.monotonic()
    access, until = _known.get(digest, (None, 0.0))
    if until > now:
        return access
    try:
        access = _look_up(digest)
    except DatabaseError:
        # Whoever could send a moment ago still can while the database is away: the lines wait in Redis.
        if digest not in _known:
            raise
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known[digest] = (access, now + KNOWN_FOR)
    return access


def known(plain: str) -> tuple[bool, Access | None]:
    """Whether the answer of `find` is at hand without a query, and the answer."""
    access, until = _known.get(_hash(plain), (None, 0.0))
    return until > time.monotonic(), access


_known: dict[str, tuple[Access | None, float]] = {}


def _hash(plain: str) -> str:
    # Keys are long random texts: a slow password hash would add nothing but time to each request.
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _look_up(digest: str) -> Access | None:
    key = ApiKey.objects.filter(hash=digest, revoked_at=None).first()
    if key is None:
        return None
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return Access(key.pk, key.name, frozenset(key.scopes))
