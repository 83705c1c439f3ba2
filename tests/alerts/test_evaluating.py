"""Rules that are due, and rows of alerts."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from alerts import dispatch, early, evaluating, reach, tasks
from alerts.conditions import ConditionError, Measured, Sample
from alerts.models import Alert, AlertRule
from alerts.models.alerts import State
from core import clock
from services.models import Service, StatusChange
from tests.alerts.stated import Stated, found, rule, stated_condition  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(databases="__all__")
commits = pytest.mark.django_db(transaction=True, databases="__all__")

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Who is told is another matter: here it is seen what dispatch is given."""
    taken: list[tuple[str, str, str]] = []

    def take(rows: list[Alert], now: datetime) -> None:
        assert connections["default"].in_atomic_block
        taken.extend((row.labels["alertname"], row.labels.get("service", ""), row.state) for row in rows)

    monkeypatch.setattr(dispatch, "take", take)
    return taken


@pytest.fixture(autouse=True)
def _from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluating, "_settled", 0)
    monkeypatch.setattr(evaluating, "_behind", False)
    monkeypatch.setattr(early, "_seen", {})
    monkeypatch.setattr(evaluating, "_missed", set())


def reread(row: AlertRule) -> AlertRule:
    return AlertRule.objects.get(pk=row.pk)


def states() -> list[tuple[str, str]]:
    rows = Alert.objects.order_by("pk").values_list("labels__service", "state")
    return [(service or "", state) for service, state in rows]


# --- Alerts ----------------------------------------------------------------------------------------------------------


def test_an_alert_from_its_beginning_to_its_end(stated: Stated, told: list[Any]) -> None:
    rule(pending_for=15, labels={"team": "shop"}, summary="{{ $labels.service }} has {{ $value }}")
    stated.found["it"] = found("worker", value=3.0, detail="three of them")
    evaluating.run_due(at(0))
    [alert] = Alert.objects.all()
    assert (alert.state, alert.fired_at, told) == (State.PENDING, None, [])
    for seconds in range(1, 40):
        evaluating.run_due(at(seconds))
    alert.refresh_from_db()
    assert alert.labels == {"alertname": "Test", "severity": "high", "service": "worker", "team": "shop"}
    assert alert.annotations == {"summary": "worker has 3", "detail": "three of them"}
    assert (alert.state, alert.active_at, alert.value) == (State.FIRING, at(0), 3.0)
    assert alert.fired_at
    assert alert.fired_at <= at(31)
    assert told == [("Test", "worker", "firing")]
    stated.found["it"] = Measured()
    for seconds in range(40, 60):
        evaluating.run_due(at(seconds))
    alert.refresh_from_db()
    assert alert.state == State.RESOLVED
    assert alert.resolved_at
    assert told == [("Test", "worker", "firing"), ("Test", "worker", "resolved")]


def test_a_pending_one_that_ends_leaves_nothing(stated: Stated, told: list[Any]) -> None:
    one = rule(pending_for=60)
    stated.found["it"] = found("worker")
    evaluating.evaluate([one], at(0))
    stated.found["it"] = Measured()
    evaluating.evaluate([one], at(15))
    assert (states(), told) == ([], [])


def test_what_people_are_told_follows_the_value(stated: Stated) -> None:
    one = rule(summary="{{ $value }} at {{ $labels.service }}", description="{{ $detail }}, {{ $severity }}")
    stated.found["it"] = found("worker", value=3.0, detail="three")
    evaluating.evaluate([one], at(0))
    stated.found["it"] = found("worker", value=4.5, detail="more")
    evaluating.evaluate([one], at(15))
    [alert] = Alert.objects.all()
    assert alert.annotations == {"summary": "4.5 at worker", "description": "more, high", "detail": "more"}
    assert (alert.value, alert.true_at) == (4.5, at(15))


