"""Times of the week, month or year: when they hold, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.mute_times import IntervalError, contain, parse

OFFICE = {
    "times": [{"start_time": "09:00", "end_time": "17:00"}],
    "weekdays": ["monday:friday"],
    "location": "Europe/Berlin",
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def holds(interval: dict[str, Any], text: str) -> bool:
    return contain(parse([interval]), utc(text))


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        # The end does not belong to it.
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-11-21 16:59:59", "2026-11-21 17:00"),
        ({"times": [{"start_time": "17:00", "end_time": "24:00"}]}, "2026-11-21 23:59:59", "2026-11-22 00:00"),
        ({"weekdays": ["monday:wednesday", "Saturday"]}, "2026-11-21 12:00", "2026-11-22 12:00"),
        ({"weekdays": ["sunday"]}, "2026-11-22 00:00", "2026-11-23 00:00"),
        ({"days_of_month": ["1:5", "-3:-1"]}, "2026-11-28 12:00", "2026-11-27 12:00"),
        ({"days_of_month": ["-1"]}, "2028-02-29 12:00", "2028-02-28 12:00"),
        # In a month that is too short it ends with the month, or doesn't hold at all.
        ({"days_of_month": ["27:31"]}, "2026-02-28 12:00", "2026-02-26 12:00"),
        ({"days_of_month": ["30:31"]}, "2026-03-30 12:00", "2026-02-28 12:00"),
        ({"days_of_month": ["-31:-30"]}, "2026-03-01 12:00", "2026-02-01 12:00"),
        ({"days_of_month": [31]}, "2026-03-31 12:00", "2026-03-30 12:00"),
        ({"months": ["1:3", "may:august", "December"]}, "2026-08-31 12:00", "2026-09-01 12:00"),
        ({"years": ["2020:2022", 2026]}, "2026-12-31 23:59", "2027-01-01 00:00"),
        # In winter and in summer.
        (OFFICE, "2026-11-20 15:59", "2026-11-20 16:00"),
        (OFFICE, "2026-07-03 07:00", "2026-07-03 06:59"),
        # Every field must hold.
        ({"weekdays": ["saturday"], "months": ["november"]}, "2026-11-21 12:00", "2026-10-31 23:59"),
    ],
)
def test_when_an_interval_holds(interval: dict[str, Any], inside: str, outside: str) -> None:
    assert holds(interval, inside)
    assert not holds(interval, outside)


def test_without_fields_it_always_holds() -> None:
    assert holds({}, "2026-11-21 12:00")


def test_one_of_several_is_enough() -> None:
    intervals = parse([{"weekdays": ["monday"]}, {"weekdays": ["saturday"]}])

    assert contain(intervals, utc("2026-11-21"))
    assert not contain(intervals, utc("2026-11-22"))
    assert not contain([], utc("2026-11-21"))


def test_local_is_the_time_of_the_machine() -> None:
    now = utc("2026-11-21 12:00")
    local = now.astimezone()
    interval = {"times": [{"start_time": f"{local.hour:02}:00", "end_time": f"{local.hour:02}:59"}]}

    assert contain(parse([{**interval, "location": "Local"}]), local.replace(minute=0))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("monday", "Expected a list of intervals."),
        (["monday"], "Expected a mapping with times, weekdays, days_of_month, months, years or location"),
        ([{"days": ["monday"]}], "got 'days'"),
        ([{"weekdays": []}], "Expected a list of weekdays with something in it"),
        ([{"weekdays": "monday"}], "Expected a list of weekdays"),
        ([{"weekdays": ["1:5"]}], "Expected a day like monday"),
        ([{"weekdays": ["saturday:sunday"]}], "Expected the begin of a range before its end"),
        ([{"weekdays": ["monday:tuesday:friday"]}], "Expected a day like monday"),
        ([{"weekdays": [["monday"]]}], "Expected a day like monday"),
        ([{"days_of_month": [0]}], "Expected a day from 1 to 31, or from -31 to -1"),
        ([{"days_of_month": ["32"]}], "Expected a day from 1"),
        ([{"days_of_month": ["-3:5"]}], "Expected the begin of a range before its end"),
        ([{"days_of_month": ["30:-1"]}], "Expected the begin of a range before its end"),
        ([{"months": ["13"]}], "Expected a month like may"),
        ([{"months": ["5:january"]}], "Expected the begin of a range before its end"),
        ([{"years": ["26"]}], "Expected a year from 1970"),
        ([{"years": [True]}], "Expected a year from 1970"),
        ([{"times": [{"start_time": "9:00", "end_time": "17:00"}]}], "Expected a time like 09:30"),
        ([{"times": [{"start_time": "09:00", "end_time": "24:01"}]}], "Expected a time like 09:30"),
        ([{"times": [{"start_time": "09:00"}]}], "Expected start_time and end_time"),
        ([{"times": [{"start_time": "22:00", "end_time": "06:00"}]}], "times over midnight are two ranges"),
        ([{"location": "Atlantis"}], "Expected a time zone like Europe/Berlin, got 'Atlantis'"),
        ([{"location": "../etc/passwd"}], "Expected a time zone"),
        ([{"location": "Europe"}], "Expected a time zone"),
        ([{"location": 5}], "Expected a time zone"),
        ([{}] * 101, "at most 100 intervals, got 101"),
        ([{"years": [2026] * 101}], "at most 100 years, got 101"),
    ],
)
def test_what_is_no_interval_is_refused_with_a_sentence(value: object, sentence: str) -> None:
    with pytest.raises(IntervalError) as refused:
        parse(value)
    assert sentence in str(refused.value)
