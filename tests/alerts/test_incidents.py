"""What makes and ends incidents, and what people do with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections

from alerts import incidents, live
from alerts.events import VerbError
from alerts.incidents import Arrival
from alerts.labels import fingerprint
from alerts.models import Alert, AlertRule, EscalationPolicy, EscalationStep, Incident, IncidentEvent, Receiver
from alerts.models.incidents import Status, Verb, Via
from core import clock
from services.models import Service

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NOW = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
GROUP = {"alertname": "WorkerDown", "service": "worker"}
numbers = iter(range(1_000_000))


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def alert(severity: str = "high", rule: AlertRule | None = None, **labels: str) -> Alert:
    """One that fires."""
    whole = {**GROUP, "severity": severity, "number": str(next(numbers)), **labels}
    return Alert.objects.create(
        rule=rule, fingerprint=fingerprint(whole), labels=whole, annotations={"summary": "readiness fails"},
        severity=severity, state="firing", active_at=NOW, fired_at=NOW, true_at=NOW,
    )  # fmt: skip


def end(*alerts: Alert) -> None:
    Alert.objects.filter(pk__in=[each.pk for each in alerts]).update(state="resolved", resolved_at=NOW)


def opened(severity: str = "high", key: str = "k", **more: Any) -> Incident:
    return incidents.attach(alert(severity, **more), key, GROUP, NOW)


def person(name: str) -> User:
    return User.objects.create(username=name)


def verbs(incident: Incident) -> list[str]:
    return list(incident.events.values_list("verb", flat=True))


# --- Opening ---------------------------------------------------------------------------------------------------------


def test_an_alert_opens_an_incident(database: str) -> None:
    service = Service.objects.create(name="worker")
    rule = AlertRule.objects.create(name="WorkerDown", kind="log")
    incident = opened("critical", rule=rule)
    incident = Incident.objects.get(pk=incident.pk)
    assert (incident.title, incident.summary) == ("WorkerDown · worker", "readiness fails")
    assert (incident.severity, incident.rule, incident.service) == ("critical", rule, service)
    assert (incident.status, incident.opened_at, incident.labels) == ("open", NOW, GROUP)
    event = IncidentEvent.objects.get()
    assert (event.verb, event.text, event.actor, event.via) == ("open", "readiness fails", "", "system")
    assert Alert.objects.get().incident == incident


def test_an_alert_of_the_same_key_joins_and_makes_it_worse(database: str) -> None:
    first = opened("high")
    second = incidents.attach(alert("critical"), "k", GROUP, after(60))
    third = incidents.attach(alert("low"), "k", GROUP, after(90))
    assert first.pk == second.pk == third.pk
    incident = Incident.objects.get()
    assert (incident.severity, incident.event_at) == ("critical", after(90))
    assert verbs(incident) == ["open", "alert", "alert"]
    assert incident.alerts.count() == 3


def test_another_key_opens_another_one(database: str) -> None:
    assert opened(key="a").pk != opened(key="b").pk


def test_many_alerts_at_once_are_few_events_and_few_statements(
    database: str, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    arrivals = [Arrival(alert(), f"k{number % 3}", GROUP) for number in range(60)]
    with django_assert_max_num_queries(12):
        found = incidents.attach_all(arrivals, NOW)
    assert len(found) == 60
    assert Incident.objects.count() == 3
    assert [event.data["count"] for event in IncidentEvent.objects.all()] == [20, 20, 20]
    assert IncidentEvent.objects.first().text == "20 alerts, the first: readiness fails"  # type: ignore[union-attr]


def test_attaching_twice_does_nothing(database: str) -> None:
    mine = alert()
    first = incidents.attach(mine, "k", GROUP, NOW)
    assert incidents.attach(mine, "k", GROUP, after(5)) == first
    assert verbs(first) == ["open"]


def test_an_incident_keeps_the_escalation_of_the_rule_before_that_of_the_route(database: str) -> None:
    of_rule, of_route = (EscalationPolicy.objects.create(name=name) for name in ("rule's", "route's"))
    EscalationStep.objects.create(policy=of_rule, after=300, receiver=Receiver.objects.create(name="on-call"))
    rule = AlertRule.objects.create(name="WorkerDown", kind="log", escalation=of_rule)
    incident = incidents.attach(alert(rule=rule), "k", GROUP, NOW, of_route)
    assert (incident.escalation, incident.escalate_at) == (of_rule, clock.micros(after(300)))
    assert incidents.attach(alert(), "other", GROUP, NOW, of_route).escalation == of_route


@pytest.mark.parametrize(
    ("common", "title"),
    [
        ({"alertname": "Down"}, "Down"),
        ({"cluster": "a", "alertname": "Down", "service": "api", "severity": "low"}, "Down · api · a"),
        ({}, "WorkerDown"),
        ({"alertname": "x" * 400}, "x" * 300),
    ],
)
def test_a_title_says_what_and_where(common: dict[str, str], title: str) -> None:
    assert incidents.title_of(common, {"alertname": "WorkerDown", "service": "other"})[:300] == title


# --- Ending ----------------------------------------------------------------------------------------------------------


def test_it_ends_by_itself_when_all_alerts_have_ended(database: str) -> None:
    one, two = alert(), alert()
    incident = incidents.attach(one, "k", GROUP, NOW)
    incidents.attach(two, "k", GROUP, NOW)
    end(one)
    assert incidents.ended([incident.pk], after(10)) == []
    end(two)
    assert incidents.ended([incident.pk], after(20)) == [incident.pk]
    incident.refresh_from_db()
    assert (incident.status, incident.resolved_at, incident.resolved_by) == ("resolved", after(20), None)
    assert incident.escalate_at is None
    texts = list(incident.events.values_list("verb", "text"))[2:]
    assert texts == [("alert", "an alert has ended, 1 still fires"), ("resolve", "all alerts have ended")]
    assert incidents.ended([incident.pk], after(30)) == []
    assert len(verbs(incident)) == 4


def test_what_a_person_resolved_stays_so_until_an_alert_fires_anew(database: str) -> None:
    mine = alert()
    incident = incidents.attach(mine, "k", GROUP, NOW)
    assert incidents.resolve(incident, by=person("alice"), via=Via.PAGE, now=after(5), text="restarted it")
    assert incidents.attach(mine, "k", GROUP, after(10)) == incident  # it goes on firing
    end(mine)
    assert incidents.ended([incident.pk], after(15)) == []
    incident.refresh_from_db()
    assert (incident.status, incident.resolution, incident.resolved_at) == ("resolved", "restarted it", after(5))

    anew = incidents.attach(alert(), "k", GROUP, after(20))
    assert (anew.pk != incident.pk, anew.status) == (True, "open")


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_a_life_of_an_incident_is_told_by_its_events(database: str) -> None:
    alice, bob = person("alice"), person("bob")
    incident = opened()
    assert incidents.acknowledge(incident, by=alice, via=Via.PAGE, now=after(10))
    assert (incident.status, incident.acknowledged_by, incident.acknowledged_at) == ("acknowledged", alice, after(10))
    assert incidents.assign(incident, to=bob, by=alice, via=Via.PAGE, now=after(20))
    assert incidents.comment(incident, text="redis was out of memory", by=bob, via=Via.PAGE, now=after(30))
    assert incidents.tick(incident, step=1, done=True, by=bob, via=Via.PAGE, now=after(40), text="restart it")
    assert incidents.unacknowledge(incident, by=alice, via=Via.ADMIN, now=after(50))
    assert (incident.status, incident.acknowledged_by, incident.acknowledged_at) == ("open", None, None)
    assert incidents.resolve(incident, by="deploy key", via=Via.API, now=after(60), text="more memory")
    assert incidents.reopen(incident, by=bob, via=Via.PAGE, now=after(70))
    assert (incident.status, incident.resolution, incident.resolved_at) == ("open", "", None)
    assert (incident.event_at, incident.assignee, incident.ticks) == (after(70), bob, [1])
    told = incident.events.values_list("verb", "actor", "via", "text")[1:]
    assert list(told) == [
        ("acknowledge", "alice", "page", ""),
        ("assign", "alice", "page", "to bob"),
        ("comment", "bob", "page", "redis was out of memory"),
        ("tick", "bob", "page", "restart it"),
        ("unacknowledge", "alice", "admin", ""),
        ("resolve", "deploy key", "api", "more memory"),
        ("reopen", "bob", "page", ""),
    ]
    assert incidents.who(incident, Verb.RESOLVE) == "deploy key"
    assert incidents.who(incident, Verb.ESCALATE) == ""


def test_who_comes_second_changes_nothing_and_sees_who_was_first(database: str) -> None:
    alice, bob = person("alice"), person("bob")
    incident = opened()
    seen_by_bob = Incident.objects.get(pk=incident.pk)
    assert incidents.acknowledge(incident, by=alice, via=Via.PAGE, now=after(1))
    assert not incidents.acknowledge(seen_by_bob, by=bob, via=Via.MAIL, now=after(2))
    assert (seen_by_bob.acknowledged_by, seen_by_bob.acknowledged_at) == (alice, after(1))
    assert verbs(incident) == ["open", "acknowledge"]


@pytest.mark.parametrize("verb", ["acknowledge", "unacknowledge", "assign", "resolve"])
def test_nothing_but_words_is_left_to_do_with_what_is_resolved(database: str, verb: str) -> None:
    incident = opened()
    incidents.resolve(incident, by=None, via=Via.SYSTEM, now=NOW)
    to = {"to": person("bob")} if verb == "assign" else {}
    assert not getattr(incidents, verb)(incident, by=person("alice"), via=Via.PAGE, **to)
    assert incidents.comment(incident, text="the post-mortem is in the wiki", by="bob", via=Via.API)
    assert verbs(incident) == ["open", "resolve", "comment"]


def test_what_is_open_is_not_reopened(database: str) -> None:
    assert not incidents.reopen(opened(), by=None, via=Via.PAGE)


def test_it_is_not_reopened_beside_another_one(database: str) -> None:
    incident = opened()
    incidents.resolve(incident, by=None, via=Via.PAGE)
    twin = opened()
    with pytest.raises(VerbError, match=f"Expected no other incident for the same alerts, but {twin.pk} is open"):
        incidents.reopen(incident, by=None, via=Via.PAGE)
    assert verbs(incident) == ["open", "resolve"]


def test_assigning_to_who_has_it_is_no_event(database: str) -> None:
    bob, incident = person("bob"), opened()
    assert not incidents.assign(incident, to=None, by=None, via=Via.PAGE)
    assert incidents.assign(incident, to=bob, by=None, via=Via.PAGE)
    assert not incidents.assign(incident, to=bob, by=None, via=Via.PAGE)
    assert incidents.assign(incident, to=None, by=None, via=Via.PAGE)
    assert list(incident.events.values_list("text", flat=True))[1:] == ["to bob", "to nobody"]


def test_steps_are_ticked_and_unticked(database: str) -> None:
    incident = opened()
    assert incidents.tick(incident, step=2, done=True, by=None, via=Via.PAGE)
    assert not incidents.tick(incident, step=2, done=True, by=None, via=Via.PAGE)
    assert incidents.tick(incident, step=0, done=True, by=None, via=Via.PAGE)
    assert incident.ticks == [0, 2]
    assert incidents.tick(incident, step=2, done=False, by=None, via=Via.PAGE)
    assert incident.ticks == [0]
    with pytest.raises(VerbError, match="from 0 to 199, got 200"):
        incidents.tick(incident, step=200, done=True, by=None, via=Via.PAGE)


def test_words_that_dont_fit_are_refused_and_no_text_breaks_it(database: str) -> None:
    incident = opened()
    for text, why in [("  ", "Expected some words"), ("x" * 5_001, "at most 5,000 characters, got 5,001")]:
        with pytest.raises(VerbError, match=why):
            incidents.comment(incident, text=text, by=None, via=Via.PAGE)
    with pytest.raises(VerbError, match="at most 1,000"):
        incidents.resolve(incident, by=None, via=Via.PAGE, text="x" * 1_001)
    assert incidents.comment(incident, text="a\0b <script>", by="x" * 200, via=Via.PAGE)
    assert incident.events.values_list("text", "actor").last() == ("ab <script>", "x" * 150)


def test_who_looks_on_is_told_once_it_is_written(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(live.announce, "_tell", told.extend)
    incident = opened()
    incidents.acknowledge(incident, by=None, via=Via.PAGE)
    assert told == [incident.pk, incident.pk]


# --- Races -----------------------------------------------------------------------------------------------------------


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each returns, all begun together, each in its thread."""
    barrier, results = threading.Barrier(len(works)), [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            results[place] = work()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    return results


def test_of_many_who_acknowledge_at_once_one_wins_and_all_see_who(database: str) -> None:
    people = [person(f"person {number}") for number in range(6)]
    incident = opened()
    seen = [Incident.objects.get(pk=incident.pk) for _ in people]

    def acknowledges(place: int) -> bool:
        return incidents.acknowledge(seen[place], by=people[place], via=Via.PAGE)

    won = at_once(*(partial(acknowledges, place) for place in range(6)))
    assert sorted(won) == [False] * 5 + [True]
    winner = people[won.index(True)]
    assert {each.acknowledged_by for each in seen} == {winner}
    assert list(incident.events.filter(verb="acknowledge").values_list("user", flat=True)) == [winner.pk]


def test_workers_that_open_the_same_incident_at_once_open_one(database: str) -> None:
    alerts = [alert() for _ in range(6)]
    found = at_once(*(partial(incidents.attach, mine, "k", GROUP, NOW) for mine in alerts))
    assert len({each.pk for each in found}) == 1
    incident = Incident.objects.get()
    assert incident.alerts.count() == 6
    assert sorted(verbs(incident)) == ["alert"] * 5 + ["open"]


def test_an_alert_never_joins_what_ends_at_the_same_time(database: str) -> None:
    """Either it joins first, and the incident stays; or it comes second, and opens another one."""
    for turn in range(8):
        old, new = alert(), alert()
        incident = incidents.attach(old, f"k{turn}", GROUP, NOW)
        end(old)
        at_once(
            partial(incidents.ended, [incident.pk], NOW),
            partial(incidents.attach, new, f"k{turn}", GROUP, NOW),
        )
        new.refresh_from_db()
        assert new.incident is not None
        assert new.incident.status == Status.OPEN


def test_different_steps_ticked_at_once_are_all_ticked(database: str) -> None:
    incident = opened()
    seen = [Incident.objects.get(pk=incident.pk) for _ in range(6)]
    at_once(
        *(partial(incidents.tick, each, step=step, done=True, by=None, via=Via.PAGE) for step, each in enumerate(seen))
    )
    incident.refresh_from_db()
    assert incident.ticks == [0, 1, 2, 3, 4, 5]


def test_who_resolves_while_somebody_acknowledges_leaves_it_resolved(database: str) -> None:
    for turn in range(4):
        incident = opened(key=f"k{turn}")
        one, two = (Incident.objects.get(pk=incident.pk) for _ in range(2))
        at_once(
            partial(incidents.acknowledge, one, by="a", via=Via.API),
            partial(incidents.resolve, two, by="b", via=Via.API),
        )
        incident.refresh_from_db()
        assert (incident.status, incident.escalate_at) == ("resolved", None)
    assert connection.vendor == ("postgresql" if database == "postgres" else "sqlite")