def test_an_alert_that_stays_as_it_is_was_true_last_now(stated: Stated) -> None:
    one = rule()
    stated.found["it"] = found("worker", "api")
    evaluating.evaluate([one], at(0))
    evaluating.evaluate([one], at(15))
    assert set(Alert.objects.values_list("true_at", "active_at")) == {(at(15), at(0))}


def test_without_a_summary_it_says_what_was_found(stated: Stated) -> None:
    stated.found |= {"it": found("worker", detail="three of them"), "bare": found("worker")}
    evaluating.evaluate([rule(), rule("Bare", "bare")], at(0))
    assert {alert.annotations["summary"] for alert in Alert.objects.all()} == {"three of them", "Bare"}


def test_a_template_that_fails_does_not_keep_the_alert_back(stated: Stated) -> None:
    stated.found["it"] = found("worker")
    evaluating.evaluate([rule(summary="{{ humanize $labels.service }}")], at(0))
    [alert] = Alert.objects.all()
    assert alert.annotations["summary"].startswith("<template: humanize can't be applied to 'worker'")


def test_thresholds_make_alerts_of_several_severities(stated: Stated) -> None:
    limits = [{"severity": "medium", "value": 1}, {"severity": "critical", "value": 5}]
    stated.found["it"] = found("worker", value=7.0)
    evaluating.evaluate([rule(thresholds=limits)], at(0))
    assert set(Alert.objects.values_list("severity", "labels__severity")) == {
        ("critical", "critical"), ("medium", "medium"),
    }  # fmt: skip


def test_it_fires_anew_after_its_end(stated: Stated) -> None:
    one = rule()
    for seconds, measured in ((0, found("worker")), (15, Measured()), (30, found("worker"))):
        stated.found["it"] = measured
        evaluating.evaluate([one], at(seconds))
    assert states() == [("worker", "resolved"), ("worker", "firing")]


def test_an_alert_with_the_same_labels_that_others_send_is_left_to_them(stated: Stated, told: list[Any]) -> None:
    one = rule()
    stated.found["it"] = found("worker", "api")
    evaluating.evaluate([one], at(0))
    Alert.objects.update(rule=None)
    evaluating.evaluate([one], at(15))
    assert Alert.objects.count() == 2
    assert len(told) == 2


# --- What the rule shows ---------------------------------------------------------------------------------------------


def test_a_rule_shows_what_it_measured(stated: Stated) -> None:
    one = rule()
    stated.found["it"] = found("worker", "api", value=2.0)
    evaluating.evaluate([one], at(0))
    one = reread(one)
    assert one.values == [[{"service": "worker"}, 2.0], [{"service": "api"}, 2.0]]
    assert one.evaluated_at == clock.micros(at(0))
    assert one.took_us is not None
    assert (one.error, one.note, one.claim) == ("", "", "")


def test_of_many_values_a_rule_keeps_a_few_and_none_that_json_does_not_know(stated: Stated) -> None:
    one = rule()
    names = [str(number) for number in range(50)]
    stated.found["it"] = Measured([Sample({}, float("inf")), *found(*names).samples])
    evaluating.evaluate([one], at(0))
    assert len(reread(one).values) == reach.VALUES_MAX - 1


def test_the_cap_is_told(stated: Stated) -> None:
    one = rule(alerts_max=2)
    stated.found["it"] = found("a", "b", "c", "d")
    evaluating.evaluate([one], at(0))
    assert reread(one).note == "2 alerts, 2 left out"
    assert Alert.objects.count() == 2


def test_since_when_there_is_no_data_is_told(stated: Stated) -> None:
    one = rule()
    stated.found["it"] = Measured(no_data=True)
    evaluating.evaluate([one], at(0))
    evaluating.evaluate([one], at(15))
    assert reread(one).note == "no data since 2026-11-21 10:00:00 UTC"
    stated.found["it"] = Measured()
    evaluating.evaluate([one], at(30))
    assert reread(one).note == ""


