"""From alerts to deliveries, in virtual time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts import dispatch, silences
from alerts.models import Alert, AlertRule, Channel, Delivery, Group, Incident, InhibitRule, Member, MuteTime, Notified
from alerts.models.deliveries import Reason
from alerts.models.incidents import Status
from core import clock
from tests.alerts.routed import NOON, Told, alert, ends, fires, no_routes, receiver, root, route, run, second, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty(db: None) -> None:
    no_routes()
    InhibitRule.objects.all().delete()


def test_a_group_is_told_once_its_wait_is_over() -> None:
    root()
    fires(0, name="a")
    fires(5, name="b")

    run(9.9)
    assert told() == []
    run(59)
    assert told() == [Told(10, "all", ("a", "b"))]


def test_what_comes_later_waits_for_the_interval() -> None:
    root()
    fires(0, name="a")
    run(10)
    fires(20, name="b")

    run(1_000)
    assert told() == [Told(10, "all", ("a",)), Told(70, "all", ("a", "b"))]


def test_nothing_new_is_repeated_after_a_while() -> None:
    root()
    fires(0, name="a")

    # 17 intervals are the first that are no shorter than 1,000 seconds.
    run(2_050)
    assert told() == [Told(10, "all", ("a",)), Told(1_030, "all", ("a",)), Told(2_050, "all", ("a",))]
    assert [row.reason for row in Delivery.objects.order_by("pk")] == [Reason.FIRING, Reason.REPEAT, Reason.REPEAT]


def test_an_end_is_told_and_then_nothing_is_left() -> None:
    root()
    first = fires(0, name="a")
    second_one = fires(0, name="b")
    run(10)
    ends(first, 30)
    run(70)
    ends(second_one, 80)
    run(10_000)

    assert told() == [Told(10, "all", ("a", "b")), Told(70, "all", ("b",), ("a",)), Told(130, "all", (), ("b",))]
    assert not Member.objects.exists()
    assert not Notified.objects.exists()
    assert Group.objects.get().flush_at is None


def test_what_came_and_went_in_between_is_never_told() -> None:
    root()
    ends(fires(0, name="a"), 9)

    run(1_000)
    assert told() == []
    assert not Member.objects.exists()


def test_what_ends_and_fires_again_in_between_is_no_news() -> None:
    root()
    ends(fires(0, name="a"), 2)
    fires(5, name="a")
    run(10)
    ends(Alert.objects.get(state="firing"), 20)
    fires(40, name="a")

    run(900)
    assert told() == [Told(10, "all", ("a",))]


def test_a_group_that_was_empty_waits_anew() -> None:
    root()
    ends_soon = fires(0, name="a")
    run(10)
    ends(ends_soon, 20)
    run(70)
    fires(75, name="a")

    run(100)
    assert told(since=71) == [Told(85, "all", ("a",))]


def test_what_began_long_ago_waits_no_more() -> None:
    root()
    fires(0, name="a")
    old = alert(-11, name="b")
    dispatch.take([old], second(3))

    run(3)
    assert told() == [Told(3, "all", ("a", "b"))]


def test_a_channel_that_hears_of_no_ends() -> None:
    root("quiet")
    Channel.objects.update(send_resolved=False)
    first, other = fires(0, name="a"), fires(0, name="b")
    run(10)
    ends(first, 20)
    run(130)
    ends(other, 140)
    run(200)
    assert told() == [Told(10, "quiet", ("a", "b"))]

    fires(201, name="a")
    run(300)
    assert told(since=11) == [Told(211, "quiet", ("a",))]


def test_each_channel_knows_for_itself() -> None:
    root("all", repeat_interval=100)
    fires(0, name="a")
    run(10)
    Channel.objects.create(receiver=receiver("all"), kind="webhook")

    run(70)
    assert told() == [Told(10, "all", ("a",)), Told(70, "all", ("a",))]
    run(130)
    assert told(since=70) == [Told(130, "all", ("a",))]


def test_a_channel_that_is_switched_off_is_told_nothing_and_later_the_whole() -> None:
    root("all")
    Channel.objects.update(enabled=False)
    fires(0, name="a")
    run(70)
    assert told() == []

    Channel.objects.update(enabled=True)
    run(130)
    assert told() == [Told(130, "all", ("a",))]


def test_an_alert_goes_every_way_that_it_matches() -> None:
    top = root()
    route(top, "pager", 'severity="critical"', continues=True)
    route(top, "mail", 'severity=~"critical|high"', group_wait=20)
    fires(0, "critical", name="a")
    fires(0, "high", name="b")
    fires(0, "low", name="c")

    run(30)
    assert sorted(told()) == [Told(10, "all", ("c",)), Told(10, "pager", ("a",)), Told(20, "mail", ("a", "b"))]


def test_the_receivers_of_a_rule_are_told_as_well() -> None:
    top = root()
    route(top, "mail", 'name="b"')
    rule = AlertRule.objects.create(name="Down", kind="log_count")
    rule.receivers.add(receiver("mail"), receiver("chat"))
    for name in "ab":
        one = alert(0, name=name)
        one.rule = rule
        one.save()
        dispatch.take([one], NOON)

    run(10)
    # By the route for b, and beside it for a.
    assert sorted(told()) == [
        Told(10, "all", ("a",)),
        Told(10, "chat", ("a", "b")),
        Told(10, "mail", ("a",)),
        Told(10, "mail", ("b",)),
    ]


def test_a_worse_alert_keeps_the_others_quiet() -> None:
    root()
    InhibitRule.objects.create(
        source_matchers=["severity=critical"], target_matchers=["severity!=critical"], equal=["service"]
    )
    worse = fires(0, "critical", name="worse", service="api")
    fires(0, "high", name="less", service="api")
    fires(0, "high", name="elsewhere", service="web")
    run(10)
    assert told() == [Told(10, "all", ("elsewhere", "worse"))]

    ends(worse, 20)
    run(70)
    assert told(since=10) == [Told(70, "all", ("elsewhere", "less"), ("worse",))]


def test_a_silence_keeps_alerts_quiet_while_it_lasts() -> None:
    root()
    silences.create(["name=a"], NOON, second(100), comment="deploy", created_by="alice", now=NOON)
    fires(0, name="a")
    fires(0, name="b")

    run(130)
    assert told() == [Told(10, "all", ("b",)), Told(130, "all", ("a", "b"))]


def test_what_ends_in_silence_is_not_told_and_fires_anew_later() -> None:
    root()
    one = fires(0, name="a")
    run(10)
    silences.create(["name=a"], NOON, second(100), comment="deploy", created_by="alice", now=NOON)
    ends(one, 20)
    run(100)
    fires(110, name="a")

    run(200)
    assert told() == [Told(10, "all", ("a",)), Told(120, "all", ("a",))]


def test_mute_times_and_active_times() -> None:
    top = root()
    now = MuteTime.objects.create(name="noon", intervals=[{"times": [{"start_time": "12:00", "end_time": "12:02"}]}])
    route(top, "muted", "name=a").mute_times.add(now)
    route(top, "active", "name=b").active_times.add(now)
    for name in "ab":
        fires(0, name=name)

    run(110)
    assert told() == [Told(10, "active", ("b",))]
    run(130)
    assert told(since=10) == [Told(130, "muted", ("a",))]
    fires(131, name="b", other="x")
    run(300)
    assert told(since=130) == []


def test_what_somebody_sees_to_is_not_repeated() -> None:
    root()
    fires(0, name="a")
    run(10)
    Incident.objects.update(status=Status.ACKNOWLEDGED)
    run(2_000)
    assert told(since=10) == []

    # But what is new is told, and so is the end.
    other = fires(2_005, name="b")
    run(2_100)
    assert told(since=10) == [Told(2_050, "all", ("a", "b"))]
    ends(other, 2_101)
    run(2_120)
    assert told(since=2_051) == [Told(2_110, "all", ("a",), ("b",))]


def test_an_incident_is_of_the_group_whatever_the_severity() -> None:
    root(group_by=["alertname", "severity"])
    one, other = fires(0, "high", name="a"), fires(0, "critical", name="b")
    elsewhere = fires(0, alertname="Slow")

    assert one.incident
    assert one.incident.labels == {"alertname": "Down"}
    assert other.incident == one.incident
    assert elsewhere.incident != one.incident
    run(10)
    assert {row.incident_id for row in Delivery.objects.all()} == {one.incident_id, elsewhere.incident_id}


def test_an_incident_ends_with_the_last_of_its_alerts() -> None:
    root()
    one, other = fires(0, name="a"), fires(0, name="b")
    ends(one, 10)
    assert Incident.objects.get().status == Status.OPEN
    ends(other, 20)
    assert Incident.objects.get().status == Status.RESOLVED


def test_without_routes_there_is_still_an_incident() -> None:
    one = fires(0, name="a", service="api")

    run(1_000)
    assert told() == []
    assert one.incident
    assert one.incident.labels == {"alertname": "Down", "service": "api"}


def test_a_notification_says_it_as_alertmanager_does() -> None:
    top = root(group_by=["alertname", "service"])
    route(top, "mail", 'severity=~"critical|high"')
    fires(0, "high", name="a", service="api")
    fires(0, "critical", name="b", service="api")
    run(10)

    said = Delivery.objects.get().notification
    assert said["group_key"] == '{}/{severity=~"critical|high"}:{alertname="Down", service="api"}'
    assert said["group_labels"] == {"alertname": "Down", "service": "api"}
    assert said["common_labels"] == {"alertname": "Down", "service": "api"}
    assert said["common_annotations"] == {"summary": "It is down."}
    assert [each["labels"]["name"] for each in said["alerts"]] == ["b", "a"]  # the worst first
    assert said["severity"] == "critical"
    assert said["receiver"] == "mail"
    assert said["incident"] == Incident.objects.get().pk
    assert said["dedup_key"] == Group.objects.get().key


def test_a_notification_has_a_hundred_alerts_at_most() -> None:
    root()
    dispatch.take([alert(0, name=str(number)) for number in range(105)], NOON)
    run(10)

    said = Delivery.objects.get().notification
    assert (len(said["alerts"]), said["left_out"]) == (100, 5)


def test_taking_twice_changes_nothing() -> None:
    root()
    one = fires(0, name="a")
    dispatch.take([one], second(1))

    run(10)
    assert Member.objects.count() == 1
    assert told() == [Told(10, "all", ("a",))]


def test_a_flush_that_died_is_done_again() -> None:
    root()
    fires(0, name="a")
    dispatch._claim(clock.micros(second(10)))
    assert dispatch.flush(second(10)) == 0

    after = second(10) + timedelta(microseconds=dispatch.LEASE)
    assert dispatch.flush(after) == 1
    assert told() == [Told(70, "all", ("a",))]


def test_who_has_lost_the_claim_writes_nothing() -> None:
    root()
    fires(0, name="a")
    token, claimed = dispatch._claim(clock.micros(second(10)))
    dispatch._claim(clock.micros(second(100)))

    assert dispatch._flush(list(claimed), token, dispatch._read(second(10))) == 0
    assert told() == []


def test_a_group_is_looked_at_once_a_second_at_most() -> None:
    root(group_wait=0, group_interval=0, repeat_interval=0)
    fires(0, name="a")

    assert dispatch.flush(NOON) == 1
    run(2)
    assert [each.at for each in told()] == [0, 1, 2]
