"""Alertmanager's API v2: who may ask, what is taken, what is answered."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import Scope
from alerts import silences
from alerts.alertmanager import api, received, wire
from alerts.labels import fingerprint
from alerts.models import Alert, AlertRule, EscalationPolicy, InhibitRule, Member, Receiver, Route, Silence
from alerts.models.alerts import State

pytestmark = pytest.mark.django_db

DOWN = {"alertname": "Down", "service": "api", "severity": "critical"}
SLOW = {"alertname": "Slow", "service": "api", "severity": "low"}
READING = ["alerts", "alerts/groups", "silences", "receivers", "status", "silence/6a5ae4a9-4f0c-4a5e-9b1b-0d8d8c8a2f10"]


@pytest.fixture(autouse=True)
def routes() -> None:
    """Critical alerts go to `page`, all others to `chat`."""
    Route.objects.all().delete()
    EscalationPolicy.objects.all().delete()
    InhibitRule.objects.all().delete()
    Receiver.objects.all().delete()
    page, chat = (Receiver.objects.create(name=name) for name in ("page", "chat"))
    root = Route.objects.create(receiver=chat, group_by=["alertname"])
    Route.objects.create(parent=root, receiver=page, matchers=['severity="critical"'])


def key(*scopes: Scope) -> dict[str, str]:
    return {"authorization": f"Bearer {keys.create('a key', scopes)[1]}"}


@pytest.fixture
def sender() -> dict[str, str]:
    return key(Scope.INGEST)


@pytest.fixture
def reader() -> dict[str, str]:
    return key(Scope.READ)


@pytest.fixture
def root() -> dict[str, str]:
    return key(Scope.ADMIN)


def post(client: Client, path: str, body: Any, headers: dict[str, str]) -> Any:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body, default=datetime.isoformat)
    return client.post(f"/api/v2/{path}", content, content_type="application/json", headers=headers)


def get(client: Client, path: str, headers: dict[str, str], **params: Any) -> Any:
    answer = client.get(f"/api/v2/{path}", params, headers=headers)
    assert answer.status_code == 200, answer.content
    return answer.json()


def named(found: Any) -> list[str]:
    return [each["labels"]["alertname"] for each in found]


def test_a_key_for_some_services_sends_alerts_of_these(client: Client, reader: dict[str, str]) -> None:
    limited = {"authorization": f"Bearer {keys.create('shop', [Scope.INGEST], services=['shop'])[1]}"}
    labels = [{"alertname": "Own", "service": "shop"}, {"alertname": "Other", "service": "billing"},
              {"alertname": "Unnamed"}]  # fmt: skip
    answer = post(client, "alerts", [{"labels": each} for each in labels], limited)
    assert answer.status_code == 400
    assert answer.json() == "alert 1: the key 'shop' may send alerts of shop only, not of 'billing'"
    found = {each["labels"]["alertname"]: each["labels"]["service"] for each in get(client, "alerts", reader)}
    assert found == {"Own": "shop", "Unnamed": "shop"}


# --- Who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READING)
def test_reading_takes_a_key_or_a_session_with_the_permission(
    client: Client, path: str, reader: dict[str, str]
) -> None:
    address = f"/api/v2/{path}"
    assert client.get(address).status_code == 401
    assert client.get(address, headers=key(Scope.INGEST)).status_code == 403
    assert client.get(address, headers=reader).status_code in (200, 404)
    alice = User.objects.create_user("alice")
    client.force_login(alice)
    assert client.get(address).status_code == 403
    alice.user_permissions.add(Permission.objects.get(codename="view_alert"))
    assert client.get(address).status_code in (200, 404)


def test_a_key_is_the_password_of_basic_authentication(client: Client) -> None:
    plain = keys.create("amtool", [Scope.READ])[1]
    basic = base64.b64encode(f"anybody:{plain}".encode()).decode()
    assert get(client, "alerts", {"authorization": f"Basic {basic}"}) == []
    assert get(client, "alerts", {"x-api-key": plain}) == []


def test_sending_alerts_takes_ingest_and_silences_take_admin(
    client: Client, sender: dict[str, str], reader: dict[str, str]
) -> None:
    assert post(client, "alerts", [], {}).status_code == 401
    assert post(client, "alerts", [], reader).status_code == 403
    assert post(client, "alerts", [], sender).status_code == 200
    assert post(client, "silences", {}, sender).status_code == 403
    assert client.delete("/api/v2/silence/6a5ae4a9-4f0c-4a5e-9b1b-0d8d8c8a2f10", headers=sender).status_code == 403
    # A cookie is not enough, whoever it is: a foreign page could send it along.
    client.force_login(User.objects.create_superuser("admin", "", ""))
    assert post(client, "alerts", [], {}).status_code == 401
    assert post(client, "silences", {}, {}).status_code == 401


@pytest.mark.parametrize(
    ("path", "allowed"), [("alerts", "GET, POST"), ("silences", "GET, POST"), ("status", "GET, HEAD")]
)
def test_other_methods(client: Client, reader: dict[str, str], path: str, allowed: str) -> None:
    answer = client.put(f"/api/v2/{path}", headers=reader)
    assert (answer.status_code, answer["Allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/-/ready", "/-/healthy"])
def test_how_it_is_needs_no_key(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (200, b"OK")


# --- Alerts that are sent --------------------------------------------------------------------------------------------


def test_an_alert_fires_and_reaches_its_group(client: Client, sender: dict[str, str], reader: dict[str, str]) -> None:
    sent = {
        "labels": {**DOWN, "empty": ""},
        "annotations": {"summary": "it is down"},
        "generatorURL": "http://prom/graph",
    }
    assert post(client, "alerts", [sent], sender).status_code == 200
    row = Alert.objects.get()
    assert (row.state, row.severity, row.labels, row.rule) == (State.FIRING, "critical", DOWN, None)
    assert row.incident is not None
    assert Member.objects.get().alert == row
    assert row.ends_at
    assert row.ends_at - row.true_at == wire.RESOLVE_TIMEOUT
    (shown,) = get(client, "alerts", reader)
    assert shown["labels"] == DOWN
    assert shown["annotations"] == {"summary": "it is down"}
    assert shown["receivers"] == [{"name": "page"}]
    assert shown["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": []}
    assert (shown["generatorURL"], shown["fingerprint"]) == ("http://prom/graph", fingerprint(DOWN))


def test_sent_again_it_goes_on_and_its_end_ends_it(client: Client, sender: dict[str, str]) -> None:
    begun = timezone.now() - timedelta(minutes=3)
    later = timezone.now() + timedelta(minutes=4)
    post(client, "alerts", [{"labels": DOWN, "startsAt": begun, "endsAt": later}], sender)
    post(client, "alerts", [{"labels": DOWN, "startsAt": begun, "endsAt": later + timedelta(minutes=1)}], sender)
    row = Alert.objects.get()
    assert (row.fired_at, row.ends_at) == (begun, later + timedelta(minutes=1))
    ended = timezone.now()
    post(client, "alerts", [{"labels": DOWN, "startsAt": begun, "endsAt": ended}], sender)
    row.refresh_from_db()
    assert (row.state, row.resolved_at) == (State.RESOLVED, ended)
    assert row.incident
    assert row.incident.status == "resolved"
    # The end of what never fired here is of no interest; a new beginning is a new episode.
    post(client, "alerts", [{"labels": DOWN, "startsAt": begun, "endsAt": ended}], sender)
    assert Alert.objects.count() == 1
    post(client, "alerts", [{"labels": DOWN}], sender)
    assert Alert.objects.count() == 2


def test_what_is_not_sent_again_ends_in_time(client: Client, sender: dict[str, str]) -> None:
    now = timezone.now()
    post(client, "alerts", [{"labels": DOWN, "endsAt": now + timedelta(minutes=1)}, {"labels": SLOW}], sender)
    assert received.time_out(now + timedelta(seconds=59)) == 0
    assert received.time_out(now + timedelta(seconds=61)) == 1
    assert received.time_out(now + timedelta(seconds=61)) == 0
    states = {row.labels["alertname"]: row.state for row in Alert.objects.all()}
    assert states == {"Down": State.RESOLVED, "Slow": State.FIRING}
    down = Alert.objects.get(severity="critical")
    assert down.resolved_at == now + timedelta(minutes=1)


def test_go_s_time_zero_is_no_time(client: Client, sender: dict[str, str]) -> None:
    zero = "0001-01-01T00:00:00Z"
    assert post(client, "alerts", [{"labels": DOWN, "startsAt": zero, "endsAt": zero}], sender).status_code == 200
    row = Alert.objects.get()
    assert row.fired_at == row.true_at


def test_alerts_of_our_own_rules_are_ours(client: Client, sender: dict[str, str]) -> None:
    rule = AlertRule.objects.create(name="Down", kind="x")
    now = timezone.now()
    ours = Alert.objects.create(
        rule=rule, fingerprint=fingerprint(DOWN), labels=DOWN, state=State.FIRING, active_at=now, true_at=now
    )
    assert post(client, "alerts", [{"labels": DOWN, "endsAt": now}], sender).status_code == 200
    ours.refresh_from_db()
    assert ours.state == State.FIRING
    received.time_out(now + timedelta(days=1))
    ours.refresh_from_db()
    assert ours.state == State.FIRING


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "Input data was truncated"),
        (b"{}", "Expected array, got object"),
        (b"[" * 5_000, "expected JSON that is less deep"),
        (b"\xff", "JSON is malformed"),
        ([1], "alert 0: Expected object, got int"),
        ([{}], "alert 0: Object missing required field labels"),
        ([{"labels": {}}], "alert 0: expected at least one label"),
        ([{"labels": {"a": ""}}], "alert 0: expected at least one label"),
        ([{"labels": {"a-b": "c"}}], "alert 0: expected names of letters, digits and _ in labels, got 'a-b'"),
        ([{"labels": {"a": "x" * 2_001}}], "alert 0: expected at most 2,000 characters in a, got 2,001"),
        ([{"labels": {"a": "\0"}}], "alert 0: expected a text without NUL"),
        ([{"labels": {f"l{n}": "x" for n in range(65)}}], "alert 0: expected at most 64 labels, got 65"),
        ([{"labels": {"a": "b"}, "annotations": {"c d": "e"}}], "alert 0: expected names of letters, digits and _"),
        ([{"labels": {"a": "b"}, "startsAt": "soon"}], "alert 0: Invalid RFC3339 encoded datetime"),
        (
            [{"labels": {"a": "b"}, "startsAt": "2026-11-21T10:00:00Z", "endsAt": "2026-11-21T09:00:00Z"}],
            "alert 0: expected endsAt after startsAt",
        ),
        (
            [{"labels": {"a": "b"}, "endsAt": "9999-12-31T23:59:59-12:00"}],
            "alert 0: expected a time that a calendar has",
        ),
        ([{"labels": {"a": "b"}}] * 5_001, "expected at most 5,000 alerts in one request, got 5,001"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(
    client: Client, sender: dict[str, str], body: Any, sentence: str
) -> None:
    answer = post(client, "alerts", body, sender)
    assert answer.status_code == 400
    assert sentence in answer.json()
    assert not Alert.objects.exists()


def test_the_good_ones_among_bad_ones_are_taken(client: Client, sender: dict[str, str]) -> None:
    answer = post(client, "alerts", [{"labels": DOWN}, {"labels": {}}, 1, {"labels": SLOW}], sender)
    assert answer.status_code == 400
    assert answer.json().startswith("alert 1: expected at least one label with a text; alert 2: Expected object")
    assert Alert.objects.count() == 2


def test_a_body_is_bounded(client: Client, sender: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BODY_MAX", 10)
    answer = post(client, "alerts", [{"labels": DOWN}], sender)
    assert (answer.status_code, answer.json()) == (400, "expected at most 10 bytes: send fewer at once")


def test_many_alerts_are_taken_in_several_transactions(
    client: Client, sender: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received, "TOGETHER", 2)
    several = [{"labels": DOWN | {"instance": str(number)}} for number in range(5)]
    assert post(client, "alerts", [*several, several[0]], sender).status_code == 200
    assert Alert.objects.count() == 5
    monkeypatch.setattr(received, "FIRING_MAX", 6)
    more = [{"labels": DOWN | {"instance": str(number)}} for number in range(4, 7)]
    assert post(client, "alerts", more, sender).status_code == 429
    assert Alert.objects.count() == 5


def test_too_many_alerts_are_refused(client: Client, sender: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "FIRING_MAX", 1)
    assert post(client, "alerts", [{"labels": DOWN}], sender).status_code == 200
    answer = post(client, "alerts", [{"labels": DOWN}, {"labels": SLOW}], sender)
    assert answer.status_code == 429
    assert "1 alerts of others fire, and at most 1 are kept" in answer.json()
    assert post(client, "alerts", [{"labels": DOWN}], sender).status_code == 200


# --- What is answered ------------------------------------------------------------------------------------------------


@pytest.fixture
def firing(client: Client, sender: dict[str, str]) -> None:
    post(client, "alerts", [{"labels": DOWN}, {"labels": SLOW}], sender)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, {"Down", "Slow"}),
        ({"filter": 'alertname="Down"'}, {"Down"}),
        ({"filter": ["service=api", "severity!=critical"]}, {"Slow"}),
        ({"filter": '{alertname=~"D.*|S.*", severity=low}'}, {"Slow"}),
        ({"receiver": "page"}, {"Down"}),
        ({"receiver": "p.*|x"}, {"Down"}),
        ({"receiver": "pag"}, set()),
    ],
)
def test_filters(client: Client, reader: dict[str, str], firing: None, params: Any, found: set[str]) -> None:
    assert set(named(get(client, "alerts", reader, **params))) == found


def test_what_is_kept_quiet_says_by_what(client: Client, reader: dict[str, str], firing: None) -> None:
    now = timezone.now()
    silence = silences.create(
        ['service="api"', 'severity="critical"'], now, now + timedelta(hours=1), created_by="ann", comment="known"
    )
    InhibitRule.objects.create(
        source_matchers=['severity="critical"'], target_matchers=['severity="low"'], equal=["service"]
    )
    found = {each["labels"]["alertname"]: each["status"] for each in get(client, "alerts", reader)}
    assert found["Down"] == {"state": "suppressed", "silencedBy": [str(silence.pk)], "inhibitedBy": []}
    assert found["Slow"] == {"state": "suppressed", "silencedBy": [], "inhibitedBy": [fingerprint(DOWN)]}
    assert named(get(client, "alerts", reader, silenced="false")) == ["Slow"]
    assert named(get(client, "alerts", reader, inhibited="false")) == ["Down"]
    silences.expire(silence)
    assert named(get(client, "alerts", reader, active="false")) == ["Slow"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"filter": "no matcher"}, "Expected a label, one of"),
        ({"active": "maybe"}, "active: expected true or false, got 'maybe'"),
        ({"receiver": "("}, "receiver: expected a regular expression"),
    ],
)
def test_a_filter_that_can_not_be_read_is_told(
    client: Client, reader: dict[str, str], params: Any, sentence: str
) -> None:
    answer = client.get("/api/v2/alerts", params, headers=reader)
    assert answer.status_code == 400
    assert answer.json().startswith(sentence)


def test_groups_are_as_routing_makes_them(client: Client, reader: dict[str, str], firing: None) -> None:
    down, slow = get(client, "alerts/groups", reader)
    assert (down["labels"], down["receiver"]) == ({"alertname": "Down"}, {"name": "page"})
    assert named(down["alerts"]) == ["Down"]
    assert (slow["labels"], slow["receiver"]) == ({"alertname": "Slow"}, {"name": "chat"})
    assert len(get(client, "alerts/groups", reader, receiver="chat")) == 1


def test_receivers_and_status(client: Client, reader: dict[str, str]) -> None:
    assert get(client, "receivers", reader) == [{"name": "chat"}, {"name": "page"}]
    found = get(client, "status", reader)
    assert found["cluster"]["status"] == "disabled"
    assert 'severity="critical"' in found["config"]["original"]


# --- Silences --------------------------------------------------------------------------------------------------------


def asked(**changes: Any) -> dict[str, Any]:
    now = timezone.now()
    matcher = {"name": "service", "value": "api", "isRegex": False, "isEqual": True}
    whole = {"startsAt": now, "endsAt": now + timedelta(hours=1), "createdBy": "ann", "comment": "deploy"}
    return {"matchers": [matcher], **whole, **changes}


def test_a_silence_is_made_shown_replaced_and_ended(client: Client, root: dict[str, str]) -> None:
    first = post(client, "silences", asked(), root).json()["silenceID"]
    shown = get(client, f"silence/{first}", root)
    assert (shown["status"], shown["createdBy"], shown["comment"]) == ({"state": "active"}, "ann", "deploy")
    assert shown["matchers"] == asked()["matchers"]
    second = post(client, "silences", asked(id=first, comment="longer"), root).json()["silenceID"]
    assert second != first
    assert get(client, f"silence/{first}", root)["status"] == {"state": "expired"}
    assert [(each["id"], each["status"]["state"]) for each in get(client, "silences", root)] == [
        (second, "active"), (first, "expired"),
    ]  # fmt: skip
    assert client.delete(f"/api/v2/silence/{second}", headers=root).status_code == 200
    assert client.delete(f"/api/v2/silence/{second}", headers=root).status_code == 200
    assert get(client, f"silence/{second}", root)["status"] == {"state": "expired"}


def test_silences_are_filtered_by_their_matchers(client: Client, root: dict[str, str]) -> None:
    post(client, "silences", asked(), root)
    assert len(get(client, "silences", root, filter="service=api")) == 1
    assert get(client, "silences", root, filter="service=web") == []
    later = timezone.now() + timedelta(minutes=5)
    post(client, "silences", asked(startsAt=later), root)
    assert [each["status"]["state"] for each in get(client, "silences", root)] == ["active", "pending"]


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"matchers": []}, 400, "expected at least one matcher"),
        ({"matchers": [{"name": "a b", "value": "", "isRegex": False}]}, 400, "Expected a label"),
        ({"matchers": [{"name": "a", "value": "(", "isRegex": True}]}, 400, "Expected a regular expression"),
        ({"matchers": [{"name": "a", "value": ".*", "isRegex": True}]}, 400, "It would hit everything"),
        ({"endsAt": "2020-01-01T00:00:00Z"}, 400, "end time can't be in the past"),
        ({"startsAt": "2036-01-01T00:00:00Z"}, 400, "It would end before it begins"),
        ({"comment": None}, 400, "Expected str, got null"),
        ({"comment": ""}, 400, "comment: This field cannot be blank"),
        ({"id": "6a5ae4a9-4f0c-4a5e-9b1b-0d8d8c8a2f10"}, 404, "not found"),
        ({"id": "nonsense"}, 404, "not found"),
    ],
)
def test_a_silence_that_makes_no_sense(
    client: Client, root: dict[str, str], changes: Any, status: int, sentence: str
) -> None:
    answer = post(client, "silences", asked(**changes), root)
    assert answer.status_code == status
    assert sentence in answer.json()
    assert not Silence.objects.exists()


def test_a_replacement_that_is_refused_ends_nothing(client: Client, root: dict[str, str]) -> None:
    first = post(client, "silences", asked(), root).json()["silenceID"]
    everything = [{"name": "a", "value": ".*", "isRegex": True}]
    assert post(client, "silences", asked(id=first, matchers=everything), root).status_code == 400
    assert get(client, f"silence/{first}", root)["status"] == {"state": "active"}