def test_what_can_not_be_measured_is_told_once_and_changes_nothing(
    stated: Stated, caplog: pytest.LogCaptureFixture
) -> None:
    one = rule()
    stated.found["it"] = found("worker")
    evaluating.evaluate([one], at(0))
    stated.found["it"] = ConditionError("the log store did not answer within 5 s")
    evaluating.evaluate([one], at(15))
    evaluating.evaluate([one], at(30))
    assert reread(one).error == "the log store did not answer within 5 s"
    assert states() == [("worker", "firing")]
    assert caplog.messages == ["Rule Test can't be evaluated: the log store did not answer within 5 s"]
    stated.found["it"] = Measured()
    evaluating.evaluate([one], at(45))
    assert reread(one).error == ""


def test_a_rule_that_fails_in_an_unknown_way_does_not_keep_the_others_back(
    stated: Stated, caplog: pytest.LogCaptureFixture
) -> None:
    stated.found |= {"bad": ZeroDivisionError("a bug"), "it": found("worker")}
    bad = rule("Bad", "bad")
    rule()
    assert evaluating.run_due(at(0)) == 2
    assert states() == [("worker", "firing")]
    assert caplog.messages == ["Rule Bad could not be evaluated"]
    assert reread(bad).due_at == clock.micros(at(60))


def test_settings_that_fit_no_more_are_an_error_of_the_rule(stated: Stated) -> None:
    old = rule("Old")
    AlertRule.objects.update(config={"gone": 1})
    odd = rule("Odd", thresholds=[{"severity": "awful", "value": 1}])
    evaluating.evaluate([old, odd], at(0))
    assert reread(old).error.startswith("the settings of this condition don't fit")
    assert reread(odd).error.startswith("the thresholds of this rule don't fit")


# --- Who is due ------------------------------------------------------------------------------------------------------


@commits
def test_a_new_rule_is_evaluated_at_once_and_then_on_a_grid_of_its_own(database: str, stated: Stated) -> None:
    rows = [rule(f"Rule {number}", interval=20) for number in range(100)]
    assert evaluating.run_due(at(0)) == 100
    counts = [evaluating.run_due(at(seconds)) for seconds in range(1, 21)]
    assert sum(counts) == 100
    assert max(counts) <= 10
    first = {row.pk: reread(row).due_at for row in rows}
    for seconds in range(21, 41):
        evaluating.run_due(at(seconds))
    assert {row.pk: reread(row).due_at - first[row.pk] for row in rows} == {row.pk: 20 * clock.SECOND for row in rows}


def test_what_was_missed_is_not_made_up_for(stated: Stated) -> None:
    one = rule(due_at=clock.micros(at(0)))
    evaluating.run_due(at(100))
    assert stated.asked == [("it", at(100))]
    assert reread(one).due_at == clock.micros(at(105))


def test_a_rule_that_is_off_is_left_alone(stated: Stated) -> None:
    rule(enabled=False)
    assert evaluating.run_due(at(0)) == 0


@commits
def test_workers_at_the_same_time_evaluate_each_rule_once(database: str, stated: Stated) -> None:
    for number in range(20):
        rule(f"Rule {number}", str(number))
    stated.found = {str(number): found("worker") for number in range(20)}
    ready = threading.Barrier(4)

    def tick() -> None:
        ready.wait()
        evaluating.run_due(at(0))
        connections.close_all()

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _ in stated.asked) == sorted(map(str, range(20)))
    assert Alert.objects.count() == 20


@commits
def test_of_a_killed_worker_the_rule_comes_back_when_its_lease_ends(database: str, stated: Stated) -> None:
    one = rule()
    stated.found["it"] = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        evaluating.run_due(at(0))
    stated.found["it"] = found("worker")
    assert evaluating.run_due(at(59)) == 0
    assert evaluating.run_due(at(60)) == 1
    assert states() == [("worker", "firing")]
    assert reread(one).claim == ""


@commits
def test_what_a_slow_worker_found_does_not_count_any_more(database: str, stated: Stated, told: list[Any]) -> None:
    one = rule()

    def meanwhile(_: datetime) -> Measured:
        stated.found["it"] = Measured()
        evaluating.evaluate([one], at(60))  # as another process does
        return found("worker")

    stated.found["it"] = meanwhile
    evaluating.run_due(at(0))
    assert (states(), told) == ([], [])
    assert reread(one).evaluated_at == clock.micros(at(60))


