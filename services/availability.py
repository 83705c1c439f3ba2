"""How much of a time a service was up: arithmetic over its changes of status.

    counted   = healthy + degraded + down
    uptime    = (healthy + degraded) / counted
    MTTR      = down / outages
    MTBF      = (healthy + degraded) / outages
    allowed   = (1 - target) x (counted + what is left of the range), the error budget

Uptime and budget are those of Google's "Site Reliability Engineering", chapters 3 and 4; MTTR and MTBF ("mean operating
time between failures") those of IEC 60050-192, so that uptime = MTBF / (MTBF + MTTR). Degraded counts as up, and is
told apart. Unknown, paused and maintenance don't count at all: nobody knows, or it was meant to be so. docs/sla.md
says more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from services import visible, windows
from services.durations import words
from services.models import Service, StatusChange
from services.status import Status
from services.windows import Interval

UP: Final = frozenset({Status.HEALTHY, Status.DEGRADED})
COUNTED: Final = frozenset({*UP, Status.DOWN})
NOTHING: Final = timedelta(0)
TARGET: Final = Decimal("99.9")  # percent
STRIP: Final = timedelta(days=90)


class Change(NamedTuple):
    """What is read of a StatusChange: a report reads many thousands."""

    at: datetime
    new: str
    reason: str = ""
    culprit_id: int | None = None
    explained_by_id: int | None = None


class Span(NamedTuple):
    """A time of one status."""

    start: datetime
    end: datetime
    status: str
    change: Change | None  # that began it; None: it was so before


class Outage(msgspec.Struct, frozen=True):
    """From the first moment down to the last; what doesn't count in between doesn't end it."""

    start: datetime
    end: datetime
    downtime: timedelta  # of it, without what doesn't count
    goes_on: bool  # it was still down at the end of the range
    reason: str = ""
    culprit: int | None = None  # the check that found it
    explained_by: int | None = None  # the service whose trouble it was


class Availability(msgspec.Struct, frozen=True):
    start: datetime
    end: datetime  # of what has been: never later than now
    target: Decimal = TARGET  # percent
    healthy: timedelta = NOTHING
    degraded: timedelta = NOTHING
    down: timedelta = NOTHING
    unknown: timedelta = NOTHING
    paused: timedelta = NOTHING
    maintenance: timedelta = NOTHING
    outages: tuple[Outage, ...] = ()  # the oldest first
    longest_without: timedelta = NOTHING  # the longest time up from an outage to the next, or to an end of the range
    remaining: timedelta = NOTHING  # of the range, after `end`, without planned maintenance

    @property
    def up(self) -> timedelta:
        return self.healthy + self.degraded

    @property
    def counted(self) -> timedelta:
        return self.up + self.down

    @property
    def excluded(self) -> timedelta:
        return self.unknown + self.paused + self.maintenance

    @property
    def uptime(self) -> float | None:
        """In percent; None when nothing counts."""
        return 100 * (self.up / self.counted) if self.counted else None

    @property
    def uptime_text(self) -> str:
        """With three decimals, never rounded up: 100.000 is without any outage. A dash when nothing counts."""
        if not self.counted:
            return "–"
        exact = Decimal(100) * _micros(self.up) / _micros(self.counted)
        return str(exact.quantize(Decimal("0.001"), ROUND_FLOOR))

    @property
    def mttr(self) -> timedelta | None:
        """Mean time to restore; None without an outage."""
        return self.down / len(self.outages) if self.outages else None

    @property
    def mtbf(self) -> timedelta | None:
        """Mean operating time between failures; None without an outage."""
        return self.up / len(self.outages) if self.outages else None

    @property
    def meets_target(self) -> bool | None:
        """None when nothing counts."""
        if not self.counted:
            return None
        return _micros(self.up) * 100 >= self.target * _micros(self.counted)

    @property
    def budget(self) -> timedelta:
        """How long it may be down in all of the range."""
        allowed = (100 - self.target) / 100 * _micros(self.counted + self.remaining)
        return timedelta(microseconds=int(allowed))

    @property
    def budget_left(self) -> timedelta:
        """Less than nothing when it is overspent."""
        return self.budget - self.down

    @property
    def budget_used(self) -> float | None:
        """In percent; None when there is none."""
        return 100 * (self.down / self.budget) if self.budget else None


def of(
    changes: Iterable[Change],
    start: datetime,
    end: datetime,
    status_at_start: str,
    windows: Sequence[Interval] = (),
    *,
    target: Decimal = TARGET,
    now: datetime | None = None,
) -> Availability:
    """From `start` to `end`, or to `now` if that is earlier: then the budget is still that of all of the range.

    `changes` are those in the range, the oldest first; one before it may lead them: it tells why a service
    is down from the start on. `windows` don't overlap; time in one is maintenance, whatever the status was.
    """
    until = end if now is None else max(start, min(now, end))
    totals = dict.fromkeys(Status.values, NOTHING)
    outages = _Outages()
    for span in spans(changes, start, until, status_at_start, windows):
        totals[span.status] += span.end - span.start
        outages.add(span)
    later = sum((_overlap(window, until, end) for window in windows), NOTHING)
    return Availability(
        start,
        until,
        target,
        totals[Status.HEALTHY],
        totals[Status.DEGRADED],
        totals[Status.DOWN],
        totals[Status.UNKNOWN],
        totals[Status.PAUSED],
        totals[Status.MAINTENANCE],
        tuple(outages.found(until)),
        outages.longest_without,
        end - until - later,
    )


def spans(
    changes: Iterable[Change], start: datetime, end: datetime, status: str, windows: Sequence[Interval] = ()
) -> Iterator[Span]:
    """The range cut where the status changes or a window opens or closes. None is empty."""
    # Sorting is stable: of changes at one moment the last one wins.
    edges: list[tuple[datetime, Change | bool]] = [(change.at, change) for change in changes]
    for window in windows:
        edges += (window.start, True), (window.end, False)
    edges.sort(key=lambda edge: edge[0])
    at, planned, change = start, False, None
    for moment, edge in [*edges, (end, False)]:
        until = min(max(moment, start), end)
        if until > at:
            yield Span(at, until, Status.MAINTENANCE if planned and status != Status.PAUSED else status, change)
            at = until
        if isinstance(edge, bool):
            planned = edge
        else:
            status, change = edge.new, edge


class _Outages:
    """Spans, one after the other → outages."""

    def __init__(self) -> None:
        self.longest_without = NOTHING
        self._without = NOTHING  # up since the last one
        self._spans: list[list[Span]] = []  # of each
        self._goes_on = False

    def add(self, span: Span) -> None:
        if span.status in UP:
            self._goes_on = False
            self._without += span.end - span.start
            self.longest_without = max(self.longest_without, self._without)
        elif span.status == Status.DOWN:
            if not self._goes_on:
                self._spans.append([])
            self._spans[-1].append(span)
            self._goes_on, self._without = True, NOTHING

    def found(self, end: datetime) -> Iterator[Outage]:
        for parts in self._spans:
            began = parts[0].change
            yield Outage(
                parts[0].start,
                parts[-1].end,
                sum((part.end - part.start for part in parts), NOTHING),
                parts[-1].end == end,
                visible.discreet(began.reason) if began else "",
                began.culprit_id if began else None,
                began.explained_by_id if began else None,
            )


def _overlap(window: Interval, start: datetime, end: datetime) -> timedelta:
    return max(min(window.end, end) - max(window.start, start), NOTHING)


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


# --- Of services -----------------------------------------------------------------------------------------------------


class History(NamedTuple):
    """What happened to a service in a range."""

    before: Change | None  # the newest before it
    changes: list[Change]  # in it, the oldest first
    windows: Sequence[Interval]

    @property
    def status(self) -> str:
        """At the start of the range."""
        return self.before.new if self.before else Status.UNKNOWN

    @property
    def told(self) -> list[Change]:
        """With the change before: it tells why a service is down from the start on."""
        return [self.before, *self.changes] if self.before else self.changes


def for_services(
    services: Iterable[Service], start: datetime, end: datetime, *, now: datetime | None = None
) -> dict[int, Availability]:
    """By the service's id. Four queries, however many services."""
    targets = {service.pk: service.sla_target for service in services}
    now = now or timezone.now()
    return {
        pk: of(each.told, start, end, each.status, each.windows, target=targets[pk], now=now)
        for pk, each in histories(targets, start, end).items()
    }


