"""What becomes of alerts. The clock is a number of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts import evaluation
from alerts.conditions.base import Measured, Sample
from alerts.evaluation import Change, Episode, Spec, Verb
from alerts.labels import fingerprint
from alerts.models.alerts import State
from alerts.models.rules import NoData
from alerts.severity import Severity
from alerts.thresholds import Threshold

BEGIN = datetime(2026, 11, 21, 10, tzinfo=UTC)
TRUE = Measured([Sample({}, 7.0, "seven of them")])
FALSE = Measured()
NONE = Measured(no_data=True)
HOUR = 3_600


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


class Looks:
    """A rule that is looked at again and again; `alerts` are those that have not ended."""

    def __init__(self, **fields: Any) -> None:
        self.spec = Spec("Test", **fields)
        self.alerts: dict[str, Episode] = {}
        self.before: datetime | None = None
        self.left_out = 0

    def __call__(self, seconds: float, measured: Measured) -> list[Change]:
        found = evaluation.step(self.spec, self.alerts.values(), measured, at(seconds), self.before)
        self.before, self.left_out = at(seconds), found.left_out
        for change in found.changes:
            self.alerts[change.alert.fingerprint] = change.alert
            if change.verb in (Verb.RESOLVE, Verb.FORGET):
                del self.alerts[change.alert.fingerprint]
        return list(found.changes)

    def verbs(self, *looks: tuple[float, Measured]) -> list[str]:
        return [" ".join(change.verb for change in self(*look)) for look in looks]

    @property
    def only(self) -> Episode:
        [alert] = self.alerts.values()
        return alert


def services(*names: str) -> Measured:
    return Measured([Sample({"service": name}) for name in names])


# --- for, keep_firing_for --------------------------------------------------------------------------------------------


def test_without_for_it_fires_at_once_and_ends_at_once() -> None:
    looks = Looks()
    assert looks.verbs((0, FALSE), (15, TRUE), (30, TRUE), (45, FALSE), (60, FALSE)) == [
        "",
        "start",
        "stay",
        "resolve",
        "",
    ]


def test_an_alert_knows_its_times_its_value_and_its_words() -> None:
    looks = Looks(pending_for=30, labels={"team": "shop"})
    looks.verbs((0, TRUE), (15, TRUE), (30, TRUE), (45, Measured([Sample({}, 9.0, "nine")])))
    labels = {"team": "shop", "alertname": "Test", "severity": "high"}
    assert looks.only == Episode(
        fingerprint(labels), labels, "high", State.FIRING,
        active_at=at(0), true_at=at(45), fired_at=at(30), value=9.0, detail="nine",
    )  # fmt: skip
    [change] = looks(60, FALSE)
    assert change.alert.resolved_at == at(60)


def test_it_fires_when_it_was_true_for_long_enough() -> None:
    assert Looks(pending_for=30).verbs((0, TRUE), (15, TRUE), (29, TRUE), (30, TRUE)) == [
        "start",
        "stay",
        "stay",
        "fire",
    ]


def test_a_pending_one_that_is_true_no_more_is_forgotten_and_begins_anew() -> None:
    looks = Looks(pending_for=30)
    assert looks.verbs((0, TRUE), (15, FALSE), (30, TRUE), (45, TRUE), (60, TRUE)) == [
        "start", "forget", "start", "stay", "fire",
    ]  # fmt: skip


def test_it_goes_on_firing_for_a_while_after_it_was_true_last() -> None:
    looks = Looks(keep_firing_for=60)
    assert looks.verbs((0, TRUE), (15, FALSE), (30, TRUE), (45, FALSE), (89, FALSE), (90, FALSE)) == [
        "start", "", "stay", "", "", "resolve",
    ]  # fmt: skip


def test_a_pending_one_is_not_kept() -> None:
    assert Looks(pending_for=30, keep_firing_for=60).verbs((0, TRUE), (15, FALSE)) == ["start", "forget"]


def test_each_set_of_labels_is_an_alert_of_its_own() -> None:
    looks = Looks()
    looks(0, services("api", "worker"))
    assert {alert.labels["service"] for alert in looks.alerts.values()} == {"api", "worker"}
    assert [(change.verb, change.alert.labels["service"]) for change in looks(15, services("worker", "web"))] == [
        (Verb.RESOLVE, "api"), (Verb.STAY, "worker"), (Verb.START, "web"),
    ]  # fmt: skip


def test_what_is_measured_twice_is_one_alert() -> None:
    assert Looks().verbs((0, services("api", "api"))) == ["start"]


def test_what_was_measured_says_more_than_the_rule_and_leaves_it_its_own_names() -> None:
    looks = Looks(labels={"service": "all", "team": "shop"})
    looks(0, Measured([Sample({"service": "api", "severity": "bad", "alertname": "Fire"})]))
    assert looks.only.labels == {
        "service": "api", "team": "shop", "alertname": "Test", "severity": "high", "exported_severity": "bad",
        "exported_alertname": "Fire",
    }  # fmt: skip


# --- Thresholds ------------------------------------------------------------------------------------------------------

LIMITS = [Threshold(Severity.CRITICAL, 100.0), Threshold(Severity.MEDIUM, 10.0)]


def value(number: float) -> Measured:
    return Measured([Sample({}, number)])


def test_each_threshold_that_is_passed_is_an_alert_with_its_severity() -> None:
    looks = Looks(thresholds=LIMITS, severity=Severity.LOW)
    said = [[(change.verb.value, change.alert.severity) for change in looks(*look)] for look in (
        (0, value(10)), (15, value(11)), (30, value(101)), (45, value(50)), (60, value(0)),
    )]  # fmt: skip
    assert said == [
        [],
        [("start", "medium")],
        [("stay", "medium"), ("start", "critical")],
        [("stay", "medium"), ("resolve", "critical")],
        [("resolve", "medium")],
    ]


@pytest.mark.parametrize(
    ("operator", "passes"), [(">", "6"), (">=", "56"), ("<", "4"), ("<=", "45"), ("==", "5"), ("!=", "46")]
)
def test_every_operator(operator: str, passes: str) -> None:
    found = ""
    for number in "456":
        if Looks(operator=operator, thresholds=[Threshold(Severity.HIGH, 5.0)])(0, value(float(number))):
            found += number
    assert found == passes


@pytest.mark.parametrize("operator", [">", "<", "!="])
def test_what_is_no_number_passes_nothing(operator: str) -> None:
    assert Looks(operator=operator, thresholds=LIMITS)(0, value(float("nan"))) == []


def test_a_value_without_end_is_not_kept() -> None:
    looks = Looks(thresholds=LIMITS)
    looks(0, value(float("inf")))
    assert [alert.value for alert in looks.alerts.values()] == [None, None]


# --- No data ---------------------------------------------------------------------------------------------------------


def test_without_data_all_is_well_by_default() -> None:
    assert Looks().verbs((0, TRUE), (15, NONE)) == ["start", "resolve"]
    assert Looks(keep_firing_for=30).verbs((0, TRUE), (15, NONE), (30, NONE)) == ["start", "", "resolve"]


def test_without_data_nothing_changes_if_that_is_the_policy() -> None:
    looks = Looks(no_data=NoData.KEEP)
    looks(0, TRUE)
    looks.verbs((15, NONE), (30, NONE))
    assert looks.only.state == State.FIRING
    assert looks.verbs((45, FALSE)) == ["resolve"]


def test_time_without_data_is_not_counted() -> None:
    pending = Looks(no_data=NoData.KEEP, pending_for=30)
    assert pending.verbs((0, TRUE), (15, TRUE), (30, NONE), (45, NONE), (60, TRUE), (75, TRUE))[-2:] == ["fire", "stay"]
    kept = Looks(no_data=NoData.KEEP, keep_firing_for=30)
    kept.verbs((0, TRUE), (15, NONE), (300, NONE))
    assert kept.verbs((315, FALSE), (330, FALSE)) == ["", "resolve"]


def test_that_there_is_no_data_is_an_alert_if_that_is_the_policy() -> None:
    looks = Looks(no_data=NoData.ALERT, pending_for=30)
    assert looks.verbs((0, NONE), (15, NONE), (30, NONE)) == ["start", "stay", "fire"]
    assert looks.only.labels == {"alertname": "Test", "severity": "high", "no_data": "true"}
    assert (looks.only.value, looks.only.detail) == (None, "nothing to measure")
    assert looks.verbs((45, FALSE)) == ["resolve"]


def test_beside_the_alert_of_no_data_the_others_stay_as_they_are() -> None:
    looks = Looks(no_data=NoData.ALERT)
    looks(0, TRUE)
    [stay, start] = looks(15, NONE)
    assert (stay.verb, start.verb) == (Verb.STAY, Verb.START)
    assert start.alert.labels["no_data"] == "true"
    assert sorted(looks.verbs((30, TRUE))[0].split()) == ["resolve", "stay"]


# --- The cap ---------------------------------------------------------------------------------------------------------


def test_there_are_no_more_alerts_than_the_cap_and_the_rest_is_counted() -> None:
    looks = Looks(alerts_max=2)
    looks(0, services("a", "b", "c", "d"))
    assert {alert.labels["service"] for alert in looks.alerts.values()} == {"a", "b"}
    assert looks.left_out == 2


def test_alerts_that_there_are_go_before_new_ones() -> None:
    looks = Looks(alerts_max=2)
    looks(0, services("a", "b"))
    assert [change.verb for change in looks(15, services("x", "b", "a"))] == [Verb.STAY, Verb.STAY]
    assert looks.left_out == 1
    assert {change.verb for change in looks(30, services("x", "b"))} == {Verb.RESOLVE, Verb.STAY, Verb.START}


def test_one_that_goes_on_firing_takes_room() -> None:
    looks = Looks(alerts_max=1, keep_firing_for=60)
    looks(0, services("a"))
    assert looks(15, services("b")) == []
    assert looks.left_out == 1


def test_what_the_condition_left_out_is_counted_too() -> None:
    looks = Looks(alerts_max=1)
    looks(0, Measured([Sample({"service": "a"}), Sample({"service": "b"})], left_out=5))
    assert looks.left_out == 6


# --- Clocks, and workers that were away ------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_an_hours_jump_of_the_clock_fires_nothing(jump: int) -> None:
    looks = Looks(pending_for=300)
    looks.verbs((0, TRUE), (15, TRUE), (30, TRUE))
    assert looks.verbs((jump + 45, TRUE), (jump + 60, TRUE)) == ["stay", "stay"]
    assert looks.only.state == State.PENDING
    looks.verbs(*[(jump + seconds, TRUE) for seconds in range(75, 330, 15)])
    assert looks.only.state == State.FIRING


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_an_hours_jump_of_the_clock_ends_nothing(jump: int) -> None:
    looks = Looks(keep_firing_for=300)
    looks.verbs((0, TRUE), (15, FALSE))
    looks.verbs((jump + 30, FALSE), (jump + 45, FALSE))
    assert looks.only.state == State.FIRING
    looks.verbs(*[(jump + seconds, FALSE) for seconds in range(60, 345, 15)])
    assert looks.alerts == {}


def test_an_alert_does_not_end_before_it_fired() -> None:
    looks = Looks()
    looks(0, TRUE)
    [change] = looks(-HOUR, FALSE)
    assert change.alert.resolved_at == at(0)


def test_when_a_firing_alert_began_stays_as_it_was() -> None:
    looks = Looks()
    looks.verbs((0, TRUE), (HOUR, TRUE))
    assert (looks.only.active_at, looks.only.fired_at) == (at(0), at(0))


def test_looks_that_come_late_still_count() -> None:
    assert Looks(pending_for=40).verbs((0, TRUE), (45, TRUE)) == ["start", "fire"]


# --- Rules that are no more ------------------------------------------------------------------------------------------


def test_the_alerts_of_a_rule_that_is_switched_off_end() -> None:
    looks = Looks()
    looks(0, TRUE)
    firing = looks.only
    pending = replace(firing, state=State.PENDING, fired_at=None)
    assert [change.verb for change in evaluation.ended([firing, pending], at(15))] == [Verb.RESOLVE, Verb.FORGET]


# --- Whatever comes --------------------------------------------------------------------------------------------------

NAMES = st.lists(st.sampled_from("abc"), max_size=3, unique=True)
MEASURED = st.one_of(st.just(NONE), NAMES.map(lambda names: services(*names)))
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # others use the machine, too
SPECS = {
    "pending_for": st.sampled_from([0, 15, 40]),
    "keep_firing_for": st.sampled_from([0, 15, 40]),
    "no_data": st.sampled_from(list(NoData)),
    "alerts_max": st.integers(1, 3),
}


@UNHURRIED
@given(
    st.fixed_dictionaries(SPECS), st.lists(st.tuples(st.sampled_from([5, 15, 20, HOUR, -HOUR]), MEASURED), max_size=30)
)
def test_an_alert_lives_once_from_its_beginning_to_its_end(
    fields: dict[str, Any], looks: Sequence[tuple[int, Measured]]
) -> None:
    states: dict[str, str] = {}
    rule = Looks(**fields)
    now = 0
    for seconds, measured in looks:
        now += seconds
        for change in rule(now, measured):
            alert = change.alert
            before = states.get(alert.fingerprint, "")
            assert (before, change.verb, alert.state) in {
                ("", "start", "pending"), ("", "start", "firing"), ("pending", "fire", "firing"),
                ("pending", "stay", "pending"), ("firing", "stay", "firing"), ("pending", "forget", "pending"),
                ("firing", "resolve", "resolved"),
            }  # fmt: skip
            states[alert.fingerprint] = "" if change.verb in (Verb.FORGET, Verb.RESOLVE) else alert.state
            assert (alert.fired_at is None) == (alert.state == State.PENDING)
            assert alert.fingerprint == fingerprint(alert.labels)
            if alert.resolved_at:
                assert alert.fired_at
                assert alert.resolved_at >= alert.fired_at
        assert len(rule.alerts) <= rule.spec.alerts_max


@UNHURRIED
@given(st.lists(st.tuples(st.sampled_from([5, 15, 20, 59]), st.booleans()), min_size=1, max_size=40))
def test_without_gaps_it_fires_exactly_when_it_was_true_for_long_enough(looks: Sequence[tuple[int, bool]]) -> None:
    rule = Looks(pending_for=40)
    now, since = 0, None
    for seconds, true in looks:
        now += seconds
        since = (now if since is None else since) if true else None
        rule(now, TRUE if true else FALSE)
        firing = any(alert.state == State.FIRING for alert in rule.alerts.values())
        assert firing == (since is not None and now - since >= 40)