@commits
def test_what_was_measured_of_a_rule_as_it_was_before_does_not_count(database: str, stated: Stated) -> None:
    one = rule()

    def meanwhile(_: datetime) -> Measured:
        row = reread(one)
        row.pending_for = 3_600
        row.save()
        return found("worker")

    stated.found["it"] = meanwhile
    evaluating.run_due(at(0))
    assert states() == []
    stated.found["it"] = found("worker")
    evaluating.run_due(at(1))
    assert states() == [("worker", "pending")]


def test_a_tick_hands_back_what_it_does_not_come_to(
    stated: Stated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(evaluating, "BUDGET", -1.0)
    one = rule(due_at=clock.micros(at(-1)))
    evaluating.run_due(at(0))
    assert (stated.asked, reread(one).claim, reread(one).due_at) == ([], "", clock.micros(at(-1)))
    evaluating.run_due(at(1))
    assert caplog.messages == ["Rules are evaluated late: those that are due take more than -1 s"]


def test_a_slow_rule_holds_up_none_that_can_not_wait(stated: Stated) -> None:
    """While one tick is at the rules that are due, another one evaluates those that something has happened to."""
    slow = rule("Slow", "slow", due_at=clock.micros(at(1)))
    rule("Woken", "woken", due_at=clock.micros(at(10)))
    rule("Due", "due", due_at=clock.micros(at(2)))
    evaluating.run_early(at(0))

    def meanwhile(_: datetime) -> Measured:
        service = Service.objects.create(name="worker")
        StatusChange.objects.create(service=service, at=NOW, noticed_at=NOW, old="healthy", new="down")
        assert evaluating.run_early(at(2)) == 1
        assert evaluating.run_due(at(2)) == 0
        return Measured()

    stated.found |= {"slow": meanwhile, "woken": found("worker")}
    AlertRule.objects.filter(name="Due").update(kind="log_count")  # no change of a service wakes it
    AlertRule.objects.filter(pk=slow.pk).update(due_at=clock.micros(at(1)))
    evaluating.run_due(at(1))
    assert {name for name, _ in stated.asked} == {"slow", "woken"}
    assert states() == [("worker", "firing")]


# --- Clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [3_600, -3_600])
def test_an_hours_jump_of_the_clock_is_no_storm(stated: Stated, told: list[Any], jump: int) -> None:
    rule("Pending", "it", pending_for=300)
    rule("Firing", "other", keep_firing_for=300)
    stated.found |= {"it": found("worker"), "other": found("api")}
    for seconds in range(30):
        evaluating.run_due(at(seconds))
    stated.found["other"] = Measured()
    told.clear()
    for seconds in range(30, 120):
        evaluating.run_due(at(jump + seconds))
    assert told == []
    assert len(stated.asked) < 25
    for seconds in range(120, 480):
        evaluating.run_due(at(jump + seconds))
    assert sorted(told) == [("Firing", "api", "resolved"), ("Pending", "worker", "firing")]


# --- Rules that go ---------------------------------------------------------------------------------------------------


@commits
def test_the_alerts_of_a_rule_that_is_switched_off_end(database: str, stated: Stated, told: list[Any]) -> None:
    one = rule()
    stated.found["it"] = found("worker")
    evaluating.evaluate([one], at(0))
    one.enabled = False
    one.save()
    assert states() == [("worker", "resolved")]
    assert told[-1] == ("Test", "worker", "resolved")


def test_so_do_those_of_a_rule_that_is_deleted(stated: Stated, told: list[Any]) -> None:
    one = rule()
    stated.found["it"] = found("worker")
    evaluating.evaluate([one], at(0))
    AlertRule.objects.all().delete()
    assert Alert.objects.get().rule is None
    assert states() == [("worker", "resolved")]
    assert told[-1] == ("Test", "worker", "resolved")


def test_so_do_those_of_rules_that_were_switched_off_behind_our_back(stated: Stated) -> None:
    one = rule()
    stated.found["it"] = found("worker")
    evaluating.evaluate([one], at(0))
    AlertRule.objects.update(enabled=False)
    evaluating.run_due(at(30))
    assert states() == [("worker", "resolved")]


@commits
def test_a_rule_that_is_saved_is_due_at_once(stated: Stated) -> None:
    one = rule(due_at=clock.micros(at(1_000)), claim="somebody")
    one.save()
    assert (reread(one).due_at, reread(one).claim) == (0, "")


# --- Without waiting for its turn ------------------------------------------------------------------------------------


def test_a_rule_about_services_is_evaluated_when_one_changes(stated: Stated) -> None:
    one = rule()
    evaluating.run_due(at(0))
    due = reread(one).due_at
    assert evaluating.run_early(at(0.5)) == 0
    service = Service.objects.create(name="worker")
    StatusChange.objects.create(service=service, at=NOW, noticed_at=NOW, old="healthy", new="down")
    assert evaluating.run_early(at(0.7)) == 0  # nothing comes of it
    assert reread(one).evaluated_at == clock.micros(at(0))
    stated.found["it"] = found("worker")
    StatusChange.objects.create(service=service, at=NOW, noticed_at=NOW, old="down", new="degraded")
    assert evaluating.run_early(at(0.8)) == 1
    assert states() == [("worker", "firing")]
    assert evaluating.run_early(at(0.9)) == 0
    # It keeps its place on the grid.
    assert reread(one).due_at == due


def test_a_rule_that_is_woken_while_somebody_evaluates_it_is_looked_at_afterwards(stated: Stated) -> None:
    """What that found is perhaps of the time before."""
    one = rule(due_at=clock.micros(at(60)), claim="somebody")
    evaluating.run_early(at(0))
    stated.found["it"] = found("worker")
    service = Service.objects.create(name="worker")
    StatusChange.objects.create(service=service, at=NOW, noticed_at=NOW, old="healthy", new="down")
    assert evaluating.run_early(at(0.5)) == 0
    AlertRule.objects.filter(pk=one.pk).update(claim="")
    assert evaluating.run_early(at(1)) == 1
    assert states() == [("worker", "firing")]
    assert evaluating.run_early(at(1.5)) == 0


def test_a_change_of_a_service_wakes_the_rules_that_look_at_it(stated: Stated) -> None:
    rule("Of it", "of it", ["work*"], due_at=clock.micros(at(60)))
    rule("Of all", "of all", due_at=clock.micros(at(60)))
    rule("Of others", "of others", ["api"], due_at=clock.micros(at(60)))
    evaluating.run_early(at(0))
    service = Service.objects.create(name="worker")
    StatusChange.objects.create(service=service, at=NOW, noticed_at=NOW, old="healthy", new="down")
    evaluating.run_early(at(1))
    assert sorted(name for name, _ in stated.asked) == ["of all", "of it"]


# --- The tick --------------------------------------------------------------------------------------------------------


def test_each_second_each_part_has_its_turn_whatever_the_others_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[datetime] = []
    broken, works = ModuleType("alerts.broken"), ModuleType("alerts.works")
    broken.__dict__["run"] = lambda now: 1 / 0
    works.__dict__["run"] = seen.append
    for module in (broken, works):
        module.__spec__ = SimpleNamespace()  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(tasks, "PARTS", (("alerts.broken", "run"), ("alerts.works", "run")))
    tasks.tick()
    assert len(seen) == 1
    assert abs(seen[0] - timezone.now()) < timedelta(minutes=1)
    assert caplog.messages == ["alerts.broken.run failed, and is tried again until it works"]
    entry = settings.CELERY_BEAT_SCHEDULE["alerts"]
    assert (entry["task"], entry["schedule"], entry["options"]["expires"]) == (tasks.tick.name, 0.5, 0.5)
