"""Who is told next if an incident waits, and reminders, in virtual time."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from alerts import dispatch, escalation, incidents, silences
from alerts import policy as policies
from alerts.events import VerbError
from alerts.models import (
    Alert,
    AlertRule,
    Channel,
    Delivery,
    EscalationPolicy,
    EscalationStep,
    Group,
    Incident,
    Receiver,
)
from alerts.models.deliveries import Reason
from alerts.models.incidents import Via
from core import clock
from tests.alerts.routed import alert, ends, fires, no_routes, receiver, root, run, second

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
ACKNOWLEDGED, RESOLVED = EscalationStep.Until.ACKNOWLEDGED, EscalationStep.Until.RESOLVED


def policy(*steps: tuple[int, str] | tuple[int, str, str], remind_after: int = 0) -> EscalationPolicy:
    made = EscalationPolicy.objects.create(name="on-call", remind_after=remind_after)
    for after, to, *rest in steps:
        until = rest[0] if rest else ACKNOWLEDGED
        EscalationStep.objects.create(policy=made, after=after, receiver=receiver(to), until=until)
    return made


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("database" if "database" in request.fixturenames else "transactional_db")
    no_routes()


def incident(escalation: EscalationPolicy) -> Incident:
    """Opened at second 0; its group is told 10 seconds later."""
    root("team", escalation=escalation)
    return Incident.objects.get(alerts=fires(0))


def pass_until(end: int, begin: int = 0) -> None:
    """Ticks in those seconds in which something is due; or all that is, at `begin`."""
    at = begin
    while at <= end:
        dispatch.flush(second(at))
        escalation.run_due(second(at))
        groups, waiting = Group.objects.values_list("flush_at"), Incident.objects.values_list("escalate_at")
        due = min((each for (each,) in [*groups, *waiting] if each is not None), default=1 << 60)
        at = max(at + 1, -(-(due - clock.micros(second(0))) // clock.SECOND))


def told(*reasons: Reason) -> list[tuple[float, str, str]]:
    rows = Delivery.objects.filter(reason__in=reasons or list(Reason)).order_by("pk")
    return [
        ((row.created_at - second(0)).total_seconds(), row.channel.receiver.name, row.reason)
        for row in rows.select_related("channel__receiver")
    ]


def acknowledge(of: Incident, at: float, by: str = "alice") -> None:
    assert incidents.acknowledge(of, by=by, via=Via.PAGE, now=second(at))


def test_on_call_is_paged_if_nobody_acknowledges_in_five_minutes(database: str) -> None:
    one = incident(policy((300, "on-call"), (900, "boss")))
    pass_until(299)
    assert told() == [(10, "team", "firing")]
    pass_until(300, 300)
    assert told()[1:] == [(300, "on-call", "escalation")]
    pass_until(1_000, 301)
    assert told(Reason.ESCALATION) == [(300, "on-call", "escalation"), (900, "boss", "escalation")]
    one.refresh_from_db()
    assert (one.step, one.escalate_at, one.status) == (2, None, "open")
    event = one.events.filter(verb="escalate").first()
    assert event is not None
    assert (event.text, event.data) == (
        "on-call: not acknowledged for 5 min", {"step": 0, "receiver": "on-call"},
    )  # fmt: skip


def test_pharos_begins_with_a_policy_that_pages_again_if_nobody_acknowledges_a_critical_incident() -> None:
    policies.install()
    Channel.objects.create(receiver=Receiver.objects.get(name=policies.PAGERDUTY), kind="webhook")
    for severity in ("critical", "high"):
        fires(0, severity, alertname=severity)
    pass_until(400)
    assert told() == [(10, "PagerDuty", "firing"), (300, "PagerDuty", "escalation")]


def test_what_on_call_is_told() -> None:
    one = incident(policy((300, "on-call")))
    pass_until(300)
    said = Delivery.objects.get(reason=Reason.ESCALATION)
    assert said.incident == one
    text: dict[str, Any] = said.notification
    assert (text["title"], text["text"]) == ("Down", "It is not acknowledged for 5 min.")
    assert (text["receiver"], text["severity"], text["incident"]) == ("on-call", "high", one.pk)
    assert [each["firing"] for each in text["alerts"]] == [True]


def test_who_acknowledges_stops_the_steps_that_wait_for_that_and_no_others(database: str) -> None:
    one = incident(policy((300, "on-call"), (600, "boss", RESOLVED)))
    acknowledge(one, 200)
    pass_until(700)
    assert told(Reason.ESCALATION) == [(600, "boss", "escalation")]
    assert one.events.get(verb="escalate").text == "boss: not resolved for 10 min"


def test_what_is_resolved_waits_for_nobody() -> None:
    one = incident(policy((300, "on-call", RESOLVED), remind_after=100))
    assert incidents.resolve(one, by="alice", via=Via.PAGE, now=second(299))
    pass_until(700)
    assert told(Reason.ESCALATION, Reason.REMINDER) == []


def test_what_ends_by_itself_waits_for_nobody() -> None:
    incident(policy((300, "on-call")))
    ends(Alert.objects.get(), 100)
    pass_until(700)
    assert told(Reason.ESCALATION) == []


def test_a_rule_s_own_policy_goes_before_that_of_the_route() -> None:
    own = EscalationPolicy.objects.create(name="own")
    EscalationStep.objects.create(policy=own, after=60, receiver=receiver("database team"))
    rule = AlertRule.objects.bulk_create([AlertRule(name="Down", kind="x", escalation=own)])[0]
    root("team", escalation=policy((300, "on-call")))
    one = alert(0)
    Alert.objects.filter(pk=one.pk).update(rule=rule)
    one.refresh_from_db()
    dispatch.take([one], second(0))
    pass_until(400)
    assert told(Reason.ESCALATION) == [(60, "database team", "escalation")]


def test_taken_back_the_steps_that_are_left_count_from_then() -> None:
    one = incident(policy((300, "on-call"), (400, "boss")))
    pass_until(300)
    acknowledge(one, 350)
    pass_until(2_000, 350)
    assert incidents.unacknowledge(one, by="alice", via=Via.PAGE, now=second(2_000))
    pass_until(2_500, 2_001)
    assert told(Reason.ESCALATION) == [(300, "on-call", "escalation"), (2_400, "boss", "escalation")]


def test_reopened_it_begins_anew() -> None:
    one = incident(policy((300, "on-call")))
    pass_until(300)
    incidents.resolve(one, by="alice", via=Via.PAGE, now=second(400))
    incidents.reopen(one, by="alice", via=Via.PAGE, now=second(1_000))
    pass_until(1_400, 1_000)
    assert told(Reason.ESCALATION) == [(300, "on-call", "escalation"), (1_300, "on-call", "escalation")]


def test_an_acknowledged_incident_reminds_those_who_know_of_it_if_nothing_happens(database: str) -> None:
    one = incident(policy((60, "on-call"), remind_after=500))
    pass_until(70)
    acknowledge(one, 100)
    pass_until(400, 100)
    assert incidents.comment(one, text="looking", by="alice", via=Via.PAGE, now=second(400))
    pass_until(2_000, 401)
    assert told(Reason.REMINDER) == [
        (900, "on-call", "reminder"), (900, "team", "reminder"), (1_400, "on-call", "reminder"),
        (1_400, "team", "reminder"), (1_900, "on-call", "reminder"), (1_900, "team", "reminder"),
    ]  # fmt: skip
    text = Delivery.objects.filter(reason=Reason.REMINDER).first()
    assert text is not None
    assert text.notification["text"] == "alice has acknowledged it, and nothing has happened for 8 min 20 s."
    assert one.events.filter(verb="remind").count() == 3


def test_without_a_policy_it_reminds_after_an_hour() -> None:
    root("team")
    one = Incident.objects.get(alerts=fires(0))
    run(10)
    acknowledge(one, 100)
    assert escalation.run_due(second(3_699)) == 0
    assert escalation.run_due(second(3_700)) == 1
    assert told(Reason.REMINDER) == [(3_700, "team", "reminder")]


def test_reminders_can_be_switched_off() -> None:
    one = incident(policy((300, "on-call"), remind_after=0))
    acknowledge(one, 100)
    assert (one.status, one.escalate_at) == ("acknowledged", None)


def test_while_all_of_it_is_silenced_nobody_is_told_and_then_they_are() -> None:
    one = incident(policy((300, "on-call")))
    silences.create(['alertname="Down"'], None, second(500), comment="planned", created_by="alice", now=second(20))
    pass_until(499, 20)
    assert told(Reason.ESCALATION) == []
    pass_until(600, 500)
    assert told(Reason.ESCALATION) == [(540, "on-call", "escalation")]
    assert one.events.filter(verb="escalate").count() == 1


def test_a_silence_of_some_of_its_alerts_keeps_nobody_quiet() -> None:
    incident(policy((300, "on-call")))
    fires(1, name="another")
    silences.create(['name="another"'], None, second(500), comment="planned", created_by="alice", now=second(20))
    pass_until(300, 20)
    assert told(Reason.ESCALATION) == [(300, "on-call", "escalation")]


def test_after_a_pause_or_a_jump_of_the_clock_the_steps_keep_their_distances() -> None:
    incident(policy((60, "first"), (120, "second"), (180, "third")))
    pass_until(3_900, 3_600)
    assert told(Reason.ESCALATION) == [
        (3_600, "first", "escalation"), (3_660, "second", "escalation"), (3_720, "third", "escalation"),
    ]  # fmt: skip


def test_a_clock_that_was_set_back_holds_up_nobody() -> None:
    one = incident(policy((300, "on-call")))
    Incident.objects.update(escalates_from=second(3_600), escalate_at=clock.micros(second(3_900)))
    escalation.run_due(second(30))
    one.refresh_from_db()
    assert (one.escalates_from, one.escalate_at) == (second(30), clock.micros(second(330)))


def test_who_was_told_because_it_waited_learns_the_end(database: str) -> None:
    receiver("quiet", send_resolved=False)
    one = incident(policy((300, "on-call"), (310, "quiet")))
    pass_until(320)
    ends(Alert.objects.get(), 350)
    pass_until(500, 351)
    assert told(Reason.RESOLVED) == [(350, "on-call", "resolved"), (370, "team", "resolved")]
    said = Delivery.objects.get(reason=Reason.RESOLVED, incident=one, group=None)
    assert (said.notification["text"], said.notification["alerts"][0]["firing"]) == ("It is over.", False)
    escalated = Delivery.objects.filter(reason=Reason.ESCALATION).first()
    assert escalated is not None
    assert said.notification["dedup_key"] == escalated.notification["dedup_key"]


def test_who_resolves_what_still_fires_tells_how() -> None:
    one = incident(policy((300, "on-call")))
    pass_until(300)
    incidents.resolve(one, by="alice", via=Via.PAGE, now=second(310), text="moved to another host")
    said = Delivery.objects.get(reason=Reason.RESOLVED)
    assert (said.notification["text"], said.notification["by"]) == ("moved to another host", "alice")
    assert [each["firing"] for each in said.notification["alerts"]] == [False]


def test_who_keeps_a_state_of_their_own_is_told_of_what_people_do_here(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.notifiers.webhook.ACKNOWLEDGES", True)
    one = incident(policy((300, "on-call")))
    pass_until(300)
    acknowledge(one, 310)
    incidents.acknowledge(one, by="bob", via=Via.PAGE, now=second(311))
    incidents.resolve(one, by="alice", via=Via.PAGE, now=second(320))
    assert told(Reason.ACKNOWLEDGED, Reason.RESOLVED) == [
        (310, "team", "acknowledged"), (310, "on-call", "acknowledged"), (320, "team", "resolved"),
        (320, "on-call", "resolved"),
    ]  # fmt: skip


# --- By a person -----------------------------------------------------------------------------------------------------


def test_a_person_escalates_at_once_whatever_the_next_step_waits_for(database: str) -> None:
    one = incident(policy((300, "on-call"), (900, "boss")))
    acknowledge(one, 50)
    assert incidents.escalate(one, by="alice", via=Via.PAGE, now=second(60), text="I need help")
    assert told() == [(60, "on-call", "escalation")]
    assert one.events.values_list("text", "actor").last() == ("on-call: I need help", "alice")
    assert Delivery.objects.get().notification["text"] == "alice has escalated it: I need help"
    assert incidents.escalate(one, by="alice", via=Via.PAGE, now=second(70))
    with pytest.raises(VerbError, match="a step left: all were taken"):
        incidents.escalate(one, by="alice", via=Via.PAGE, now=second(80))


def test_without_an_escalation_there_is_nobody_to_tell() -> None:
    root("team")
    one = Incident.objects.get(alerts=fires(0))
    with pytest.raises(VerbError, match="neither its rule nor its route has one"):
        incidents.escalate(one, by="alice", via=Via.PAGE)


def test_what_is_resolved_is_not_escalated() -> None:
    one = incident(policy((300, "on-call")))
    incidents.resolve(one, by="alice", via=Via.PAGE)
    assert not incidents.escalate(one, by="bob", via=Via.PAGE)


# --- Faults ----------------------------------------------------------------------------------------------------------


def test_several_workers_take_a_step_once(database: str) -> None:
    incident(policy((300, "on-call")))
    barrier = threading.Barrier(4)

    def work() -> None:
        try:
            barrier.wait(10)
            escalation.run_due(second(300))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert told(Reason.ESCALATION) == [(300, "on-call", "escalation")]


def test_a_worker_that_dies_has_taken_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    one = incident(policy((300, "on-call")))

    def dies(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("alerts.deliveries.enqueue", dies)
        with pytest.raises(SystemExit):
            escalation.run_due(second(300))
    assert not one.events.filter(verb="escalate").exists()
    assert escalation.run_due(second(301)) == 1
    assert told(Reason.ESCALATION) == [(301, "on-call", "escalation")]


def test_acknowledged_in_the_last_moment_nobody_is_told() -> None:
    """The tick has read it already."""
    one = incident(policy((300, "on-call")))
    seen = Incident.objects.get(pk=one.pk)
    acknowledge(one, 299)
    assert not escalation._run(seen, escalation.load([seen.escalation_id])[seen.escalation_id], quiet(), second(300))
    assert told(Reason.ESCALATION) == []


def quiet() -> escalation._Hush:
    return escalation._Hush(second(300) + timedelta(0))
