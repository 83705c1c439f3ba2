"""What Pharos measures of itself at a moment: for rules on Pharos itself (`alerts.conditions.pharos_value`).

A function for each value, with its line in VALUES. It gives what it is measured of, as labels, and the value.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import redis
from django.conf import settings
from django.utils import timezone

from alerts.models import Channel
from core import clock, reporting
from logs import stream
from logs.models import DeadLetter
from logs.sources import streams
from services.models import Check

OVERDUE: Final = 10 * clock.SECOND  # a check that is later than that


class Own(NamedTuple):
    labels: Mapping[str, str]
    value: float
    detail: str  # a sentence without its end


class OwnError(Exception):
    """It can't be measured; the text is safe to show."""


def read(name: str) -> list[Own]:
    """Raises OwnError."""
    try:
        return [*VALUES[name]()]
    except (redis.RedisError, OSError) as error:
        raise OwnError(f"Redis is away: {str(error)[:200]}") from None


def _ingest_wait() -> Iterator[Own]:
    with reporting.connect() as client:
        names = streams.active(cast(Any, client.get(streams.REPORT)))
        waits = {name: stream.oldest_wait(client, name) / clock.SECOND for name in names}
    for name, wait in waits.items():
        yield Own({"stream": name}, wait, f"the oldest line of {name} waits for {wait:,.0f} s")


def _dead_letters() -> Iterator[Own]:
    count = DeadLetter.objects.filter(replayed_at=None).count()
    yield Own({}, count, f"{count:,} dead letter{'s' * (count != 1)}")


def _tick_age() -> Iterator[Own]:
    with reporting.connect() as client:
        ticked: Any = client.get(stream.TICKED)
    if ticked:
        age = max(clock.now() - int(ticked), 0) / clock.SECOND
        yield Own({}, age, f"the last tick of beat came {age:,.0f} s ago")


def _process_missing() -> Iterator[Own]:
    with reporting.connect() as client:
        gone = reporting.gone(reporting.reports(client))
    for process, age in gone.items():
        yield Own({"process": process}, age, f"nothing was heard of {process} for {age:,.0f} s")


def _disk_free() -> Iterator[Own]:
    disk = shutil.disk_usage(settings.DATA_DIR)
    free = 100 * disk.free / disk.total if disk.total else 100.0
    yield Own({}, free, f"{free:.1f} % of the disk of the data directory are free")


def _channel_failing() -> Iterator[Own]:
    now = timezone.now()
    for channel in Channel.objects.filter(enabled=True, failing_since__isnull=False).select_related("receiver"):
        age = max((now - channel.failing_since).total_seconds(), 0.0) if channel.failing_since else 0.0
        yield Own({"channel": str(channel)}, age, f"{channel} fails for {age:,.0f} s")


def _checks_overdue() -> Iterator[Own]:
    late = clock.now() - OVERDUE
    count = Check.objects.filter(enabled=True, service__paused=False, due_at__gt=0, due_at__lt=late).count()
    yield Own({}, count, f"{count:,} check{'s are' if count != 1 else ' is'} more than 10 s late")


VALUES: Final[Mapping[str, Callable[[], Iterator[Own]]]] = {
    "ingest_wait": _ingest_wait,
    "dead_letters": _dead_letters,
    "tick_age": _tick_age,
    "process_missing": _process_missing,
    "disk_free": _disk_free,
    "channel_failing": _channel_failing,
    "checks_overdue": _checks_overdue,
}
