"""Which checks are due, and who asks them.

A tick takes what is due within the next second (`claim`): one conditional UPDATE leaves its token at the checks and
moves them to the end of a lease. What it took is asked by some worker (`services.asking`), each at its true time. The
result brings the next deadline; if none comes, because the worker died, the check is due again when its lease ends.

Deadlines stay on a grid: the first one + n · interval. What was missed is not made up for.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import BigIntegerField, F, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.trail import recording
from core import clock
from services import probes, statuses
from services.models import Check, Service
from services.models.watched import LEASE_MARGIN
from services.probes import Measurement
from services.recording import Observation, record
from services.status import Outcome

LOOKAHEAD: Final = 1_200_000  # µs: a little more than from tick to tick
CLAIMS_MAX: Final = 2_000  # of one tick
BATCH: Final = 50  # checks in one message
BEGIN_WITHIN: Final = (
    LEASE_MARGIN / 2
)  # seconds after the claim; the rest of the lease is for the answer and for writing
SPREAD_MAX: Final = 60.0  # seconds that first deadlines are spread over, or the interval if that is shorter
GOLDEN: Final = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly, however many there are
GRACE: Final = 0.5  # seconds that a probe may take longer than its timeout before it is given up
PASSIVE: Final = ("heartbeat",)  # kinds that are not asked: they tell

Due = tuple[int, int]  # a check, and its true deadline in µs

log = logging.getLogger(__name__)

_behind = False  # the last tick of this process left something over


class Claim(msgspec.Struct, frozen=True):
    """What one tick took, in order of time."""

    token: str
    due: Sequence[Due]

    def batches(self, size: int = BATCH) -> Iterator[Sequence[Due]]:
        for begin in range(0, len(self.due), size):
            yield self.due[begin : begin + size]


# --- Claims ----------------------------------------------------------------------------------------------------------


def claim(now: int) -> Claim:
    """Takes what is due until a little after `now` (µs). Nobody else gets it before its lease ends."""
    horizon = now + LOOKAHEAD
    rows = list(_due(horizon).order_by("due_at").values_list("pk", "due_at", "interval")[: CLAIMS_MAX + 1])
    _say_if_behind(len(rows) > CLAIMS_MAX)
    due = {pk: on_grid(at, micros(interval), now) for pk, at, interval in rows[:CLAIMS_MAX] if at}
    _schedule([pk for pk, at, _ in rows if not at], now)
    token = uuid.uuid4().hex
    lease_end = Cast(F("timeout") * clock.SECOND, BigIntegerField()) + (now + micros(LEASE_MARGIN))
    mine = Check.objects.filter(pk__in=due, enabled=True, due_at__lte=horizon)
    if due and mine.update(claim=token, due_at=lease_end) < len(due):
        taken = set(Check.objects.filter(claim=token).values_list("pk", flat=True))
        due = {pk: at for pk, at in due.items() if pk in taken}
    return Claim(token, sorted(due.items(), key=lambda pair: pair[1]))


def _due(horizon: int) -> QuerySet[Check]:
    return Check.objects.filter(enabled=True, due_at__lte=horizon, service__paused=False).exclude(kind__in=PASSIVE)


def on_grid(due: int, interval: int, now: int) -> int:
    """The deadline to keep now: of those that have passed only the last. All in µs."""
    return due if due >= now else due + (now - due) // interval * interval


def next_due(due: int, interval: int, asked: int) -> int:
    """The deadline after `due`; one later, if it was asked so late that the next one is at hand."""
    following = due + interval
    return following if 2 * (following - asked) >= interval else following + interval


def micros(seconds: float) -> int:
    return round(seconds * clock.SECOND)


def _say_if_behind(behind: bool) -> None:
    global _behind
    if behind and not _behind:
        log.warning("More than %d checks are due at once: some are asked late", CLAIMS_MAX)
    _behind = behind


def _schedule(checks: Sequence[int], now: int) -> None:
    """New checks (due_at is 0) get their first deadline."""
    if not checks:
        return
    fresh = list(Check.objects.filter(pk__in=checks).only("interval", "initial_delay", "created_at"))
    for check in fresh:
        check.due_at = first_due(check, now)
    Check.objects.bulk_update(fresh, ["due_at"], batch_size=500)


def first_due(check: Check, now: int) -> int:
    """Checks that were made together are not asked together."""
    earliest = max(now, clock.micros(check.created_at) + micros(check.initial_delay))
    return earliest + micros(check.pk * GOLDEN % 1 * min(check.interval, SPREAD_MAX))


def hasten(check: Check) -> None:
    """After its interval became shorter: it doesn't wait for the end of the old one."""
    latest = clock.now() + micros(check.interval)
    Check.objects.filter(pk=check.pk, claim="", due_at__gt=latest, last_at__isnull=False).update(due_at=latest)


