"""The start page's services: the cards, what is open, what has changed; and what it costs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from monitor import health, overview
from services import glance
from services.models import ContainerEvent, Service, StatusChange
from tests.services.fleet import container, service, signed_in

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

WELL = {"status": "healthy", "latency_ms": 3.2, "detail": "answers"}


@pytest.fixture(autouse=True)
def _pharos_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: dict[str, Any] = dict.fromkeys(("database", "redis", "worker", "ingest"), WELL)
    monkeypatch.setattr(health, "readiness", lambda: {"status": "ready", "checks": checks})
    monkeypatch.setattr(overview, "_figures", {})


@pytest.fixture
def alice() -> Client:
    return signed_in("alice", "view_service", "view_container")


def text_of(response: Any) -> str:
    content: str = response.content.decode()
    return " ".join(content.split())


def card(page: str, title: str) -> str:
    found = re.search(rf'<h2 class="dim"><i class="dot (\w+)"></i>{title}</h2> <p class="big">([^<]*)</p>', page)
    assert found, title
    return f"{found[1]} {found[2]}"


# --- The four cards ---------------------------------------------------------------------------------------------------


def test_without_services_the_cards_show_pharos_own_parts_and_what_to_do(alice: Client) -> None:
    page = text_of(alice.get("/"))
    assert card(page, "Overall") == "green ready"
    assert card(page, "Database") == "green healthy"
    assert card(page, "Cache") == "green healthy"
    assert card(page, "External APIs") == "grey not watched"
    assert "Pharos’ own: answers" in page
    assert "No service is watched yet" in page
    assert "Who administers Pharos adds services" in page


def test_the_cards_show_the_worst_of_their_services(alice: Client) -> None:
    service("api")
    service("postgres", category="database", latency_ms=4)
    service("redis", "down", "port is unreachable: connection refused", category="cache")
    service("redis-2", category="cache")
    service("stripe", category="external", latency_ms=212)
    service("openai", category="external", latency_ms=90)
    page = text_of(alice.get("/"))
    assert card(page, "Overall") == "red 1 down"
    assert "5 of 6 services healthy" in page
    assert card(page, "Database") == "green healthy"
    assert "postgres · 4 ms" in page
    assert card(page, "Cache") == "red down"
    assert "redis · port is unreachable: connection refused" in page
    assert card(page, "External APIs") == "green healthy"
    assert "2 of 2 · 212 ms" in page


def test_services_that_nobody_knows_anything_of_are_not_called_healthy(alice: Client) -> None:
    service("api", "unknown")
    service("web", "paused")
    assert card(text_of(alice.get("/")), "Overall") == "grey 0 healthy"


# --- What is open -----------------------------------------------------------------------------------------------------


def test_open_problems_come_with_their_reason_and_since_when(alice: Client) -> None:
    service("api")
    service("ml", "degraded", "readiness is degraded: model cache <degraded>")
    service("worker", "down", "readiness fails: redis refused")
    page = text_of(alice.get("/"))
    problems = page[page.index('id="problems"') : page.index('id="more-problems"')]
    assert problems.index("worker") < problems.index("ml")
    assert "model cache &lt;degraded&gt;" in problems
    assert problems.count("<time data-since") == 2
    assert "api" not in problems


def test_no_problem_is_said_too(alice: Client) -> None:
    service("api")
    assert "None: 1 of 1 service healthy" in text_of(alice.get("/"))


def test_of_many_problems_the_first_are_shown_and_the_rest_is_counted(alice: Client) -> None:
    for n in range(overview.PROBLEMS_SHOWN + 3):
        service(f"api-{n}", "down")
    page = text_of(alice.get("/"))
    assert page.count('class="problem"') == overview.PROBLEMS_SHOWN
    assert ">3 more</a>" in page


def test_of_many_services_the_worst_have_cards(alice: Client) -> None:
    for n in range(glance.CARDS_MAX + 5):
        service(f"api-{n:02}", "down" if n == 28 else "healthy")
    page = text_of(alice.get("/"))
    assert page.count('<article class="watched"') == glance.CARDS_MAX
    assert page.index("api-28") < page.index("api-00")
    assert "All 29 services" in page


def test_a_card_is_drawn_once_a_minute_and_when_it_says_something_else() -> None:
    service("api")
    made = service("web")
    now = timezone.now().replace(second=1)
    first = glance.drawn(glance.worst(), now)
    with CaptureQueriesContext(connection) as queries:
        assert glance.drawn(glance.worst(), now + timedelta(seconds=50)) == first
    assert len(queries) == 2  # which they are, and how long their checks took
    made.checks.update(latency_us=7_000)
    api, web = glance.drawn(glance.worst(), now)
    assert (api, "7 ms" in web) == (first[0], True)
    Service.objects.filter(pk=made.pk).update(status="down", reason="refused")
    assert "refused" in glance.drawn(glance.worst(), now)[0]


# --- What has changed -------------------------------------------------------------------------------------------------


def test_what_changed_in_the_last_hour_is_there_newest_first(alice: Client) -> None:
    now = timezone.now()
    api = service("api")
    for minutes, old, new in ((5, "healthy", "down"), (2, "down", "healthy"), (90, "unknown", "healthy")):
        StatusChange.objects.create(service=api, at=now - timedelta(minutes=minutes), old=old, new=new)
    web = container("web-1")
    ContainerEvent.objects.create(container=web, at=now - timedelta(minutes=1), kind="deploy", detail="1.1 → 1.2")
    page = text_of(alice.get("/"))
    changes = page[page.index('id="changes"') :]
    said = [
        "new image <b>1.1 → 1.2</b>", "down → <b>healthy</b>", "started <b>", "healthy → <b>down</b>",
    ]  # fmt: skip
    assert [changes.index(each) for each in said] == sorted(changes.index(each) for each in said)
    assert "unknown →" not in changes


def test_who_may_not_see_containers_reads_nothing_of_them() -> None:
    container("web-1")
    bob = signed_in("bob", "view_service")
    assert "web-1" not in text_of(bob.get("/"))
    assert "Nothing in the last hour." in text_of(bob.get("/"))


# --- What it costs ----------------------------------------------------------------------------------------------------


def test_the_page_takes_as_many_queries_with_five_services_as_with_three_hundred(alice: Client) -> None:
    counts = []
    for first, last in ((0, 5), (5, 300)):
        for n in range(first, last):
            made = service(
                f"api-{n}", ("healthy", "down", "degraded")[n % 3], category=("api", "database", "cache")[n % 3]
            )
            StatusChange.objects.create(service=made, at=timezone.now(), old="unknown", new=made.status)
        with CaptureQueriesContext(connection) as queries:
            assert alice.get("/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 24
