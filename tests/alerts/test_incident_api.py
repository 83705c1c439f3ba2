"""Incidents over HTTP: who may ask, what is answered, what may be done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import Scope
from alerts import incidents
from alerts.models import Evidence, Incident
from alerts.models.incidents import Status, Verb, Via
from services.models import Service
from tests.alerts import made

pytestmark = pytest.mark.django_db

READING = ["", "/1", "/1/evidence", "/times"]
VERBS = ["acknowledge", "unacknowledge", "assign", "comment", "tick", "escalate", "resolve", "reopen"]


@pytest.fixture
def alice(client: Client) -> Client:
    """May see incidents, and nothing else."""
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="view_incident"))
    client.force_login(user)
    return client


@pytest.fixture
def root() -> dict[str, str]:
    """The header of a key that may do everything."""
    return {"authorization": f"Bearer {keys.create('chat bot', [Scope.ADMIN])[1]}"}


@pytest.fixture
def incident() -> Incident:
    rule = made.rule()
    service = Service.objects.create(name="worker")
    one = made.incident(pk=1, rule=rule, service=service, labels={"service": "worker"})
    made.alert(rule, incident=one)
    made.event(one, Verb.OPEN, "readiness fails")
    return one


def get(client: Client, path: str = "", **params: Any) -> Any:
    answer = client.get(f"/api/incidents{path}?{urlencode(params, doseq=True)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def post(client: Client, header: dict[str, str], verb: str, body: Any = None, pk: int = 1) -> Any:
    return client.post(f"/api/incidents/{pk}/{verb}", body, content_type="application/json", headers=header)


# --- Who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READING)
def test_reading_takes_a_session_with_the_permission_or_a_key(client: Client, incident: Incident, path: str) -> None:
    address = f"/api/incidents{path}"
    assert client.get(address).status_code == 401
    _, sender = keys.create("sender", [Scope.INGEST])
    assert client.get(address, headers={"authorization": f"Bearer {sender}"}).status_code == 403
    _, reader = keys.create("reader", [Scope.READ])
    assert client.get(address, headers={"authorization": f"Bearer {reader}"}).status_code == 200
    client.force_login(User.objects.create_user("bob"))
    assert client.get(address).status_code == 403
    assert client.post(address).status_code in (401, 405)


def test_evidence_takes_the_right_to_read_logs_as_well(alice: Client, incident: Incident) -> None:
    assert alice.get("/api/incidents/1/evidence").json() == {"error": "your account lacks the permission to read logs"}
    User.objects.get().user_permissions.add(Permission.objects.get(codename="read_records"))
    assert alice.get("/api/incidents/1/evidence").status_code == 200


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_take_a_key_that_may_do_everything(alice: Client, incident: Incident, verb: str) -> None:
    assert alice.post(f"/api/incidents/1/{verb}").status_code == 401
    _, reader = keys.create("reader", [Scope.READ])
    assert post(alice, {"authorization": f"Bearer {reader}"}, verb).status_code == 403
    assert alice.get(f"/api/incidents/1/{verb}").status_code == 405
    incident.refresh_from_db()
    assert (incident.status, incident.events.count()) == ("open", 1)


# --- What is answered ------------------------------------------------------------------------------------------------


def test_one_is_told_with_all_that_happened(alice: Client, incident: Incident) -> None:
    made.delivery(incident)
    made.incident(pk=2, title="before", status=Status.RESOLVED, rule=incident.rule, opened_at=incident.opened_at,
        resolution="restarted it")  # fmt: skip
    found = get(alice, "/1")
    assert (found["title"], found["status"], found["rule"], found["service"]) == (
        "WorkerDown · worker", "open", "WorkerDown", "worker",
    )  # fmt: skip
    assert [each["labels"]["alertname"] for each in found["alerts"]] == ["WorkerDown"]
    assert [(each["verb"], each["text"], each["via"]) for each in found["events"]] == [
        ("open", "readiness fails", "system")
    ]
    assert [(each["receiver"], each["outcome"], each["answer"]) for each in found["deliveries"]] == [
        ("on-call", "delivered", "200 OK")
    ]
    assert [(each["id"], each["resolution"]) for each in found["similar"]] == [(2, "restarted it")]


def test_what_is_not_there_is_a_404_that_says_where_to_look(alice: Client, root: dict[str, str]) -> None:
    for answer in (alice.get("/api/incidents/7"), post(alice, root, "resolve", pk=7)):
        assert answer.status_code == 404
        assert answer.json()["error"] == "there is no incident 7; GET /api/incidents lists them"


def test_the_list_is_filtered_and_paged(alice: Client) -> None:
    for number in range(1, 6):
        made.incident(pk=number, title=f"number {number}", severity="critical" if number == 3 else "high")
    made.incident(pk=6, title="over", status=Status.RESOLVED, opened_at=timezone.now() - timedelta(days=3))
    first = get(alice, limit=2)
    assert ([each["id"] for each in first["incidents"]], first["next"]) == ([6, 5], "5")
    assert [each["id"] for each in get(alice, after=first["next"])["incidents"]] == [4, 3, 2, 1]
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"status": "resolved"}, [6]), ({"status": "open,resolved", "severity": "critical"}, [3]),
        ({"q": "BER 2"}, [2]), ({"from": "-1d", "limit": 1}, [5]), ({"to": "-1d"}, [6]), ({"service": "x"}, []),
    ]  # fmt: skip
    for params, ids in cases:
        assert [each["id"] for each in get(alice, **params)["incidents"]] == ids, params
    answer = alice.get("/api/incidents?status=gone")
    assert (answer.status_code, answer.json()["parameter"]) == (400, "status")


def test_evidence_has_lines_as_searches_have_them(client: Client, incident: Incident, root: dict[str, str]) -> None:
    line = {"timestamp": 1_000_000, "level": 4, "service": "worker", "message": "failed", "metadata": '{"n":1}'}
    made.evidence(incident, Evidence.Kind.LINES, {"services": ["worker"], "lines": [line]}, "1 line of worker")
    [found] = client.get("/api/incidents/1/evidence", headers=root).json()["evidence"]
    assert (found["kind"], found["note"]) == ("lines", "1 line of worker")
    [shown] = found["data"]["lines"]
    assert (shown["level"], shown["message"], shown["metadata"], shown["timestamp"][:19]) == (
        "error", "failed", {"n": 1}, "1970-01-01T00:00:01",
    )  # fmt: skip


def test_how_long_they_took(alice: Client, incident: Incident) -> None:
    opened = incident.opened_at
    incidents.acknowledge(incident, by="a", via=Via.API, now=opened + timedelta(seconds=60))
    incidents.resolve(incident, by="a", via=Via.API, now=opened + timedelta(seconds=90))
    found = get(alice, "/times")
    assert found["all"]["mtta_seconds"] == 60
    assert [(each["name"], each["mttr_seconds"], each["incidents"]) for each in found["rules"]] == [
        ("WorkerDown", 90, 1)
    ]
    assert [each["name"] for each in found["services"]] == ["worker"]
    assert [(each["name"], each["alerts"], each["ignored"]) for each in found["noisiest"]] == [("WorkerDown", 1, 0)]
    assert alice.get("/api/incidents/times?from=now").status_code == 400


# --- What may be done ------------------------------------------------------------------------------------------------


def test_a_program_does_what_a_person_can(client: Client, incident: Incident, root: dict[str, str]) -> None:
    bob = User.objects.create_user("bob")
    for verb, body in [
        ("acknowledge", None), ("assign", {"to": "bob"}), ("comment", {"text": "looking", "by": "ann"}),
        ("tick", {"step": 1}), ("unacknowledge", {}), ("resolve", {"text": "more memory"}), ("reopen", None),
    ]:  # fmt: skip
        answer = post(client, root, verb, body)
        assert answer.status_code == 200, answer.content
    incident.refresh_from_db()
    assert (incident.status, incident.assignee, incident.ticks) == ("open", bob, [1])
    told = incident.events.values_list("verb", "actor", "via")[1:]
    assert [each for each in told if each[0] == "comment"] == [("comment", "ann (chat bot)", "api")]
    assert {each[1:] for each in told if each[0] != "comment"} == {("chat bot", "api")}


def test_who_comes_second_is_told_who_was_first(client: Client, incident: Incident, root: dict[str, str]) -> None:
    incidents.acknowledge(incident, by="alice", via=Via.PAGE)
    answer = post(client, root, "acknowledge")
    assert (answer.status_code, answer.json()["error"]) == (
        409, "nothing was changed: alice has done it already; incident 1 is acknowledged",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "body", "error"),
    [
        ("comment", {}, "Expected some words."),
        ("tick", {}, "expected the number of a step of the runbook, from 0"),
        ("tick", {"step": 200}, "Expected a step from 0 to 199, got 200."),
        ("assign", {"to": "nobody"}, "expected the name of a user, got 'nobody'"),
        ("escalate", {}, "Expected an incident with an escalation: neither its rule nor its route has one."),
        ("resolve", {"txt": "x"}, "expected JSON like"),
        ("resolve", "[[[", "expected JSON like"),
        ("resolve", {"text": 7}, "expected JSON like"),
        ("resolve", {"text": "x" * 70_000}, "expected at most 65,536 bytes"),
    ],
)
def test_what_doesnt_fit_is_a_sentence(
    client: Client, incident: Incident, root: dict[str, str], verb: str, body: Any, error: str
) -> None:
    answer = post(client, root, verb, body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)


def test_an_unknown_verb_is_named(client: Client, incident: Incident, root: dict[str, str]) -> None:
    answer = post(client, root, "delete")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("expected one of acknowledge, unacknowledge, assign")
