"""What a rule would have done. The last week is what a test says it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts import preview as previews
from alerts.conditions import ConditionError, Measured, Sample
from alerts.models import Alert, AlertRule, Channel, InhibitRule, Receiver, Route
from alerts.preview import Preview, preview
from tests.alerts.stated import MEASURED, Stated, found, rule, stated_condition  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
BEGIN = NOW - timedelta(days=7)
HOUR = 3_600


@pytest.fixture
def shop() -> Receiver:
    """Told at once of everything, and every three hours again."""
    receiver = Receiver.objects.create(name="shop")
    Route.objects.filter(parent=None).delete()
    Route.objects.create(
        receiver=receiver, group_by=["alertname"], group_wait=0, group_interval=60, repeat_interval=3 * HOUR
    )
    return receiver


def during(*spans: tuple[float, float], what: Measured | None = None) -> Any:
    """True from a second to another one of the week, otherwise false."""

    def at(moment: datetime) -> Measured:
        second = (moment - BEGIN).total_seconds()
        return (what or found("worker")) if any(start <= second < end for start, end in spans) else Measured()

    return at


def played(stated: Stated, said: Any, **fields: Any) -> Preview:
    stated.found["it"] = said
    return preview(rule(**fields), NOW)


def test_it_says_how_often_for_how_long_and_who_would_have_been_told(stated: Stated, shop: Receiver) -> None:
    seen = played(stated, during((HOUR, HOUR + 300), (5 * HOUR, 5 * HOUR + 480), (9 * HOUR, 9 * HOUR + 60)))
    assert str(seen) == "would have fired 3 times, 14 min in all, notified 6 times"
    assert seen.receivers == {"shop": 6}
    assert (seen.start, seen.complete, seen.error) == (BEGIN, True, "")
    assert NOW - seen.end <= timedelta(seconds=15)
    assert [episode.fired_at for episode in seen.episodes] == [BEGIN + timedelta(hours=hours) for hours in (9, 5, 1)]
    assert not Alert.objects.exists()


def test_one_that_lasts_is_told_again(stated: Stated, shop: Receiver) -> None:
    seen = played(stated, during((0, 7 * HOUR)))
    assert str(seen) == "would have fired once, 7 h in all, notified 4 times"
    assert [told.reason for told in seen.told] == ["firing", "repeat", "repeat", "resolved"]


def test_one_that_fires_still(stated: Stated, shop: Receiver) -> None:
    seen = played(stated, during((7 * 24 * HOUR - 600, 7 * 24 * HOUR + 60)))
    assert str(seen) == "would have fired once, 9 min 45 s in all, notified once"
    assert seen.episodes[0].resolved_at is None


def test_nothing(stated: Stated, shop: Receiver) -> None:
    assert str(played(stated, Measured())) == "would not have fired"


def test_it_is_the_real_state_machine(stated: Stated, shop: Receiver) -> None:
    short = during((HOUR, HOUR + 60), (2 * HOUR, 2 * HOUR + 600))
    assert str(played(stated, short, pending_for=300)) == "would have fired once, 5 min in all, notified twice"


def test_without_routes_nobody_is_told(stated: Stated) -> None:
    Route.objects.filter(parent=None).delete()
    assert str(played(stated, during((0, 60)))) == "would have fired once, 1 min in all, nobody notified"


def test_the_receivers_of_the_rule_are_told_as_well(stated: Stated, shop: Receiver) -> None:
    stated.found["it"] = during((0, 60))
    other = Receiver.objects.create(name="other")
    seen = preview(AlertRule(name="New", kind="stated"), NOW, receivers=[shop, other])
    assert seen.receivers == {"shop": 2, "other": 2}


def test_who_does_not_want_to_hear_of_the_end_is_not_told_of_it(stated: Stated, shop: Receiver) -> None:
    Channel.objects.bulk_create([Channel(receiver=shop, kind="webhook", send_resolved=False)])
    assert len(played(stated, during((0, 60))).told) == 1


def test_alerts_of_one_group_are_one_message(stated: Stated, shop: Receiver) -> None:
    seen = played(stated, during((0, 120), what=found("api", "worker", "web")))
    assert (seen.fired, len(seen.told)) == (3, 2)
    assert str(seen).startswith("would have fired 3 times, 2 min in all")


def test_a_worse_alert_hides_the_lesser_one(stated: Stated, shop: Receiver) -> None:
    limits = [{"severity": "critical", "value": 1}, {"severity": "low", "value": 0}]
    Route.objects.update(group_by=["..."])
    InhibitRule.objects.create(
        source_matchers=["severity=critical"], target_matchers=["severity=low"], equal=["alertname", "service"]
    )
    seen = played(stated, during((0, 120), what=found("worker", value=2.0)), thresholds=limits)
    assert (seen.fired, len(seen.told)) == (2, 2)


def test_what_was_measured_helps_to_choose_a_limit(stated: Stated) -> None:
    stated.found["it"] = during((0, 60), what=Measured([Sample({}, 7.0), Sample({"a": "b"}, 2.5)]))
    seen = preview(rule(thresholds=[{"severity": "high", "value": 100}]), NOW)
    assert (seen.highest, seen.lowest, seen.fired) == (7.0, 2.5, 0)


def test_how_much_was_left_out_and_how_long_there_was_no_data(stated: Stated) -> None:
    day = 24 * HOUR
    measured = during((0, day), what=Measured([*found("a", "b", "c").samples], left_out=2))
    stated.found["it"] = lambda at: measured(at) if at < BEGIN + timedelta(days=3.5) else Measured(no_data=True)
    seen = preview(rule(alerts_max=1), NOW)
    assert seen.left_out == 4
    assert seen.no_data == pytest.approx(0.5, abs=0.001)


def test_only_the_last_alerts_are_listed(stated: Stated) -> None:
    names = [str(number) for number in range(50)]
    seen = played(stated, during((0, 60), what=found(*names)))
    assert (seen.fired, len(seen.episodes)) == (50, previews.SHOWN_MAX)


@pytest.mark.parametrize(
    "error", [ConditionError("the log store did not answer"), ValueError("the log store did not answer")]
)
def test_why_there_is_no_preview(stated: Stated, error: Exception) -> None:
    seen = played(stated, error)
    assert (str(seen), seen.complete) == ("The log store did not answer.", False)


def test_settings_that_make_no_sense(stated: Stated) -> None:
    assert (
        preview(AlertRule(kind="stated", config={"what": "nonsense"}), NOW).error
        == "Expected something that makes sense."
    )
    assert preview(AlertRule(kind="unheard_of"), NOW).error.startswith("There is no kind of condition 'unheard_of'")
    assert preview(AlertRule(kind=MEASURED), NOW).error == "This rule has no limit that a value could pass."


def test_it_takes_no_longer_than_it_may(stated: Stated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "BUDGET", 0.0)
    seen = played(stated, during((0, HOUR)))
    assert (seen.complete, seen.end) == (False, BEGIN)


def test_a_rule_that_is_looked_at_each_second_is_played_in_larger_steps(stated: Stated) -> None:
    seen = played(stated, Measured(), interval=1)
    assert seen.complete
    assert NOW - seen.end < timedelta(seconds=30)