def histories(services: Collection[int], start: datetime, end: datetime) -> dict[int, History]:
    # One step into the index for each service: reading all that was before would take longer each day.
    newest = StatusChange.objects.filter(service=OuterRef("pk"), at__lt=start).order_by("-at", "-pk").values("pk")[:1]
    before = StatusChange.objects.filter(
        pk__in=Service.objects.filter(pk__in=services).values_list(Subquery(newest), flat=True)
    )
    known = dict(_read(before))
    changes: dict[int, list[Change]] = {}
    for service, change in _read(StatusChange.objects.filter(service__in=services, at__gte=start, at__lt=end)):
        changes.setdefault(service, []).append(change)
    planned = windows.for_services(services, start, end)
    return {pk: History(known.get(pk), changes.get(pk, []), planned[pk]) for pk in services}


def _read(changes: QuerySet[StatusChange]) -> Iterator[tuple[int, Change]]:
    rows = changes.order_by("service", "at", "pk").values_list("service", *Change._fields)
    return ((service, Change(*values)) for service, *values in rows)


# --- The strip -------------------------------------------------------------------------------------------------------


class Segment(msgspec.Struct, frozen=True):
    """A part of the strip: the worst that was in it gives the colour."""

    start: datetime
    end: datetime
    when: str  # "21 Nov 12:00 to 12:16", in the reader's zone
    times: Mapping[str, timedelta]  # by status

    @property
    def colour(self) -> str:
        return next((colour for status, colour in _WORST if status in self.times), "grey")

    @property
    def title(self) -> str:
        """For example "21 Nov 12:00 to 12:16: down for 3 min, healthy for 13 min"."""
        told = [f"{status} for {words(self.times[status])}" for status, _ in _WORST if status in self.times]
        return f"{self.when}: {', '.join(told)}"


