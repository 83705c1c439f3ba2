"""What stored lines take, who sends them, and what waits: for `manage.py logs_stats` and `/logs/usage/`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec
import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import visibility
from accounts.roles import ENTER_ADMIN
from core import clock
from core.pages import requires, shell
from logs import archive, retention, stream
from logs.models import DeadLetter, RetentionRule, StoreEvent
from logs.rows import colour_of
from logs.sources import streams
from logs.store import BaseLogStore, Usage, log_stores

READ: Final = "logs.read_records"
SERVICES_SHOWN: Final = 20
DAYS_SHOWN: Final = 30
DAYS_ACROSS: Final = 7  # columns of the table of services by day
DROPS_SHOWN: Final = 5
REDIS_SECONDS: Final = 2.0


class Amount(msgspec.Struct, frozen=True):
    lines: int = 0
    bytes: int = 0

    def __add__(self, other: Amount | Usage) -> Amount:
        return Amount(self.lines + other.lines, self.bytes + other.bytes)


class ServiceUsage(msgspec.Struct, frozen=True):
    service: str
    lines: int
    bytes: int
    share: float  # of all bytes, in percent


class DayUsage(msgspec.Struct, frozen=True):
    day: str  # "2026-11-21", UTC
    lines: int
    bytes: int


class StreamState(msgspec.Struct, frozen=True):
    name: str
    length: int  # entries in Redis, the stored ones too
    backlog: int  # not given to an ingester yet
    pending: int  # given, and not stored yet
    wait: float  # seconds that the oldest entry which is not stored has been waiting


class Report(msgspec.Struct, frozen=True):
    lines: int
    blocks: int
    bytes: int
    bytes_per_line: float
    restored: int  # of the lines: from the archive, for some days
    oldest: datetime | None
    newest: datetime | None
    services: list[ServiceUsage]  # the largest first
    services_total: int
    days: list[DayUsage]  # the newest first
    streams: list[StreamState]
    redis_error: str | None  # why there are no streams
    troubles: list[str]  # what holds up the ingesters
    dead_letters: int
    dead_letters_waiting: int  # not sent again


def report(store: BaseLogStore, usage: Sequence[Usage]) -> Report:
    stats = store.stats()
    services = by_service(usage)
    states, error = stream_states()
    return Report(
        lines=stats["lines"],
        blocks=stats["blocks"],
        bytes=stats["bytes"],
        bytes_per_line=round(stats["bytes"] / stats["lines"], 1) if stats["lines"] else 0.0,
        restored=stats["restored_lines"],
        oldest=_moment(stats["oldest"]),
        newest=_moment(stats["newest"]),
        services=services[:SERVICES_SHOWN],
        services_total=len(services),
        days=by_day(usage)[:DAYS_SHOWN],
        streams=states,
        redis_error=error,
        troubles=[] if error else troubles(),
        dead_letters=DeadLetter.objects.count(),
        dead_letters_waiting=DeadLetter.objects.filter(replayed_at=None).count(),
    )


# --- Adding up: pure -----------------------------------------------------------------------------------------------


def by_service(usage: Iterable[Usage]) -> list[ServiceUsage]:
    """The largest sender first."""
    sums: dict[str, Amount] = defaultdict(Amount)
    for each in usage:
        sums[each.service] += each
    total = sum(amount.bytes for amount in sums.values()) or 1
    largest = sorted(sums.items(), key=lambda item: (-item[1].bytes, -item[1].lines, item[0]))
    return [
        ServiceUsage(service, amount.lines, amount.bytes, round(100 * amount.bytes / total, 1))
        for service, amount in largest
    ]


def by_day(usage: Iterable[Usage]) -> list[DayUsage]:
    """Days with lines, the newest first."""
    sums: dict[int, Amount] = defaultdict(Amount)
    for each in usage:
        sums[each.day] += each
    return [DayUsage(_date(day), amount.lines, amount.bytes) for day, amount in sorted(sums.items(), reverse=True)]


def by_service_and_day(
    usage: Iterable[Usage], services: Iterable[str], now: int
) -> tuple[list[str], list[tuple[str, list[Amount]]]]:
    """The last days, today first, and for each of `services` what it took on each of them."""
    today = now - now % clock.DAY
    days = [today - n * clock.DAY for n in range(DAYS_ACROSS)]
    sums: dict[tuple[str, int], Amount] = defaultdict(Amount)
    for each in usage:
        sums[each.service, each.day] += each
    return [_date(day) for day in days], [(name, [sums[name, day] for day in days]) for name in services]


def _moment(micros: int) -> datetime | None:
    """0 is no time: an empty store has no oldest line."""
    return clock.moment(micros) if micros else None


def _date(day: int) -> str:
    return f"{clock.moment(day):%Y-%m-%d}"


# --- Redis ---------------------------------------------------------------------------------------------------------


def stream_states() -> tuple[list[StreamState], str | None]:
    """The log streams; without Redis none, and the reason."""
    try:
        with stream.connect(REDIS_SECONDS) as client:
            return [state(client, name) for name in streams.active(client.get(streams.REPORT))], None
    except (redis.RedisError, OSError) as error:
        return [], f"Redis is away: {str(error)[:200]}"


def troubles() -> list[str]:
    """What holds up the ingesters: "The disk is full"."""
    with suppress(redis.RedisError, OSError), stream.connect(REDIS_SECONDS) as client:
        return sorted(set(filter(None, stream.ingesters(client))))
    return []


def state(client: redis.Redis, name: str) -> StreamState:
    length: Any = client.xlen(name)
    try:
        groups: Any = client.xinfo_groups(name)
    except redis.ResponseError:
        groups = []  # no stream yet
    group = next((each for each in groups if each["name"] == stream.GROUP.encode()), None)
    wait = stream.oldest_wait(client, name) / clock.SECOND
    if group is None:
        return StreamState(name, length, backlog=length, pending=0, wait=wait)
    # Redis doesn't know the lag after entries were deleted from the middle: then nothing better than the length.
    lag = group.get("lag")
    return StreamState(name, length, length if lag is None else lag, group["pending"], wait)


# --- The page ------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(READ)
def page(request: HttpRequest) -> HttpResponse:
    store = log_stores["default"]
    usage = store.usage()
    found = report(store, usage)
    days, rows = by_service_and_day(usage, [each.service for each in found.services], clock.now())
    limited = visibility.current().limited
    context = {
        "report": found,
        "services": [(each, colour_of(each.service)) for each in found.services],
        "days": days,
        "rows": rows,
        "kept": _kept(),
        "archive": [] if limited else archive.sentences(store, clock.now()),
        "archive_url": _screen(request, "archivedday"),
        "disk_max": settings.LOG_DISK_MAX,
        "drops": _drops(),
        "dead_letters_url": _screen(request, "deadletter"),
        "rules_url": _screen(request, "retentionrule"),
    }
    return render(request, "logs/usage.html", shell(request, "Log usage") | context)


def _kept() -> list[str]:
    """Retention in sentences: the defaults, then each service with a rule."""
    rules = list(RetentionRule.objects.all())
    default = retention.defaults(rules)
    own = retention.policies(rules, default)
    visible = visibility.current()
    return [
        retention.meaning("", default),
        *(retention.meaning(name, policy) for name, policy in sorted(own.items()) if visible.shows(name)),
    ]


def _drops() -> list[dict[str, Any]]:
    """The last times that the disk budget was used up."""
    events = StoreEvent.objects.filter(kind=retention.DROPPED)[:DROPS_SHOWN]
    return [{**event.detail, "at": event.at, "oldest": _moment(event.detail["oldest"])} for event in events]


def _screen(request: HttpRequest, model: str) -> str:
    """The address of a list in the admin; "" for those who may not see it."""
    allowed = request.user.has_perms([ENTER_ADMIN, f"logs.view_{model}"])
    return reverse(f"admin:logs_{model}_changelist") if allowed else ""
