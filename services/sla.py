"""The SLA report: how available each service was in a month or a range, and those with a label together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import reduce
from typing import Any, Final

import msgspec

from core.spreadsheets import encoded, safe
from services import availability, visible
from services.availability import NOTHING, Availability
from services.models import Service

DAYS_MAX: Final = 400
SERVICES_MAX: Final = 5_000


class ReportError(Exception):
    """A sentence for whoever asked."""


class Period(msgspec.Struct, frozen=True):
    """Whole days of somebody's time zone."""

    first: date
    last: date
    zone: tzinfo

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)

    @property
    def end(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time(), self.zone)

    @property
    def is_month(self) -> bool:
        return self == month(self.first, self.zone)

    @property
    def name(self) -> str:
        return f"{self.first:%B %Y}" if self.is_month else f"{self.first} to {self.last}"


def month(day: date, zone: tzinfo) -> Period:
    """The month with that day."""
    return Period(day.replace(day=1), following(day) - timedelta(days=1), zone)


def following(day: date) -> date:
    """The first day of the month after."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def period(values: Mapping[str, str], today: date, zone: tzinfo) -> Period:
    """`month` ("2026-11"), or `from` and `to` (days, both included); else this month. Raises ReportError."""
    try:
        if values.get("from") or values.get("to"):
            found = Period(_day(values.get("from", "")), _day(values.get("to", "")), zone)
        elif values.get("month"):
            found = month(_day(f"{values['month']}-01"), zone)
        else:
            found = month(today, zone)
    except OverflowError:
        raise ReportError("Expected a time that has been.") from None
    if found.last < found.first:
        raise ReportError(f"Expected an end after the start, got {found.first} to {found.last}.")
    if (found.last - found.first).days >= DAYS_MAX:
        raise ReportError(f"Expected at most {DAYS_MAX} days.")
    if found.first > today:
        raise ReportError(f"Expected a time that has been, got {found.name}.")
    return found


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ReportError(f"Expected a day like 2026-11-21, or a month like 2026-11, got {text!r}.") from None
    if not 2000 <= found.year <= 9000:
        raise ReportError(f"Expected a year from 2000, got {found.year}.")
    return found


class Row(msgspec.Struct, frozen=True):
    """A service, or those that have a label in common."""

    name: str
    found: Availability
    service: Service | None = None
    services: int = 1
    met: int = 0  # how many of them meet their targets


SORTS: Final[dict[str, Callable[[Row], Any]]] = {
    "name": lambda row: row.name.lower(),
    "target": lambda row: row.found.target,
    "uptime": lambda row: 101 if row.found.uptime is None else row.found.uptime,
    "down": lambda row: row.found.down,
    "outages": lambda row: len(row.found.outages),
    "mttr": lambda row: row.found.mttr or NOTHING,
    "mtbf": lambda row: row.found.mtbf or timedelta.max,
    "left": lambda row: row.found.budget_left,
    "maintenance": lambda row: row.found.maintenance,
}


class Report(msgspec.Struct, frozen=True):
    rows: Sequence[Row]
    total: Row
    groups: Sequence[Row]  # by the values of a label; without one none


def report(when: Period, now: datetime, *, label: str = "", by: str = "", sort: str = "name") -> Report:
    """`label` is "team" or "team=payments": only services that have it. `by` is the name of a label. `sort` is one of
    SORTS, with "-" before it the other way round."""
    services = [each for each in visible.services(Service.objects.order_by("name"))[:SERVICES_MAX] if _has(each, label)]
    found = availability.for_services(services, when.start, when.end, now=now)
    rows = [Row(each.name, found[each.pk], each, met=found[each.pk].meets_target is not False) for each in services]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if by and row.service and by in row.service.labels:
            groups.setdefault(row.service.labels[by], []).append(row)
    key = SORTS.get(sort.removeprefix("-"), SORTS["name"])
    return Report(
        sorted(rows, key=key, reverse=sort.startswith("-")),
        together("all", rows, when),
        sorted((together(value, some, when) for value, some in groups.items()), key=key, reverse=sort.startswith("-")),
    )


def _has(service: Service, label: str) -> bool:
    name, equals, value = label.partition("=")
    return not name or (name in service.labels and (not equals or service.labels[name] == value))


def together(name: str, rows: Sequence[Row], when: Period) -> Row:
    """The times of all rows added up. The target is that which adds up to their budgets."""
    if not rows:
        return Row(name, Availability(when.start, when.end), services=0)
    total = reduce(_plus, (row.found for row in rows))
    whole = total.counted + total.remaining
    allowed = sum((row.found.budget for row in rows), NOTHING)
    target = total.target if not whole else 100 - 100 * Decimal(_micros(allowed)) / Decimal(_micros(whole))
    total = msgspec.structs.replace(total, target=target.quantize(Decimal("0.001")))
    return Row(name, total, services=len(rows), met=sum(row.met for row in rows))


def _plus(one: Availability, other: Availability) -> Availability:
    fields = ("healthy", "degraded", "down", "unknown", "paused", "maintenance", "outages", "remaining")
    sums = {field: getattr(one, field) + getattr(other, field) for field in fields}
    longest = max(one.longest_without, other.longest_without)
    return msgspec.structs.replace(one, **sums, longest_without=longest)


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


# --- The file --------------------------------------------------------------------------------------------------------

COLUMNS: Final = (
    "service", "owner", "labels", "from", "to", "target_percent", "uptime_percent", "meets_target", "counted_s",
    "down_s", "degraded_s", "maintenance_s", "paused_s", "unknown_s", "outages", "mttr_s", "mtbf_s",
    "longest_without_s", "budget_s", "budget_left_s",
)  # fmt: skip


def csv(rows: Iterable[Row]) -> bytes:
    return encoded([COLUMNS, *(_cells(row) for row in rows if row.service)])


def _cells(row: Row) -> list[str]:
    found, service = row.found, row.service
    assert service is not None
    labels = ", ".join(f"{name}={value}" for name, value in sorted(service.labels.items()))
    uptime = "" if found.uptime is None else found.uptime_text
    meets = {None: "", True: "yes", False: "no"}[found.meets_target]
    spans = (found.counted, found.down, found.degraded, found.maintenance, found.paused, found.unknown)
    means = (found.mttr, found.mtbf, found.longest_without, found.budget, found.budget_left)
    return [
        safe(service.name), safe(service.owner), safe(labels), found.start.isoformat(), found.end.isoformat(),
        f"{found.target:f}", uptime, meets, *map(_seconds, spans), str(len(found.outages)), *map(_seconds, means),
    ]  # fmt: skip


def _seconds(span: timedelta | None) -> str:
    """A number: a minus before it runs nothing."""
    return "" if span is None else f"{span.total_seconds():.0f}"