_WORST: Final = (
    (Status.DOWN, "red"),
    (Status.DEGRADED, "yellow"),
    (Status.MAINTENANCE, "blue"),
    (Status.HEALTHY, "green"),
    (Status.PAUSED, "grey"),
    (Status.UNKNOWN, "grey"),
)


def strip(
    services: Collection[int], now: datetime, segments: int = 90, span: timedelta = STRIP
) -> dict[int, list[Segment]]:
    """The last `span` until `now`, by the service's id, the oldest segment first. As many queries as `histories`."""
    start = now - span
    edges = [start + span * part / segments for part in range(segments + 1)]
    blank = [Segment(since, until, _when(since, until), {}) for since, until in pairwise(edges)]
    whole: dict[tuple[datetime, str], Segment] = {}
    return {
        pk: list(_segments(blank, spans(each.changes, start, now, each.status, each.windows), whole))
        for pk, each in histories(services, start, now).items()
    }


def _segments(
    blank: Sequence[Segment], found: Iterator[Span], whole: dict[tuple[datetime, str], Segment]
) -> Iterator[Segment]:
    """`found` has no holes. `whole` keeps the segments of one status: nearly all are, and services share them."""
    span = next(found)
    for empty in blank:
        at, end = empty.start, empty.end
        times: dict[str, timedelta] = {}
        while span.end < end:
            times[span.status] = times.get(span.status, NOTHING) + (span.end - at)
            at = span.end
            span = next(found)
        if times:
            times[span.status] = times.get(span.status, NOTHING) + (end - at)
            yield Segment(empty.start, end, empty.when, times)
        else:
            key = empty.start, span.status
            if key not in whole:
                whole[key] = Segment(empty.start, end, empty.when, {span.status: end - at})
            yield whole[key]
        if span.end == end:
            span = next(found, span)


def _when(start: datetime, end: datetime) -> str:
    start, end = timezone.localtime(start), timezone.localtime(end)
    until = f"{end:%H:%M}" if end.date() == start.date() else f"{end.day} {end:%b %H:%M}"
    return f"{start.day} {start:%b %H:%M} to {until}"
