"""When maintenance windows are open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from django.db.models import Q, QuerySet

from services import cron
from services.cron import INSTANT
from services.models import MaintenanceWindow, Service

OCCURRENCES_MAX: Final = 10_000  # of a window in a range: one each hour for a year
LATELY: Final = timedelta(days=7)  # Pharos may have been off


class Interval(NamedTuple):
    start: datetime
    end: datetime


class Open(NamedTuple):
    """A window that is open."""

    name: str
    since: datetime


def open_window(service: Service, now: datetime) -> str:
    """The name of a window of the service that is open; "" if none is."""
    found = open_windows([service.pk], now).get(service.pk)
    return found.name if found else ""


def is_open(window: MaintenanceWindow, now: datetime) -> bool:
    return opened(window, now) is not None


def opened(window: MaintenanceWindow, now: datetime) -> datetime | None:
    """Since when it is open; None if it isn't."""
    if not intervals([window], now, now + INSTANT):
        return None
    if not window.cron:
        return window.starts_at
    began = next(_occurrences(window, now - timedelta(minutes=window.minutes)))
    return max(began, window.starts_at)


def open_windows(services: Collection[int], now: datetime) -> dict[int, Open]:
    """Those of the services that have one, by the service's id. Two queries at most, however many services.

    Of several it is the one that is open the longest.
    """
    current = open_now(now)
    since = {window.pk: opened(window, now) or now for window in current}
    found = {}
    for pk, windows in _of_services(current, services).items():
        if windows:
            first = min(windows, key=lambda window: since[window.pk])
            found[pk] = Open(first.name, since[first.pk])
    return found


def closings(services: Collection[int], now: datetime) -> dict[int, datetime]:
    """When the last window of each closed, of those that had one lately. Two queries at most."""
    found = for_services(services, now - LATELY, now)
    return {pk: windows[-1].end for pk, windows in found.items() if windows}


def open_now(now: datetime) -> list[MaintenanceWindow]:
    return [window for window in _overlapping(now, now + INSTANT) if is_open(window, now)]


def for_services(services: Collection[int], start: datetime, end: datetime) -> dict[int, list[Interval]]:
    """When they are in maintenance, by the service's id, merged. Two queries, however many services."""
    windows = list(_overlapping(start, end))
    # Most services share the same windows, or have none.
    known: dict[tuple[int, ...], list[Interval]] = {}
    found = {}
    for pk, own in _of_services(windows, services).items():
        key = tuple(window.pk for window in own)
        if key not in known:
            known[key] = intervals(own, start, end)
        found[pk] = known[key]
    return found


def _of_services(windows: Sequence[MaintenanceWindow], services: Collection[int]) -> dict[int, list[MaintenanceWindow]]:
    everywhere = [window for window in windows if window.everything]
    found = {pk: list(everywhere) for pk in services}
    single = {window.pk: window for window in windows if not window.everything}
    if single:
        through = MaintenanceWindow.services.through.objects
        links = through.filter(maintenancewindow__in=single, service__in=services)
        for window, service in links.order_by("pk").values_list("maintenancewindow", "service"):
            found[service].append(single[window])
    return found


def _overlapping(start: datetime, end: datetime) -> QuerySet[MaintenanceWindow]:
    return MaintenanceWindow.objects.filter(Q(ends_at=None) | Q(ends_at__gt=start), starts_at__lt=end)


def intervals(windows: Iterable[MaintenanceWindow], start: datetime, end: datetime) -> list[Interval]:
    """When any of the windows is open between `start` and `end`: in order, merged where they overlap or touch."""
    cut = (_cut(found, start, end) for window in windows for found in _intervals(window, start, end))
    return merged(each for each in cut if each.start < each.end)


def merged(found: Iterable[Interval]) -> list[Interval]:
    result: list[Interval] = []
    for each in sorted(found):
        if result and each.start <= result[-1].end:
            result[-1] = Interval(result[-1].start, max(result[-1].end, each.end))
        else:
            result.append(each)
    return result


def _intervals(window: MaintenanceWindow, start: datetime, end: datetime) -> Iterator[Interval]:
    last = min(window.ends_at or end, end)
    if not window.cron:
        yield Interval(window.starts_at, last)
        return
    lasts = timedelta(minutes=window.minutes)
    for at in islice(_occurrences(window, max(start, window.starts_at) - lasts), OCCURRENCES_MAX):
        if at >= last:
            break
        yield _cut(Interval(at, at + lasts), window.starts_at, last)


def _cut(interval: Interval, start: datetime, end: datetime) -> Interval:
    return Interval(max(interval.start, start), min(interval.end, end))


def _occurrences(window: MaintenanceWindow, after: datetime) -> Iterator[datetime]:
    return cron.occurrences(window.cron, window.zone, after)
