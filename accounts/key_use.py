"""The use of API keys in the audit trail: the first one, each new address, and what was refused.

Programs ask many times a second: what is known already costs a look into a dict, and what is written is bounded.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from datetime import timedelta
from typing import Final

from auditlog.models import LogEntry
from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from accounts.acting import KEY, Actor, acting
from accounts.models import ApiKey
from accounts.trail import recording

log = logging.getLogger("accounts.keys")

USED: Final = "key_used"
REFUSED: Final = "key_refused"
KNOWN_MAX: Final = 10_000  # pairs of key and address that are remembered
ADDRESSES_A_DAY: Final = 20  # of one key that are entries; containers come from ever new ones
REFUSED_EVERY: Final = 3_600.0  # seconds between two entries of the same refusal
REFUSED_AN_HOUR: Final = 60  # entries of all refusals, in one process

_known: set[tuple[int, str]] = set()
_refused: dict[tuple[str, str, str], float] = {}
_written: deque[float] = deque(maxlen=REFUSED_AN_HOUR)


def is_known(key: int, address: str) -> bool:
    return (key, address) in _known


def used(key: int, name: str, address: str) -> None:
    """A good key came from this address."""
    if is_known(key, address):
        return
    try:
        _remember(key, name, address)
    except DatabaseError as error:
        log.debug("The use of the key %s could not be recorded: %s", name, error)
        return  # and is, with the next request
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known.add((key, address))


def _remember(key: int, name: str, address: str) -> None:
    row = ApiKey.objects.filter(pk=key).first()
    if row is None:
        return
    before = LogEntry.objects.get_for_object(row).filter(additional_data__event=USED).order_by()
    if before.filter(remote_addr=address or None).exists():
        return
    is_first = not before.exists()
    today = before.filter(timestamp__gt=timezone.now() - timedelta(days=1))
    if len(today.values_list("pk")[:ADDRESSES_A_DAY]) == ADDRESSES_A_DAY:
        return
    with acting(Actor(KEY, name, address)):
        recording.event(USED, row)
    facts = {"key": name, "client": address}
    if is_first:
        log.info("The API key %s is used for the first time, from %s", name, address or "here", extra=facts)
    else:
        log.warning(
            "The API key %s is used from %s, where it never was before", name, address or "here",
            extra={**facts, "event": "new_address"},
        )  # fmt: skip


def is_refused_again(plain: str, address: str, why: str = "") -> bool:
    """Whether the same refusal is an entry already."""
    last = _refused.get((_digest(plain), address, why))
    return last is not None and time.monotonic() - last < REFUSED_EVERY


def refused(plain: str, address: str, why: str = "") -> None:
    """A key was not good, or not good enough: `why` says so; "" is a key that doesn't work at all."""
    now = time.monotonic()
    full = len(_written) == REFUSED_AN_HOUR and now - _written[0] < REFUSED_EVERY
    if full or is_refused_again(plain, address, why):
        return
    try:
        _note_refusal(plain, address, why)
    except DatabaseError as error:
        log.debug("A refused key could not be recorded: %s", error)
        return
    if len(_refused) >= KNOWN_MAX:
        _refused.clear()
    _refused[_digest(plain), address, why] = now
    _written.append(now)
    if len(_written) == REFUSED_AN_HOUR and now - _written[0] < REFUSED_EVERY:
        log.warning("%d API keys were refused within an hour; more are not recorded", REFUSED_AN_HOUR)


def _note_refusal(plain: str, address: str, why: str) -> None:
    digest = _digest(plain)
    row = ApiKey.objects.filter(Q(hash=digest) | Q(old_secrets__hash=digest)).first()
    name = row.name if row else ""
    why = why or _why(row, digest)
    with acting(Actor(KEY, name, address)):
        # What came may be somebody's password: its digest is enough to see that it came again.
        recording.event(REFUSED, row or ApiKey, "" if row else "unknown key", why=why, digest=digest[:8])
    log.warning(
        "An API key was refused: %s%s, from %s", why, f" ({name})" if name else "", address or "here",
        extra={"key": name, "client": address, "event": "key_refused"},
    )  # fmt: skip


def _why(row: ApiKey | None, digest: str) -> str:
    if row is None:
        return "unknown"
    if row.revoked_at:
        return "revoked"
    return "expired" if row.hash == digest else "rotated"


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def forget() -> None:
    """For tests."""
    _known.clear()
    _refused.clear()
    _written.clear()
