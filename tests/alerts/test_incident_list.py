"""The list of incidents, and the alerts that are active."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import incident_list, incident_views
from alerts.incident_list import parse
from alerts.models import Incident
from alerts.models.incidents import Status
from tests.alerts import made
from tests.services.fleet import service, signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

ACKNOWLEDGE = "/incidents/acknowledge/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def alice() -> Client:
    return signed_in("alice", "view_incident", "respond_incident", "view_alert")


def text_of(response: Any) -> str:
    content: str = response.content.decode()
    return " ".join(content.split())


def titles(client: Client, query: str = "") -> list[str]:
    """Of the incidents in the list, in their order."""
    page = client.get(f"/incidents/{query}").content.decode()
    return re.findall(r'<a href="/incidents/\d+/" id="open-\d+"><bdi>([^<]*)', page)


# --- The five questions ----------------------------------------------------------------------------------------------


def test_each_incident_is_there_with_how_bad_it_is_and_what_is_wrong(alice: Client) -> None:
    incident = made.incident("WorkerDown · <worker>", severity="critical", summary="redis <refuses>")
    for _ in range(2):
        page = text_of(alice.get("/incidents/"))
        for word in (
            "critical</span>",
            "WorkerDown · &lt;worker&gt;",
            "redis &lt;refuses&gt;",
            f"#{incident.pk}",
            "open</span>",
        ):
            assert word in page, word


def test_the_pages_refuse_other_methods(alice: Client) -> None:
    assert alice.post("/incidents/").status_code == 405
    assert alice.post("/alerts/").status_code == 405
    assert alice.get(ACKNOWLEDGE).status_code == 405


def test_the_pages_refuse_somebody_without_the_right_and_ask_strangers_to_log_in() -> None:
    bob = signed_in("bob", "view_service")
    for path in ("/incidents/", "/alerts/"):
        assert bob.get(path).status_code == 403
        assert Client().get(path)["Location"] == f"/login/?next={path}"


def test_who_may_only_look_is_offered_no_button_and_refused() -> None:
    incident = made.incident()
    carol = signed_in("carol", "view_incident")
    page = text_of(carol.get("/incidents/"))
    assert "WorkerDown" in page
    assert "Acknowledge</button>" not in page
    assert carol.post(ACKNOWLEDGE, {"incident": incident.pk}).status_code == 403
    assert Client().post(ACKNOWLEDGE, {"incident": incident.pk}).status_code == 302
    incident.refresh_from_db()
    assert incident.status == Status.OPEN


def test_a_form_without_its_token_is_refused() -> None:
    incident = made.incident()
    signed_in("dan", "view_incident", "respond_incident")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="dan"))
    assert strict.post(ACKNOWLEDGE, {"incident": incident.pk}).status_code == 403


# --- Acknowledging from the list -------------------------------------------------------------------------------------


def test_several_are_acknowledged_at_once_and_the_view_stays(alice: Client) -> None:
    first, second, third = made.incident("a"), made.incident("b"), made.incident("c")
    answer = alice.post(ACKNOWLEDGE, {"incident": [first.pk, second.pk], "view": "severity=high&page=zzz&to=//evil"})
    assert answer["Location"] == "/incidents/?severity=high"
    by_title = dict(Incident.objects.values_list("title", "acknowledged_by__username"))
    assert by_title == {"a": "alice", "b": "alice", "c": None}
    third.refresh_from_db()
    assert third.status == Status.OPEN


def test_who_comes_second_is_told_who_was_faster(alice: Client) -> None:
    incident = made.incident()
    bob = signed_in("bob", "view_incident", "respond_incident")
    assert text_of(bob.post(ACKNOWLEDGE, {"incident": incident.pk}, headers=HTMX)) == ""
    said = text_of(alice.post(ACKNOWLEDGE, {"incident": incident.pk}, headers=HTMX))
    assert f"Somebody was faster: incident {incident.pk} is acknowledged by bob already." in said
    incident.refresh_from_db()
    assert incident.acknowledged_by == User.objects.get(username="bob")
    assert incident.events.count() == 1


def test_what_is_no_number_or_unknown_is_passed_over(alice: Client) -> None:
    said = text_of(alice.post(ACKNOWLEDGE, {"incident": ["x", "-1", "9" * 30]}, headers=HTMX))
    assert "Expected at least one incident" in said
    assert alice.post(ACKNOWLEDGE, {"incident": "999"}, headers=HTMX).status_code == 200


# --- Which, and in which order ---------------------------------------------------------------------------------------


def test_open_ones_stand_first_then_acknowledged_ones_the_newest_first(alice: Client) -> None:
    now = timezone.now()
    for n, (title, status) in enumerate(
        [("over", Status.RESOLVED), ("taken", Status.ACKNOWLEDGED), ("new", Status.OPEN), ("old", Status.OPEN)]
    ):
        made.incident(title, status, opened_at=now - timedelta(hours=n))
    assert titles(alice) == ["new", "old", "taken", "over"]


def test_filters_narrow_by_everything_that_the_address_says(alice: Client) -> None:
    dan = User.objects.create_user("dan")
    day = timezone.now() - timedelta(days=1, hours=1)
    made.incident("one", severity="critical", service=service("api"), assignee=dan)
    made.incident("two", Status.ACKNOWLEDGED, rule=made.rule("Slow"), summary="slow answers")
    made.incident("three", Status.RESOLVED, opened_at=day)
    for query, expected in (
        ("", ["one", "two", "three"]),
        ("?status=open", ["one"]),
        ("?status=acknowledged", ["two"]),
        ("?severity=critical", ["one"]),
        ("?service=api", ["one"]),
        ("?rule=Slow", ["two"]),
        ("?assignee=dan", ["one"]),
        ("?assignee=-", ["two", "three"]),
        ("?opened=24h", ["one", "two"]),
        ("?opened=7d&status=resolved", ["three"]),
        ("?q=SLOW+answers", ["two"]),
        ("?q=nothing", []),
        ("?status=unheard-of&severity=x&opened=y&page=-3", ["one", "two", "three"]),
    ):
        assert titles(alice, query) == expected, query


def test_an_incident_is_found_by_its_number(alice: Client) -> None:
    incident = made.incident("one")
    made.incident("two")
    assert titles(alice, f"?q=%23{incident.pk}") == ["one"]


def test_a_long_list_has_pages_and_each_incident_stands_on_one(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incident_list, "ROWS_MAX", 2)
    for n, status in enumerate(
        [Status.OPEN, Status.ACKNOWLEDGED, Status.ACKNOWLEDGED, Status.RESOLVED, Status.RESOLVED]
    ):
        made.incident(f"i{n}", status, opened_at=timezone.now() - timedelta(minutes=n))
    assert [titles(alice, f"?page={page}") for page in (1, 2, 3)] == [["i0", "i1"], ["i2", "i3"], ["i4"]]
    assert titles(alice, "?page=99") == ["i4"]
    page = text_of(alice.get("/incidents/?page=2&severity=high"))
    assert "?severity=high&amp;page=1" in page
    assert "?severity=high&amp;page=3" in page


def test_an_empty_list_says_what_comes_here_and_a_search_without_a_match_offers_the_way_back(alice: Client) -> None:
    assert "No incident yet" in text_of(alice.get("/incidents/"))
    made.incident()
    assert "No incident is like that" in text_of(alice.get("/incidents/?q=nothing"))


def test_the_list_takes_as_many_queries_with_two_incidents_as_with_forty(alice: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            incident_views.listed(QueryDict(""), frozenset({"alerts.view_incident"}))
        return len(captured)

    dan, api = User.objects.create_user("dan"), service("api")
    for status in Status:
        made.incident(status, status, assignee=dan, service=api, rule=made.rule(status))
    few = queries()
    for n in range(40):
        made.incident(f"i{n}", assignee=dan, service=api)
    assert queries() == few


def test_what_is_not_understood_is_left_out() -> None:
    assert parse(QueryDict("page=x&status=x&opened=1y&assignee=" + "a" * 999)).parameters == {
        **parse(QueryDict("")).parameters,
        "assignee": "a" * 200,
    }


# --- Active alerts ---------------------------------------------------------------------------------------------------


def test_active_alerts_stand_with_their_labels_value_and_incident(alice: Client) -> None:
    incident = made.incident()
    made.alert(made.rule(), labels={"service": "<worker>"}, value=12.5, incident=incident)
    made.alert(state="pending", labels={"service": "api"})
    made.alert(state="resolved", labels={"service": "gone"})
    page = text_of(alice.get("/alerts/"))
    for word in (
        "WorkerDown",
        "service=&lt;worker&gt;",
        "12.5",
        f'href="/incidents/{incident.pk}/"',
        "pending",
        "from elsewhere",
    ):
        assert word in page, word
    assert "gone" not in page


def test_active_alerts_are_narrowed_by_text_state_and_severity(alice: Client) -> None:
    made.alert(labels={"service": "api"}, severity="critical")
    made.alert(labels={"service": "web"}, severity="low", state="pending")
    for query, expected in (
        ("", ["api", "web"]),
        ("?q=API", ["api"]),
        ("?state=pending", ["web"]),
        ("?severity=critical", ["api"]),
        ("?state=resolved", ["api", "web"]),
    ):
        assert re.findall(r"<code>service=(\w+)", alice.get(f"/alerts/{query}").content.decode()) == expected, query
    assert "No active alert is like that" in text_of(alice.get("/alerts/?q=nothing"))


# --- On every page ---------------------------------------------------------------------------------------------------


def test_the_sidebar_counts_what_nobody_has_acknowledged(alice: Client) -> None:
    assert '<span id="open-incidents" class="counter" hidden>0' in text_of(alice.get("/alerts/"))
    made.incident("a")
    made.incident("b")
    made.incident("c", Status.ACKNOWLEDGED)
    assert '<span id="open-incidents" class="counter">2' in text_of(alice.get("/alerts/"))
    assert alice.get("/status/")["HX-Trigger"] == '{"incidents-open": 2}'


def test_who_may_not_see_incidents_is_told_nothing_of_them() -> None:
    made.incident("a")
    bob = signed_in("bob", "view_service")
    page = text_of(bob.get("/"))
    assert "open-incidents" not in page
    assert "Open incidents" not in page
    assert "HX-Trigger" not in bob.get("/status/").headers


def test_the_start_page_shows_incidents_that_are_not_over_with_their_buttons(alice: Client) -> None:
    assert "None: nothing waits for anybody." in text_of(alice.get("/"))
    made.incident("first", summary="redis refuses")
    made.incident("second", Status.ACKNOWLEDGED, acknowledged_by=User.objects.get(username="alice"))
    made.incident("third", Status.RESOLVED)
    page = text_of(alice.get("/"))
    for word in (
        "first",
        "redis refuses",
        "1 open · 1 acknowledged",
        "acknowledged by <bdi>alice",
        "Acknowledge</button>",
    ):
        assert word in page, word
    assert "third" not in page


def test_the_start_page_shows_open_ones_first_and_the_worst_of_them_first() -> None:
    for title, severity, status in (
        ("seen to", "critical", Status.ACKNOWLEDGED), ("worst", "critical", Status.OPEN), ("least", "low", Status.OPEN),
        ("newer", "high", Status.OPEN), ("over", "critical", Status.RESOLVED),
    ):  # fmt: skip
        made.incident(title, status, severity=severity)
    assert [row.title for row in incident_list.active(10).rows] == ["worst", "newer", "least", "seen to"]
    assert [row.title for row in incident_list.active(1).rows] == ["worst"]
