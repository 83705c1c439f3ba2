"""The latency of a check over time: from its results for hours, from `CheckHour` for days.

However long the range and however short the interval: at most POINTS_MAX points, and as many queries. Times in a chart
are milliseconds, as browsers count; latencies milliseconds, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from core import clock
from services.models import Check, CheckHour, CheckResult
from services.probes.base import PARTS_MAX

POINTS_MAX: Final = 720
RECENT: Final = 3 * clock.HOUR  # results that may not have become a CheckHour yet
PARTS_SHOWN: Final = 12


class Range(NamedTuple):
    """What a page shows."""

    name: str
    span: int  # µs
    step: int  # µs that a point stands for
    hourly: bool  # made from CheckHour


RANGES: Final = {
    each.name: each
    for each in (
        Range("3h", 3 * clock.HOUR, clock.MINUTE, hourly=False),
        Range("24h", 24 * clock.HOUR, 5 * clock.MINUTE, hourly=False),
        Range("7d", 7 * clock.DAY, clock.HOUR, hourly=True),
        Range("30d", 30 * clock.DAY, clock.HOUR, hourly=True),
    )
}
USUAL: Final = "24h"


class Point(NamedTuple):
    at: int  # ms: the beginning of what it stands for
    p50: float | None  # ms
    p95: float | None
    max: float | None


class Latency(msgspec.Struct, frozen=True):
    points: Sequence[Point]
    parts: Mapping[str, Sequence[tuple[int, float]]]  # path of a part → time and median, ms
    parts_step: int  # µs that each of these stands for


def latency(check: Check, shown: Range, now: int) -> Latency:
    """Until `now` (µs). Two queries at most, and one more for the parts of a range of days."""
    start = now - now % shown.step - shown.span + shown.step
    return _of_hours(check, start, shown) if shown.hourly else _of_results(check, start, shown)


def _of_results(check: Check, start: int, shown: Range) -> Latency:
    # The parts of a day's results are more than a page should wait for: those come by the hour.
    detailed = shown.span <= RECENT
    rows = CheckResult.objects.filter(service_check=check, at__gte=start, latency_us__isnull=False).order_by()
    if not detailed:
        points = _points(rows.values_list("at", "latency_us"), start, shown.step)
        return Latency(points, _parts_of_hours(check, start), clock.HOUR)
    found = list(rows.values_list("at", "latency_us", "parts"))
    points = _points([(at, took) for at, took, _ in found], start, shown.step)
    return Latency(points, _parts([(at, parts) for at, _, parts in found], start, shown.step), shown.step)


def _of_hours(check: Check, start: int, shown: Range) -> Latency:
    rows = list(CheckHour.objects.filter(service_check=check, hour__gte=start).order_by("hour"))
    known = rows[-1].hour + clock.HOUR if rows else start
    # What is not rolled up yet.
    recent = max(known, start + shown.span - RECENT)
    fresh = CheckResult.objects.filter(service_check=check, at__gte=recent, latency_us__isnull=False).order_by()
    points = [Point(row.hour // 1_000, _ms(row.p50_us), _ms(row.p95_us), _ms(row.max_us)) for row in rows]
    points += _points(fresh.values_list("at", "latency_us"), recent - recent % clock.HOUR, clock.HOUR)
    return Latency(points[-POINTS_MAX:], _by_hour(rows), clock.HOUR)


def _points(results: Iterable[tuple[int, int | None]], start: int, step: int) -> list[Point]:
    buckets: Mapping[int, list[int]] = defaultdict(list)
    for at, took in results:
        if took is not None:
            buckets[(at - start) // step].append(took)
    return [
        Point((start + n * step) // 1_000, _ms(at_share(took, 0.5)), _ms(at_share(took, 0.95)), _ms(max(took)))
        for n, took in sorted(buckets.items())
    ]


def at_share(values: Iterable[int], share: float) -> int:
    """The smallest value that at least `share` of them don't exceed ("nearest rank")."""
    ordered = sorted(values)
    return ordered[max(-int(-len(ordered) * share // 1) - 1, 0)]


def _ms(micros: int | None) -> float | None:
    return None if micros is None else round(micros / 1_000, 2)


# --- Parts -----------------------------------------------------------------------------------------------------------

Series = dict[str, list[tuple[int, float]]]


def _parts(results: Iterable[tuple[int, Any]], start: int, step: int) -> Series:
    buckets: Mapping[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for at, parts in results:
        for part in (parts or ())[:PARTS_MAX]:
            if (took := part.get("latency_ms")) is not None:
                buckets[part["path"]][(at - start) // step].append(took)
    return _largest(
        {
            path: [((start + n * step) // 1_000, sorted(took)[len(took) // 2]) for n, took in sorted(found.items())]
            for path, found in buckets.items()
        }
    )


def _parts_of_hours(check: Check, start: int) -> Series:
    return _by_hour(
        CheckHour.objects.filter(service_check=check, hour__gte=start, parts__isnull=False).order_by("hour")
    )


def _by_hour(hours: Iterable[CheckHour]) -> Series:
    series: Series = {}
    for hour in hours:
        for path, took in (hour.parts or {}).items():
            if took is not None:
                series.setdefault(path, []).append((hour.hour // 1_000, took))
    return _largest(series)


def _largest(series: Series) -> Series:
    """Those that take the longest, by name: a chart of a hundred lines says nothing."""
    slow = sorted(series, key=lambda path: -max(took for _, took in series[path]))[:PARTS_SHOWN]
    return {path: series[path] for path in sorted(slow)}


# --- The day's figures, marks ----------------------------------------------------------------------------------------


class Figures(NamedTuple):
    """µs."""

    p50: int
    p95: int
    max: int


def figures(check: Check, now: int) -> Figures | None:
    """Of the last 24 hours."""
    rows = CheckResult.objects.filter(service_check=check, at__gte=now - clock.DAY, latency_us__isnull=False).order_by()
    took = sorted(took for took in rows.values_list("latency_us", flat=True) if took is not None)
    return Figures(at_share(took, 0.5), at_share(took, 0.95), took[-1]) if took else None
