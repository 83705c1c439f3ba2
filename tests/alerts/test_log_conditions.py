"""Conditions on log lines: what they measure now, and what they would have measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts import conditions, line_counts
from alerts.conditions import ConditionError, Measured
from alerts.facts import Facts
from tests.alerts.lines import line, spread, store
from tests.logs.opened import note_opened

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NOW = datetime(2026, 11, 21, 12, 0, 0, 300_000, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    line_counts.forget()
    yield
    line_counts.forget()


def measured(kind: str, at: datetime = NOW, *, most: int = 100, **config: Any) -> Measured:
    module = conditions.condition(kind)
    fitted = conditions.fitted(kind, config)
    module.check(fitted)
    return module.measure(fitted, Facts(at), most=most)


def values(found: Measured) -> list[tuple[Mapping[str, str], float]]:
    return [(sample.labels, sample.value) for sample in found.samples]


def replayed(kind: str, start: datetime, end: datetime, step: float, **config: Any) -> list[tuple[datetime, Measured]]:
    return list(conditions.condition(kind).replay(conditions.fitted(kind, config), start, end, step, most=100))


# --- Count and rate ------------------------------------------------------------------------------------------------


def test_lines_of_the_window_are_counted() -> None:
    store(*spread(NOW - 4 * MINUTE, 120, 30, level="error"), *spread(NOW - 4 * MINUTE, 120, 50))
    store(*spread(NOW - 10 * MINUTE, 120, 7, level="error"))
    found = measured("log_count", query="level:error", window=300)
    assert values(found) == [({}, 30.0)]
    assert found.samples[0].detail == "30 lines in 5 min"
    assert not found.no_data


def test_a_line_of_this_very_moment_counts() -> None:
    store(line(NOW, "boom"))
    assert values(measured("log_count", query="boom", window=300)) == [({}, 1.0)]


def test_no_line_is_a_number_too() -> None:
    assert values(measured("log_count", query="boom")) == [({}, 0.0)]
    assert not measured("log_count", query="boom").no_data


def test_each_group_is_a_sample_the_highest_first() -> None:
    store(
        *spread(NOW - MINUTE, 30, 3, service="api", tenant="t-1"),
        *spread(NOW - MINUTE, 30, 5, service="worker", tenant="t-1"),
        *spread(NOW - MINUTE, 30, 1, service="worker", tenant="t-2"),
        line(NOW - MINUTE, service="web"),
    )
    assert values(measured("log_count", group_by=["service"])) == [
        ({"service": "worker"}, 6), ({"service": "api"}, 3), ({"service": "web"}, 1),
    ]  # fmt: skip
    assert values(measured("log_count", group_by=["app", "metadata.tenant"])) == [
        ({"service": "worker", "tenant": "t-1"}, 5),
        ({"service": "api", "tenant": "t-1"}, 3),
        ({"service": "worker", "tenant": "t-2"}, 1),
    ]


def test_groups_beyond_the_cap_are_counted_and_left_out() -> None:
    store(*(line(NOW - MINUTE, tenant=f"t-{number:02}") for number in range(30)))
    found = measured("log_count", group_by=["tenant"], most=10)
    assert len(found.samples) == 10
    assert found.left_out == 20


def test_a_rate_is_a_mean_per_minute() -> None:
    store(*spread(NOW - 4 * MINUTE, 120, 30))
    assert values(measured("log_rate", window=300)) == [({}, 6.0)]
    assert values(measured("log_rate", window=60)) == [({}, 0.0)]


# --- Ratio ---------------------------------------------------------------------------------------------------------


def test_a_ratio_is_the_part_of_all_lines() -> None:
    store(
        *spread(NOW - MINUTE, 30, 5, service="api", level="error"), *spread(NOW - MINUTE, 30, 45, service="api"),
        *spread(NOW - MINUTE, 30, 30, service="worker"), line(NOW, service="small", level="error"),
    )  # fmt: skip
    found = measured("log_ratio", query="level:error", group_by=["service"])
    assert values(found) == [({"service": "api"}, 10.0), ({"service": "worker"}, 0.0)]
    assert found.samples[0].detail == "10 % of the lines"
    assert values(measured("log_ratio", query="level:error", of="service:api")) == [({}, 10.0)]


def test_a_part_of_few_lines_says_nothing() -> None:
    store(line(NOW, level="error"))
    assert measured("log_ratio", query="level:error") == Measured([], no_data=True)
    assert values(measured("log_ratio", query="level:error", at_least=1)) == [({}, 100.0)]


# --- Distinct values -----------------------------------------------------------------------------------------------


def test_different_values_are_counted() -> None:
    store(*(line(NOW - MINUTE, "login failed", user_id=f"u-{number % 4}") for number in range(20)))
    store(line(NOW - MINUTE, "login failed"), line(NOW, "hello", user_id="u-9"))
    assert values(measured("log_distinct", query='"login failed"', field="user_id")) == [({}, 4)]
    assert values(measured("log_distinct", field="user_id", group_by=["service"])) == [({"service": "api"}, 5)]
    assert values(measured("log_distinct", query="nothing", field="user_id")) == [({}, 0)]


# --- Absence -------------------------------------------------------------------------------------------------------


def test_lines_that_do_not_come_are_missed() -> None:
    store(*spread(NOW - 30 * MINUTE, 60, 10, "backup done"))
    (sample,) = measured("log_absence", query='"backup done"', window=600).samples
    assert (sample.labels, sample.detail) == ({}, "no line in 10 min")
    assert not measured("log_absence", query='"backup done"', window=2_400, lookback=3_600).samples


def test_a_group_is_missed_that_was_there_before() -> None:
    store(*spread(NOW - 30 * MINUTE, 60, 10, service="worker"), *spread(NOW - 30 * MINUTE, 1_799, 100, service="api"))
    store(*spread(NOW - 100 * MINUTE, 60, 10, service="forgotten"))
    found = measured("log_absence", window=600, group_by=["service"])
    assert [sample.labels for sample in found.samples] == [{"service": "worker"}]
    assert not found.no_data


# --- New patterns --------------------------------------------------------------------------------------------------


def test_a_pattern_is_new_that_was_not_there_before() -> None:
    store(*spread(NOW - 300 * MINUTE, 9_000, 20, "timeout after 100 ms", level="error"))
    store(line(NOW - MINUTE, "timeout after 250 ms", level="error"), line(NOW, "all is well 7"))
    assert not measured("log_pattern").samples
    store(*(line(NOW - MINUTE, f"deadlock on table t{number}", level="error") for number in range(3)))
    (sample,) = measured("log_pattern", group_by=["service"]).samples
    assert (sample.labels, sample.value) == ({"service": "api", "pattern": "deadlock on table *"}, 3)
    assert sample.detail == "new in 1 d: deadlock on table *"
    assert not measured("log_pattern", at=NOW + 20 * MINUTE).samples


def test_nothing_is_new_where_there_was_nothing_before() -> None:
    store(line(NOW - MINUTE, "boom", level="error"))
    assert measured("log_pattern") == Measured(no_data=True)


# --- What it costs -------------------------------------------------------------------------------------------------


def test_a_block_is_counted_once_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    store(*spread(NOW - 2 * MINUTE, 60, 10, "timeout"))
    assert values(measured("log_count", query="timeout")) == [({}, 10)]
    opened = note_opened(monkeypatch)
    store(line(NOW + 15 * SECOND, "timeout"))
    assert values(measured("log_count", query="timeout", at=NOW + 15 * SECOND)) == [({}, 11)]
    assert len(opened) == 1


def test_too_many_different_values_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_counts, "COUNTED_MAX", 20)
    store(*(line(NOW, tenant=f"t-{number}") for number in range(30)))
    with pytest.raises(ConditionError, match="too many different values of tenant: group by a field with fewer"):
        measured("log_count", group_by=["tenant"])


def test_what_could_not_be_counted_in_time_is_an_error_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    store(line(NOW, "timeout"))
    with monkeypatch.context() as patch:
        patch.setattr(line_counts, "DEADLINE", -1.0)
        with pytest.raises(ConditionError, match="5 min of lines are not counted yet: it goes on"):
            measured("log_count", query="timeout")
    assert values(measured("log_count", query="timeout")) == [({}, 1)]


# --- Settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "config", "sentence"),
    [
        ("log_count", {"query": "level:loud"}, "is not a level"),
        ("log_count", {"group_by": ["service", "app"]}, "group_by names a field twice"),
        ("log_count", {"group_by": ["timestamp"]}, "another value in each line"),
        ("log_count", {"group_by": ["a", "b", "c", "d"]}, "length <= 3"),
        ("log_count", {"window": 5}, ">= 10"),
        ("log_count", {"windw": 60}, "unknown field `windw`"),
        ("log_ratio", {"of": "level:loud"}, "is not a level"),
        ("log_distinct", {}, "missing required field `field`"),
        ("log_distinct", {"field": "id"}, "another value in each line"),
        ("log_absence", {"window": 3_600}, "lookback must be longer than the window"),
        ("log_pattern", {"window": 3_600, "lookback": 3_700}, "lookback must be twice the window or longer"),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind: str, config: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ConditionError, ValueError), match=sentence):
        measured(kind, **config)


# --- What would have been ------------------------------------------------------------------------------------------

START = NOW.replace(microsecond=0) - timedelta(hours=2)

CONFIGS: Sequence[tuple[str, dict[str, Any]]] = [
    ("log_count", {"query": "level:error"}),
    ("log_count", {"query": "timeout", "group_by": ["service"]}),
    ("log_rate", {"window": 60}),
    ("log_ratio", {"query": "timeout", "group_by": ["service"], "at_least": 3}),
    ("log_distinct", {"field": "user_id"}),
    ("log_absence", {"query": "timeout", "group_by": ["service"]}),
    ("log_pattern", {"query": "timeout"}),
]


@pytest.mark.parametrize(("kind", "config"), CONFIGS)
def test_a_replay_says_what_was_measured_then(kind: str, config: dict[str, Any]) -> None:
    """At whole minutes, in which the lines of all steps are there."""
    for begin in range(0, 120, 10):
        at = START + begin * MINUTE
        number = 10 + begin % 70
        store(
            *spread(at, 60, number, level="error", user_id=begin), *spread(at, 20, 8, "timeout", service="worker"),
            *spread(at + 3 * MINUTE, 300, 2, f"timeout {'abcdefghijklm'[begin // 10]}", service="api"),
        )  # fmt: skip
    times = []
    for at, found in replayed(kind, START + 5 * MINUTE, START + 115 * MINUTE, 60, **config):
        now = measured(kind, at, **config)
        assert (at, values(found), found.no_data) == (at, values(now), now.no_data)
        times.append(at)
    assert times == [START + minute * MINUTE for minute in range(5, 115)]


def test_a_replay_that_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store(line(START + MINUTE, "timeout"))
    monkeypatch.setattr(line_counts, "REPLAY_DEADLINE", -1.0)
    with pytest.raises(ConditionError, match="look at fewer days"):
        replayed("log_count", START, NOW, 60, query="timeout")
