"""Every alert explains itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts import silences
from alerts.explain import Explanation, Stage, Step, explain
from alerts.models import Alert, AlertRule, Channel, Delivery, Incident, InhibitRule, MuteTime, Receiver, Route
from alerts.models.alerts import State
from alerts.models.incidents import Status
from tests.alerts.routed import NOON, alert, ends, fires, no_routes, root, route, run, second

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty(db: None) -> None:
    no_routes()
    InhibitRule.objects.all().delete()


def said(found: Explanation) -> list[str]:
    return [f"{step.stage} {'ok' if step.ok else 'stopped'}: {words_of(step)}" for step in found.steps]


def words_of(step: Step) -> str:
    return "".join(piece if isinstance(piece, str) else f"{piece:%H:%M:%S}" for piece in step.text)


def test_an_alert_that_was_told() -> None:
    root(name="top")
    one = fires(0, name="a")
    run(10)
    Delivery.objects.update(outcome="delivered", answer="200 ok")

    found = explain(one, second(20))
    assert said(found) == [
        "rule ok: Somebody else finds it true since 12:00:00: it fires.",
        "inhibited ok: No other alert keeps it quiet.",
        "silenced ok: No silence hits it.",
        "route ok: The route “top” tells all.",
        "group ok: It is told together with others of alertname Down; the next look at them is in 50 s.",
        "delivery ok: 12:00:10, webhook, firing: delivered: 200 ok.",
    ]
    assert found.told
    assert found.stopped is None


def test_one_that_waits() -> None:
    root()
    rule = AlertRule.objects.create(name="Down", kind="log_count", pending_for=120)
    one = alert(0)
    one.rule, one.state = rule, State.PENDING
    one.save()

    found = explain(one, second(30))
    assert said(found)[0] == (
        "rule stopped: The rule Down finds it true since 12:00:00: it fires in 1 min 30 s, if it is true until then."
    )
    assert found.stopped
    assert found.stopped.stage == Stage.RULE
    assert not found.told


def test_one_that_has_ended() -> None:
    root()
    one = fires(0, name="a")
    run(10)
    ends(one, 20)
    run(70)

    found = explain(one, second(90))
    assert said(found)[0] == ("rule ok: Somebody else found it true from 12:00:00 to 12:00:20.")
    assert "nothing of them is left to tell" in said(found)[4]
    assert [words_of(step) for step in found.steps if step.stage == Stage.DELIVERY] == [
        "12:01:10, webhook, resolved: due.",
        "12:00:10, webhook, firing: due.",
    ]


def test_one_that_another_keeps_quiet() -> None:
    root()
    InhibitRule.objects.create(
        name="less", source_matchers=["severity=critical"], target_matchers=["severity=high"], equal=["service"]
    )
    worse, less = fires(0, "critical", alertname="Fire"), fires(0, "high")
    run(10)

    found = explain(less, second(20))
    assert said(found)[1] == "inhibited stopped: Fire (critical) keeps it quiet while it fires, by “less”."
    assert found.stopped
    assert found.stopped.alert == worse.pk
    assert said(found)[-1] == "delivery ok: all has not been told."


def test_one_that_is_silenced() -> None:
    root()
    one = fires(0)
    silence = silences.create(
        ["alertname=Down"], None, NOON + timedelta(hours=1), comment="deploy", created_by="alice", now=NOON
    )

    found = explain(one, second(20))
    assert said(found)[2] == ("silenced stopped: A silence of alice keeps it quiet until 13:00:00: deploy")
    assert found.stopped
    assert found.stopped.silence == str(silence.pk)


def test_each_way_by_itself() -> None:
    top = root()
    night = MuteTime.objects.create(name="noon", intervals=[{"times": [{"start_time": "12:00", "end_time": "13:00"}]}])
    route(top, "mail", "severity=high", continues=True).mute_times.add(night)
    Receiver.objects.create(name="pager")
    bare = Route.objects.create(parent=top, order=1, matchers=["severity=~high|critical"])
    bare.receiver = Receiver.objects.get(name="pager")
    bare.save()
    one = fires(0)

    found = explain(one, second(5))
    assert said(found)[3:] == [
        "route ok: The route “severity=high” tells mail.",
        "muted stopped: Nobody is told now: it is the mute time noon.",
        "group ok: It is told together with others of alertname Down; the next look at them is in 5 s.",
        "delivery ok: mail has not been told.",
        "route stopped: The route “severity=~high|critical” tells pager, which has no channel.",
        "delivery ok: pager has not been told.",
    ]
    assert found.stopped is None  # not for everybody


def test_a_failed_delivery_and_an_incident_that_somebody_sees_to() -> None:
    root()
    one = fires(0)
    run(10)
    Delivery.objects.update(outcome="failed", answer="404 not found")
    Incident.objects.update(status=Status.ACKNOWLEDGED)

    found = explain(Alert.objects.get(pk=one.pk), second(10))
    assert said(found)[4:] == [
        "group ok: It is told together with others of alertname Down; the next look at them is in 1 min; "
        "its incident is acknowledged, so nothing is repeated.",
        "delivery stopped: 12:00:10, webhook, firing: failed: 404 not found.",
    ]
    assert not found.told


def test_the_receiver_of_a_rule_and_a_channel_that_is_off() -> None:
    rule = AlertRule.objects.create(name="Down", kind="log_count")
    rule.receivers.add(Receiver.objects.create(name="chat"))
    Channel.objects.create(receiver=Receiver.objects.get(name="chat"), kind="webhook", enabled=False)
    one = alert(0)
    one.rule = rule
    one.save()

    assert said(explain(one, NOON))[3] == "route stopped: Its rule tells chat, which has no channel."


def test_without_routes() -> None:
    assert said(explain(fires(0), NOON))[-1] == "route stopped: There are no routes: nobody is told of anything."
