"""Times of the week, month or year, as Alertmanager's `time_intervals` say them. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#time_interval
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

Range = tuple[int, int]  # both ends belong to it

INTERVALS_MAX: Final = 100
RANGES_MAX: Final = 100
WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS: Final = tuple(calendar.month_name[number].lower() for number in range(1, 13))
LOCAL: Final = "Local"  # of the machine


class IntervalError(ValueError):
    """What was expected, and what came."""


class Interval(msgspec.Struct, frozen=True):
    """Where a field is None, any value fits; else one of its ranges must hold."""

    times: Sequence[Range] | None = None  # minutes of the day; the last one doesn't belong to it
    weekdays: Sequence[Range] | None = None  # 0 is Sunday
    days_of_month: Sequence[Range] | None = None  # -1 is the last day
    months: Sequence[Range] | None = None
    years: Sequence[Range] | None = None
    location: str = "UTC"

    def contains(self, at: datetime) -> bool:
        """`at` is aware."""
        local = at.astimezone(None if self.location == LOCAL else _zone(self.location))
        minute = local.hour * 60 + local.minute
        return (
            _within(self.times, minute, beyond=1)
            and _within(self.weekdays, local.isoweekday() % 7)
            and _within(self.months, local.month)
            and _within(self.years, local.year)
            and self._on_day(local)
        )

    def _on_day(self, local: datetime) -> bool:
        if self.days_of_month is None:
            return True
        last = calendar.monthrange(local.year, local.month)[1]
        counted = [(_from_start(begin, last), _from_start(end, last)) for begin, end in self.days_of_month]
        return _within(counted, local.day)


def contain(intervals: Sequence[Interval], at: datetime) -> bool:
    """Whether any of them does."""
    return any(interval.contains(at) for interval in intervals)


def _within(ranges: Sequence[Range] | None, value: int, beyond: int = 0) -> bool:
    return ranges is None or any(begin <= value <= end - beyond for begin, end in ranges)


def _from_start(day: int, last: int) -> int:
    return last + 1 + day if day < 0 else day


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


# --- From data -------------------------------------------------------------------------------------------------------


def parse(value: object) -> list[Interval]:
    """Of a list of mappings, with Alertmanager's names and texts. Raises IntervalError."""
    if not isinstance(value, list):
        raise IntervalError("Expected a list of intervals.")
    if len(value) > INTERVALS_MAX:
        raise IntervalError(f"Expected at most {INTERVALS_MAX} intervals, got {len(value)}.")
    return [_parse(each) for each in value]


def _parse(value: object) -> Interval:
    if not isinstance(value, dict):
        raise IntervalError(f"Expected a mapping with {', '.join(_FIELDS)} or location, got {str(value)[:80]!r}.")
    if unknown := value.keys() - {*_FIELDS, "location"}:
        raise IntervalError(f"Expected {', '.join(_FIELDS)} or location, got {str(min(unknown, key=str))[:80]!r}.")
    found = {name: _ranges(name, value[name]) for name in _FIELDS if value.get(name) is not None}
    return Interval(**found, location=_location(value.get("location") or "UTC"))


def _ranges(name: str, value: object) -> list[Range]:
    if not isinstance(value, list) or not value:
        raise IntervalError(f"Expected a list of {name} with something in it, or none at all.")
    if len(value) > RANGES_MAX:
        raise IntervalError(f"Expected at most {RANGES_MAX} {name}, got {len(value)}.")
    return [_FIELDS[name](each) for each in value]


def _location(name: object) -> str:
    if name == LOCAL:
        return LOCAL
    try:
        return _zone(str(name)).key
    except (KeyError, ValueError, OSError):  # no such name, not a name, a folder of names
        raise IntervalError(f"Expected a time zone like Europe/Berlin, got {str(name)[:80]!r}.") from None


_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00)")


def _time_range(value: object) -> Range:
    if not isinstance(value, dict) or value.keys() != {"start_time", "end_time"}:
        raise IntervalError(f"Expected start_time and end_time, got {str(value)[:80]!r}.")
    start, end = _minute(value["start_time"]), _minute(value["end_time"])
    if start >= end:
        raise IntervalError(
            f"Expected a start_time before the end_time, got {value['start_time']} and {value['end_time']}; "
            "times over midnight are two ranges."
        )
    return start, end


def _minute(text: object) -> int:
    found = _TIME.fullmatch(str(text))
    if not found:
        raise IntervalError(f"Expected a time like 09:30, at most 24:00, got {str(text)[:80]!r}.")
    hours, minutes = (int(each) for each in found.groups() if each is not None)
    return hours * 60 + minutes


def _range_of(what: str, numbers: Mapping[str, int]) -> Callable[[object], Range]:
    def parsed(value: object) -> Range:
        first, colon, last = str(value).lower().partition(":")
        begin, end = numbers.get(first), numbers.get(last if colon else first)
        if begin is None or end is None:
            raise IntervalError(f"Expected {what}, or two with a colon, got {str(value)[:80]!r}.")
        _in_order(begin, end, str(value))
        return begin, end

    return parsed


def _in_order(begin: int, end: int, text: str) -> None:
    """Days from the end are counted in the shortest month: what can hold in some month is no mistake."""
    counted = [28 + each if each < 0 else each for each in (begin, end)]
    if counted[0] > counted[1] or (begin < 0 < end):
        raise IntervalError(f"Expected the begin of a range before its end, got {text[:80]!r}.")


def _counted(numbers: Iterable[int]) -> dict[str, int]:
    return {str(number): number for number in numbers}


_FIELDS: Final[dict[str, Callable[[object], Range]]] = {
    "times": _time_range,
    "weekdays": _range_of("a day like monday", {name: number for number, name in enumerate(WEEKDAYS)}),
    "days_of_month": _range_of("a day from 1 to 31, or from -31 to -1", _counted([*range(1, 32), *range(-31, 0)])),
    "months": _range_of(
        "a month like may, or from 1 to 12",
        {**_counted(range(1, 13)), **{name: number for number, name in enumerate(MONTHS, 1)}},
    ),
    "years": _range_of("a year from 1970 to 2999", _counted(range(1970, 3_000))),
}
