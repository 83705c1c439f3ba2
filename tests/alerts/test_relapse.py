"""Alerts that fire again shortly after their incident ended by itself, in virtual time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from alerts import dispatch, incidents, relapse
from alerts.models import Alert, Delivery, EscalationPolicy, EscalationStep, Incident
from alerts.models.deliveries import Reason
from alerts.models.incidents import Status, Verb, Via
from tests.alerts.routed import alert, ends, fires, no_routes, receiver, root, run, second
from tests.alerts.test_escalation import pass_until

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("database" if "database" in request.fixturenames else "transactional_db")
    no_routes()


def watched(**options: Any) -> None:
    """Who does not acknowledge for 300 seconds is paged."""
    policy = EscalationPolicy.objects.create(name="on-call", remind_after=0)
    EscalationStep.objects.create(policy=policy, after=300, receiver=receiver("pager"))
    root("team", escalation=policy, **options)


def told() -> list[tuple[float, str, str]]:
    rows = Delivery.objects.select_related("channel__receiver").order_by("pk")
    return [((row.created_at - second(0)).total_seconds(), row.channel.receiver.name, row.reason) for row in rows]


def verbs(incident: Incident) -> list[str]:
    return list(incident.events.exclude(verb=Verb.EVIDENCE).values_list("verb", flat=True))


def test_what_fires_again_before_anybody_was_told_of_its_end_goes_on(database: str) -> None:
    watched(group_interval=400)
    one = fires(0)
    run(10)
    ends(one, 20)
    again = fires(120)

    incident = Incident.objects.get()
    assert again.incident == incident
    assert (incident.status, incident.resolved_at, incident.opened_at) == (Status.OPEN, None, second(0))
    assert verbs(incident) == ["open", "resolve", "reopen"]
    event = incident.events.get(verb=Verb.REOPEN)
    assert (event.via, event.actor, event.text, event.at) == (Via.SYSTEM, "", "It is down.", second(120))
    pass_until(500, 120)
    # It was over for 100 seconds.
    assert told() == [(10, "team", "firing"), (400, "pager", "escalation")]


def test_who_saw_to_it_still_does() -> None:
    watched()
    one = fires(0)
    incidents.acknowledge(Incident.objects.get(), by="alice", via=Via.PAGE, now=second(5))
    ends(one, 20)
    fires(40)

    incident = Incident.objects.get()
    assert (incident.status, incident.acknowledged_at) == (Status.ACKNOWLEDGED, second(5))
    pass_until(700, 40)
    assert Reason.ESCALATION not in Delivery.objects.values_list("reason", flat=True)


def test_once_its_end_was_told_it_begins_anew() -> None:
    watched()
    one = fires(0)
    run(10)
    incidents.acknowledge(Incident.objects.get(), by="alice", via=Via.PAGE, now=second(15))
    ends(one, 20)
    run(70)
    fires(200)

    incident = Incident.objects.get()
    assert (incident.status, incident.acknowledged_at, incident.acknowledged_by) == (Status.OPEN, None, None)
    pass_until(600, 200)
    assert told() == [
        (10, "team", "firing"), (70, "team", "resolved"), (210, "team", "firing"), (500, "pager", "escalation"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("interval", "pause", "reopened"), [(60, 300, True), (60, 301, False), (900, 900, True), (900, 901, False)]
)
def test_it_goes_on_for_five_minutes_or_the_interval_of_its_group(interval: int, pause: int, reopened: bool) -> None:
    root(group_interval=interval)
    ends(fires(0), 20)
    fires(20 + pause)
    assert Incident.objects.count() == (1 if reopened else 2)


@pytest.mark.parametrize("by", ["somebody", None])
def test_what_was_resolved_by_hand_stays_so(by: str | None) -> None:
    root()
    one = fires(0)
    first = Incident.objects.get()
    incidents.resolve(first, by=by, via=Via.API, now=second(10))
    ends(one, 20)
    again = fires(30)
    assert again.incident != first
    assert verbs(first) == ["open", "resolve"]


def test_of_several_the_last_end_decides() -> None:
    root()
    ends(fires(0), 10)
    one = fires(20)
    incidents.resolve(Incident.objects.get(), by="alice", via=Via.PAGE, now=second(30))
    ends(one, 40)
    fires(50)
    assert sorted(Incident.objects.values_list("status", flat=True)) == ["open", "resolved"]


def test_another_alert_of_the_same_group_joins_and_makes_it_worse() -> None:
    root()
    ends(fires(0, name="a"), 10)
    fires(20, "critical", name="b")
    incident = Incident.objects.get()
    assert (incident.severity, incident.alerts.count()) == ("critical", 2)


def test_workers_that_reopen_the_same_incident_at_once_reopen_it_once(database: str) -> None:
    root()
    ends(fires(0, name="first"), 10)
    alerts = [alert(20, name=str(n)) for n in range(4)]
    start = threading.Barrier(len(alerts))

    def take(one: Alert) -> None:
        try:
            start.wait(10)
            dispatch.take([one], second(20))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=take, args=[one]) for one in alerts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    incident = Incident.objects.get()
    assert incident.alerts.count() == 5
    assert verbs(incident).count("reopen") == 1


def test_beside_one_that_somebody_else_has_just_opened_nothing_is_reopened(monkeypatch: pytest.MonkeyPatch) -> None:
    root()
    ends(fires(0), 10)
    ended = Incident.objects.get()
    find = relapse.go_on

    def too_late(*given: Any) -> dict[str, Incident]:
        if Incident.objects.count() == 1:
            Incident.objects.create(
                key=ended.key, title="another", severity="high", opened_at=second(20), event_at=second(20)
            )
        return find(*given)

    monkeypatch.setattr(relapse, "go_on", too_late)
    assert fires(20).incident == Incident.objects.get(title="another")
    ended.refresh_from_db()
    assert ended.status == Status.RESOLVED
