"""Pings of jobs → results of their checks; and jobs that are missed.

A check of the kind heartbeat is due (`Check.due_at`) when its next ping is overdue, or a run takes too long; 0 is
never: it was not pinged yet, or was missed already and is down until it pings again.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from django.db import transaction
from django.db.models.signals import post_save, pre_save

from core import clock
from services.durations import words
from services.models import Check, Heartbeat, HeartbeatPing, StatusChange
from services.probes import Measurement
from services.probes.heartbeat import Options
from services.recording import Observation, record
from services.status import Outcome

BODY_MAX: Final = 100_000  # bytes
KEPT: Final = 100  # pings of a check …
KEPT_FOR: Final = 30 * clock.DAY  # … and for how long
RATE_MAX: Final = 60  # pings of a check in a minute; of more nothing is kept
MISSED_AT_ONCE: Final = 500
PRUNED_AT_ONCE: Final = 5_000

Kind = HeartbeatPing.Kind


class TooManyError(Exception):
    """The job pings more often than anybody could want."""


class Ping(msgspec.Struct, frozen=True):
    kind: str = Kind.SUCCESS
    exit_code: int | None = None
    run: uuid.UUID | None = None
    duration_ms: float | None = None  # as the job measured it; else it is counted from its start
    method: str = "GET"
    address: str | None = None
    agent: str = ""
    body: bytes = b""


def connect() -> None:
    """Whoever saves such a check, in the admin, over the API or from a file, gets its address."""
    pre_save.connect(_before_save, Check, dispatch_uid="heartbeat-thresholds")
    post_save.connect(_after_save, Check, dispatch_uid="heartbeat-address")


def _before_save(instance: Check, **_: Any) -> None:
    if instance.kind == "heartbeat":
        # A job's word counts at once: the next one may come in a month.
        instance.failure_threshold = instance.success_threshold = 1


def _after_save(instance: Check, raw: bool = False, **_: Any) -> None:
    if instance.kind == "heartbeat" and not raw:
        heartbeat = of(instance)
        if instance.due_at and (dues := _dues(instance, heartbeat)):
            # Its schedule may be another one now.
            Check.objects.filter(pk=instance.pk).update(due_at=min(dues))


def of(check: Check) -> Heartbeat:
    return Heartbeat.objects.get_or_create(service_check=check)[0]


# --- Pings -----------------------------------------------------------------------------------------------------------


def take(heartbeat: Heartbeat, ping: Ping, now: datetime) -> list[StatusChange]:
    """Raises TooManyError."""
    at = clock.micros(now)
    with transaction.atomic():
        # Pings of a job come one after the other, also if they arrive together.
        heartbeat = Heartbeat.objects.select_for_update().get(pk=heartbeat.pk)
        check = Check.objects.defer("secrets").get(pk=heartbeat.pk)
        _bound(check, at)
        began = _began(heartbeat, ping)
        duration = at - began if began is not None else None
        if ping.duration_ms is not None:
            duration = round(ping.duration_ms * 1_000)
        ends = ping.kind in (Kind.SUCCESS, Kind.FAIL)
        HeartbeatPing.objects.create(
            service_check=check, at=at, kind=ping.kind, exit_code=ping.exit_code, run=ping.run,
            duration_us=duration if ends else None, method=ping.method[:10], address=ping.address,
            agent=_text(ping.agent)[:200], body=_text(ping.body[:BODY_MAX].decode(errors="replace")),
        )  # fmt: skip
        if ping.kind == Kind.START:
            _start(check, at)
        elif ends:
            Heartbeat.objects.filter(pk=check.pk).update(started_at=None)
            return record([_observed(check, ping, at, duration)], now)
    return []


def _bound(check: Check, at: int) -> None:
    """The newest stay; raises TooManyError."""
    newest = HeartbeatPing.objects.filter(service_check=check).order_by("-at", "-pk").values_list("at", "pk")
    kept = list(newest[RATE_MAX - 1 : KEPT])
    if kept and kept[0][0] > at - clock.MINUTE:
        raise TooManyError
    if len(kept) > KEPT - RATE_MAX:
        HeartbeatPing.objects.filter(service_check=check, at__lte=kept[-1][0]).delete()


def _began(heartbeat: Heartbeat, ping: Ping) -> int | None:
    """When the run began that this ping ends."""
    if ping.run is None:
        return heartbeat.started_at
    starts = HeartbeatPing.objects.filter(service_check=heartbeat.pk, kind=Kind.START, run=ping.run)
    return starts.order_by("-at").values_list("at", flat=True).first()


def _start(check: Check, at: int) -> None:
    Heartbeat.objects.filter(pk=check.pk).update(started_at=at)
    too_long = at + _micros(options_of(check).runtime)
    Check.objects.filter(pk=check.pk).update(due_at=min(check.due_at or too_long, too_long), claim="")


def _observed(check: Check, ping: Ping, at: int, duration: int | None) -> Observation:
    failed = ping.kind == Kind.FAIL
    detail = f"exit code {ping.exit_code}" if ping.exit_code else "the job says that it failed"
    found = Measurement(
        Outcome.FAILING if failed else Outcome.UP,
        detail if failed else "",
        None if duration is None else duration / 1_000,
    )
    return Observation(check.pk, at, found, next_due=_deadline(check, at))


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd")  # PostgreSQL takes none


# --- What is missed --------------------------------------------------------------------------------------------------


def settle_missed(now: datetime) -> list[StatusChange]:
    """Records the jobs that are overdue, at the time when they were. Called each few seconds."""
    at = clock.micros(now)
    overdue = Check.objects.filter(kind="heartbeat", enabled=True, due_at__gt=0, due_at__lte=at, service__paused=False)
    chosen = list(overdue.order_by("due_at").values_list("pk", flat=True)[:MISSED_AT_ONCE])
    heartbeats = Heartbeat.objects.filter(pk__in=chosen).select_related("service_check")
    missed = []
    for heartbeat in heartbeats.defer("service_check__secrets"):
        check = heartbeat.service_check
        if check.due_at in _dues(check, heartbeat):
            missed.append(heartbeat)
        else:
            # It was resumed at that moment, and waits for its next ping from then on.
            Heartbeat.objects.filter(pk=check.pk).update(resumed_at=check.due_at)
            later = _deadline(check, check.due_at)
            Check.objects.filter(pk=check.pk, due_at=check.due_at).update(due_at=later)
    return _record_missed(missed, now) if missed else []


def _record_missed(missed: list[Heartbeat], now: datetime) -> list[StatusChange]:
    # A ping that comes meanwhile takes the claim away, and counts.
    claim = uuid.uuid4().hex
    observations = []
    for heartbeat in missed:
        check = heartbeat.service_check
        if Check.objects.filter(pk=check.pk, due_at=check.due_at).update(claim=claim):
            found = Measurement(Outcome.UNREACHABLE, _why(check, heartbeat))
            observations.append(Observation(check.pk, check.due_at, found, claim, next_due=0))
    return record(observations, now)


def _why(check: Check, heartbeat: Heartbeat) -> str:
    options, started = options_of(check), heartbeat.started_at
    if started is not None and started + _micros(options.runtime) == check.due_at:
        return f"it started and did not end within {words(options.runtime)}"
    when = f"at {options.cron} ({options.zone})" if options.cron else f"every {words(options.period)}"
    return f"no ping came, expected {when} with {words(options.grace)} of grace"


def _dues(check: Check, heartbeat: Heartbeat) -> list[int]:
    """When its next ping is overdue, and when its run takes too long; without what was missed already."""
    ends = HeartbeatPing.objects.filter(service_check=check, kind__in=(Kind.SUCCESS, Kind.FAIL))
    last = max(ends.order_by("-at").values_list("at", flat=True).first() or 0, heartbeat.resumed_at or 0)
    times = [_deadline(check, last)] if last else []
    if heartbeat.started_at is not None:
        times.append(heartbeat.started_at + _micros(options_of(check).runtime))
    return [at for at in times if at > (check.last_at or 0)]


def _deadline(check: Check, after: int) -> int:
    return clock.micros(options_of(check).deadline(clock.moment(after)))


def options_of(check: Check) -> Options:
    return msgspec.convert(check.options, Options)


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def prune(now: datetime) -> int:
    """Deletes pings that are too old; how many."""
    old = HeartbeatPing.objects.filter(at__lt=clock.micros(now) - KEPT_FOR).order_by("at")
    return HeartbeatPing.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE])).delete()[0]
