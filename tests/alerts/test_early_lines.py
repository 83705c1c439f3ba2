"""Rules about log lines that are looked at as soon as a line comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts import early_lines, evaluating
from alerts.models import Alert, AlertRule
from core import clock
from logs import query
from logs.records import Level
from logs.store import log_stores
from tests.alerts.lines import line, store

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
DUE = clock.micros(NOW + timedelta(seconds=10))


@pytest.fixture(autouse=True)
def _from_the_beginning(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    AlertRule.objects.all().delete()
    monkeypatch.setattr(early_lines, "_seen", early_lines._Seen())
    early_lines.rules()


def rule(text: str, name: str = "", **fields: Any) -> int:
    known = {"kind": "log_count", "thresholds": [{"severity": "high", "value": 0}], "due_at": DUE}
    made = AlertRule(name=name or text, config={"query": text}, **known | fields)
    return AlertRule.objects.bulk_create([made])[0].pk


def came(message: str = "hello", **fields: Any) -> set[int]:
    store(line(NOW, message, **fields))
    return early_lines.rules()


def test_a_rule_is_looked_at_when_a_line_matches_its_query() -> None:
    errors, deadlocks, everything = rule("level:error service:worker"), rule("deadlock"), rule("")
    assert came(level="error", service="worker") == {errors, everything}
    assert came(level="error", service="api") == {everything}
    assert came("a Deadlock was found", service="Worker") == {deadlocks, everything}
    assert early_lines.rules() == set()


def test_lines_that_were_there_before_are_no_news() -> None:
    rule("")
    store(line(NOW))
    early_lines._seen.commit = -1
    assert early_lines.rules() == set()


@pytest.mark.parametrize(
    "fields", [{"pending_for": 60}, {"enabled": False}, {"kind": "log_absence"}, {"kind": "heartbeat"}]
)
def test_only_rules_that_a_line_may_fire_at_once(fields: dict[str, Any]) -> None:
    rule("", **fields)
    assert came() == set()


def test_a_query_that_can_not_be_read_holds_up_no_other() -> None:
    rule("level:(", "broken")
    good = rule("hello")
    assert came() == {good}


def test_of_many_those_that_lines_match_rarely_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_lines, "WORK_MAX", 2 * early_lines.FIRST_WORK - 1)
    noisy = {rule("hello", f"noisy {number}") for number in range(5)}
    for _ in range(3):
        assert came() < noisy
    rare = rule("deadlock")
    assert rare in came("hello, deadlock")


def test_those_that_lines_match_all_the_time_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_lines, "WORK_MAX", 0)
    noisy = {rule("hello", f"noisy {number}") for number in range(3)}
    for _ in range(40):
        came()
    assert came() | came() | came() == noisy


def test_a_rule_that_is_far_from_its_limit_sleeps_until_enough_lines_came() -> None:
    limits = [{"severity": "high", "value": 3}]
    far = rule("hello", thresholds=limits, values=[[{}, 1]], evaluated_at=1)
    assert came() == came() == set()
    assert came() == {far}
    # It was evaluated, while the last of them came perhaps.
    AlertRule.objects.update(values=[[{}, 2]], evaluated_at=2)
    assert came() == {far}
    AlertRule.objects.update(values=[[{}, 0]], evaluated_at=3)
    assert came() == set()


def test_of_lines_that_were_not_all_read_nothing_is_concluded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_lines, "LINES_MAX", 1)
    far = rule("hello", thresholds=[{"severity": "high", "value": 100}], evaluated_at=1)
    assert came() == {far}


def test_it_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_lines, "BUDGET", -1.0)
    rule("")
    assert came() == set()


def test_a_store_that_does_not_answer_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(type(log_stores["default"]), "last_commit", away)
    assert early_lines.rules() == set()


def test_a_line_fires_a_rule_whose_turn_is_far_away() -> None:
    rule("level:error")
    store(line(NOW, level="error"))
    evaluating.run_early(NOW + timedelta(milliseconds=500))
    assert Alert.objects.get().state == "firing"
    # It keeps its place.
    assert AlertRule.objects.get().due_at == DUE


@pytest.mark.parametrize(
    ("text", "levels", "services"),
    [
        ("", None, None),
        ("timeout", None, None),
        ("level:error", {Level.ERROR}, None),
        ("level:error level:fatal", set(), None),
        ("service:worker level:error timeout", {Level.ERROR}, {"worker"}),
        ("service:worker OR service:API", None, {"worker", "api"}),
        ("service:worker OR timeout", None, None),
        ("(level:error service:a) OR (level:fatal service:b)", {Level.ERROR, Level.FATAL}, {"a", "b"}),
        ("-service:worker", None, None),
        ("service:work*", None, None),
        ("service:a service:b", None, set()),
    ],
)
def test_what_a_line_that_matches_has_at_least(text: str, levels: set[Level] | None, services: set[str] | None) -> None:
    mask, names = early_lines._labels(query.parse(text))
    assert {level for level in Level if mask >> level & 1} == (set(Level) if levels is None else levels)
    assert names == services