def release(left: Sequence[tuple[int, str, int]]) -> None:
    """Hands back what was taken and not begun (check, token, its deadline): somebody else may ask at once."""
    with transaction.atomic():
        for pk, token, due in sorted(left):
            Check.objects.filter(pk=pk, claim=token).update(claim="", due_at=due)


# --- Verbs -----------------------------------------------------------------------------------------------------------


def check_now(check: Check) -> Measurement:
    """Asks at once, whoever else asks or is to ask, and returns the answer, `raw` included. Not from an event loop.

    What tells by itself is not asked: the answer is what it told last, and is not recorded again.
    """
    if check.kind in PASSIVE:
        return Measurement(
            Outcome(check.outcome or Outcome.UP), check.detail or "it tells by itself, and is never asked"
        )
    asked = clock.now()
    measurement = asyncio.run(_ask(check))
    record([Observation(check.pk, asked, measurement)], timezone.now())
    return measurement


async def _ask(check: Check) -> Measurement:
    try:
        async with asyncio.timeout(check.timeout + GRACE):
            return await probes.ask(check)
    except TimeoutError:
        return no_answer(check.timeout)
    finally:
        await close_connections()


async def close_connections() -> None:
    """Those of this event loop, which ends. Without an HTTP client there are none."""
    if client := sys.modules.get("core.http"):
        await client.close()


def no_answer(timeout: float) -> Measurement:
    """Of a probe that did not keep to its time."""
    return Measurement(Outcome.UNREACHABLE, f"no answer within {timeout:g} s")


def pause(service: Service, by: AbstractBaseUser | None = None) -> bool:
    """Nothing is checked from now on; answers that are under way don't count. False if it was paused already."""
    with transaction.atomic():
        if not recording.update(Service.objects.filter(pk=service.pk, paused=False), {"paused": True}):
            return False
        Check.objects.filter(service=service.pk).exclude(claim="").update(claim="")
        _note(service, by, "Paused.")
    return _moved(service)


def resume(service: Service, by: AbstractBaseUser | None = None) -> bool:
    """Its checks are due at once. False if it was not paused."""
    with transaction.atomic():
        if not recording.update(Service.objects.filter(pk=service.pk, paused=True), {"paused": False}):
            return False
        Check.objects.filter(service=service.pk).update(claim="", due_at=clock.now())
        _note(service, by, "Resumed.")
    return _moved(service)


def _note(service: Service, by: AbstractBaseUser | None, message: str) -> None:
    """In the history that the admin shows."""
    if by is not None:
        LogEntry.objects.log_actions(by.pk, [service], CHANGE, message, single_object=True)


def _moved(service: Service) -> bool:
    statuses.settle([service.pk], timezone.now())
    service.refresh_from_db()
    return True


# --- What time alone changes -----------------------------------------------------------------------------------------

SETTLE_EVERY: Final = 30.0  # seconds
SETTLED_MAX: Final = 200  # services in one go


def settle_due(now: datetime) -> int:
    """Judges anew, without a result: checks that fell silent, and a share of all services, so that nothing that was
    missed stays wrong. The number of changes."""
    return len(statuses.settle({*_silent(now), *_share(now)}, now))


def _silent(now: datetime) -> Sequence[int]:
    """Services with a status, and a check whose last result has become too old."""
    at = clock.micros(now)
    patience = Cast(F("interval") * statuses.STALE_INTERVALS * clock.SECOND, BigIntegerField()) + Cast(
        F("timeout") * clock.SECOND, BigIntegerField()
    )
    silent = Check.objects.filter(
        Q(last_at__lt=at - patience), enabled=True, service__paused=False, outcome__isnull=False,
        last_at__lt=at - micros(statuses.STALE_MIN),
        # Those that fell silent since about the last look; the others are known.
        last_at__gte=at - patience - micros(statuses.STALE_MIN + 3 * SETTLE_EVERY),
    ).exclude(kind__in=PASSIVE)  # fmt: skip
    return list(silent.values_list("service", flat=True)[:SETTLED_MAX])


def _share(now: datetime) -> Sequence[int]:
    """Another share each time, until it was everybody's turn."""
    turns = -(-Service.objects.count() // SETTLED_MAX) or 1
    turn = int(now.timestamp() // SETTLE_EVERY) % turns
    shares = Service.objects.annotate(share=F("pk") % turns).filter(share=turn)
    return list(shares.values_list("pk", flat=True)[: 2 * SETTLED_MAX])
