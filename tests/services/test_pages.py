"""The list of services and the page of each: who sees them, what they show, what can be done there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from core import clock
from services import polling
from services.models import Category, Check, CheckHour, Container, Dependency, DockerHost, Service
from services.probes import Measurement
from services.status import Outcome
from services.views import PAGE_CARDS
from tests.services import made

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

HTMX = {"HX-Request": "true"}


# --- Alice may see services and check them, Bob may see them, Carol may only log in, Mallory does nothing of it ---


def logged_in(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, password="secret")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def alice() -> Client:
    return logged_in("alice", "view_service", "check_service", "read_records")


@pytest.fixture
def bob() -> Client:
    return logged_in("bob", "view_service")


@pytest.fixture
def carol() -> Client:
    return logged_in("carol")


def names(client: Client, query: str = "") -> list[str]:
    html = client.get(reverse("services:list") + query).content.decode()
    return re.findall(r'<article class="watched".*?<bdi>(.*?)</bdi>', html, re.DOTALL)


PAGES = ["/services/", "/services/more/", "/services/1/", "/services/1/chart/"]
VERBS = ["/services/1/check/", "/services/1/pause/", "/services/1/resume/"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_for_those_who_may_see_services(page: str, bob: Client, carol: Client) -> None:
    Service.objects.create(pk=1, name="worker")
    assert bob.get(page, headers=HTMX).status_code == 200
    assert bob.post(page).status_code == 405
    assert carol.get(page).status_code == 403
    assert Client().get(page).headers["Location"] == f"/login/?next={page}"


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_are_for_those_who_may_check(verb: str, alice: Client, bob: Client) -> None:
    Service.objects.create(pk=1, name="worker")
    assert alice.get(verb).status_code == 405
    assert bob.post(verb).status_code == 403
    assert Client().post(verb).status_code == 302
    assert alice.post(verb).status_code in {200, 302}


def test_a_form_of_another_site_does_nothing() -> None:
    user = User.objects.create_superuser("root")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    worker = made.service()
    assert strict.post(reverse("services:pause", args=[worker.pk])).status_code == 403
    worker.refresh_from_db()
    assert not worker.paused


@pytest.mark.parametrize("page", ["/services/77/", "/services/77/chart/"])
def test_what_is_not_there_is_not_found(page: str, bob: Client) -> None:
    assert bob.get(page).status_code == 404


# --- The list ------------------------------------------------------------------------------------------------------


def test_problems_come_first_then_names(bob: Client) -> None:
    for name, status in {"b": "healthy", "a": "healthy", "x": "degraded", "z": "down", "p": "paused"}.items():
        made.service(name, status)
    assert names(bob) == ["z", "x", "a", "b", "p"]


def test_a_card_says_what_is_wrong_and_for_how_long(bob: Client) -> None:
    since = timezone.now() - timedelta(minutes=2, seconds=10)
    worker = made.service(status="down", reason="readiness fails: database <unhealthy>", status_since=since)
    made.check(worker, latency_us=38_400)
    html = bob.get("/services/").content.decode()
    assert "readiness fails: database &lt;unhealthy&gt;" in html
    assert ">2 min 10 s</time>" in html or ">2 min 11 s</time>" in html
    assert "38 ms" in html
    assert 'aria-label="The last 90 days' in html


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["worker", "ocr", "api"]),
        ("?q=OC", ["ocr"]),
        ("?q=team:receipts+refused", ["worker"]),
        ("?colour=red", ["worker"]),
        ("?colour=green,yellow", ["ocr", "api"]),
        ("?colour=purple", ["worker", "ocr", "api"]),
        ("?owner=anna", ["api"]),
        ("?label=team", ["worker", "ocr"]),
        ("?label=team:receipts", ["worker"]),
        ("?kind=api", ["api"]),
        ("?kind=nonsense", ["worker", "ocr", "api"]),
        ("?q=nothing+like+it", []),
    ],
)
def test_the_address_filters(query: str, expected: list[str], bob: Client) -> None:
    made.service("worker", "down", "connection refused", labels={"team": "receipts"})
    made.service("ocr", "degraded", labels={"team": "data"})
    made.service("api", "healthy", owner="anna", category=Category.API)
    assert names(bob, query) == expected


def test_the_switch_keeps_the_filter_and_a_filter_the_switch(bob: Client) -> None:
    made.service(labels={"team": "a"})
    html = bob.get("/services/?q=work&view=table").content.decode()
    assert 'id="services" class="table"' in html
    assert 'href="/services/?q=work&amp;view=table&amp;colour=red"' in html
    assert 'href="/services/?q=work"' in html
    assert '<input type="hidden" name="view" value="table">' in html


def test_counts_are_of_all_that_match_whatever_colour_is_shown(bob: Client) -> None:
    made.service("a1", "down")
    made.service("a2", "healthy")
    made.service("b", "healthy")
    html = bob.get("/services/?q=a&colour=red").content.decode()
    assert '<b id="count-red">1</b>' in html
    assert '<b id="count-green">1</b>' in html


def test_nothing_watched_yet_says_how_to_begin(bob: Client) -> None:
    html = bob.get("/services/").content.decode()
    assert "Nothing is watched yet" in html
    assert "pharos.health: /health/ready" in html
    assert 'id="services"' not in html


def test_scrolling_brings_each_service_once(bob: Client) -> None:
    Service.objects.bulk_create(Service(name=f"s{n:03}", status="healthy") for n in range(PAGE_CARDS * 2 + 7))
    seen, page = [], bob.get("/services/").content.decode()
    while True:
        seen += re.findall(r"<bdi>(s\d+)</bdi>", page)
        following = (
            re.search(r'hx-get="([^"]+)"', page[page.find('class="more"') :]) if 'class="more"' in page else None
        )
        if following is None:
            break
        page = bob.get(following[1].replace("&amp;", "&"), headers=HTMX).content.decode()
    assert seen == [f"s{n:03}" for n in range(PAGE_CARDS * 2 + 7)]


def test_only_a_part_is_sent_to_a_page_that_is_there(bob: Client) -> None:
    made.service()
    assert "<html" not in bob.get("/services/", headers=HTMX).content.decode()
    assert "<html" in bob.get("/services/", headers={**HTMX, "HX-History-Restore-Request": "true"}).content.decode()


def test_a_thousand_services_need_no_more_queries_than_ten(bob: Client) -> None:
    def fill(first: int, last: int) -> None:
        services = Service.objects.bulk_create(
            Service(name=f"s{n:04}", status="healthy", labels={"n": str(n)}) for n in range(first, last)
        )
        checks = Check.objects.bulk_create(
            Check(service=service, name=role, role=role) for service in services for role in ("readiness", "liveness")
        )
        hour = clock.now() // clock.HOUR * clock.HOUR
        CheckHour.objects.bulk_create(CheckHour(service_check=check, hour=hour, p50_us=1_000) for check in checks)
        for service in services[:20]:
            made.change(service, timezone.now() - timedelta(days=3), "down")

    def asked() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert bob.get("/services/").status_code == 200
        return len(queries)

    fill(0, 10)
    few = asked()
    fill(10, 1_000)
    assert asked() == few <= 20


# --- One service ---------------------------------------------------------------------------------------------------


@pytest.fixture
def worker() -> Service:
    now = timezone.now()
    worker = made.service(
        status="down", reason="readiness is unreachable: answered 503", status_since=now - timedelta(minutes=2),
        created_at=now - timedelta(days=40),
    )  # fmt: skip
    since = clock.now() - 3 * clock.MINUTE
    ready = made.check(
        worker, outcome=Outcome.UNREACHABLE, detail="answered 503",
        parts=[
            {"path": "database", "outcome": 0, "latency_ms": 4.0, "since": since},
            {"path": "redis", "outcome": 3, "detail": "connection refused", "since": since},
            {"path": "external.ocr", "outcome": 0, "latency_ms": 31.0, "since": since},
        ],
    )  # fmt: skip
    made.check(worker, "liveness", latency_us=6_000)
    Service.objects.filter(pk=worker.pk).update(culprit=ready)
    made.change(worker, now - timedelta(days=39), "healthy", "unknown")
    made.change(worker, now - timedelta(days=9), "down", reason="out of memory")
    made.change(worker, now - timedelta(days=9) + timedelta(minutes=18), "healthy", "down")
    made.change(worker, now - timedelta(minutes=2), "down", reason="readiness is unreachable: answered 503")
    made.result(ready, clock.now() - clock.SECOND, outcome=Outcome.UNREACHABLE, detail="answered 503")
    return worker


def shown(client: Client, of: Service, query: str = "") -> str:
    return client.get(reverse("services:detail", args=[of.pk]) + query).content.decode()


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def test_the_page_names_the_check_within_the_check(bob: Client, worker: Service) -> None:
    said = text(shown(bob, worker))
    at = f"{timezone.now() - timedelta(minutes=3):%H:%M}"
    assert re.search(rf"its redis check is unreachable since {at[:-1]}\d \(connection refused\)", said)


def test_the_page_has_figures_outages_and_results(bob: Client, worker: Service) -> None:
    said = text(shown(bob, worker))
    assert "2 outages in 90 d" in said
    assert re.search(r"18 min ?out of memory", said)
    assert "so far" in said
    assert "target 99.9 %" in said
    assert "unreachable: answered 503" in said
    assert re.search(r"24 h 99\.8\d %", said)


def test_readiness_comes_before_liveness_with_its_parts_below(bob: Client, worker: Service) -> None:
    said = text(shown(bob, worker).partition('id="service-checks"')[2])
    order = [
        "readiness",
        "database",
        "4 ms",
        "external",
        "ocr",
        "31 ms",
        "redis",
        "connection refused",
        "liveness",
        "6 ms",
    ]
    places = [said.index(word) for word in order]
    assert places == sorted(places)


def test_a_check_that_fell_silent_says_nothing_of_before(bob: Client, worker: Service) -> None:
    Check.objects.update(last_at=clock.now() - clock.HOUR)
    said = text(shown(bob, worker).partition('id="service-checks"')[2].partition("Last results")[0])
    assert "no recent result" in said
    assert "connection refused" not in said


def test_an_outage_leads_to_its_log_lines(bob: Client, worker: Service) -> None:
    link = re.search(r'<a href="(/logs/\?service=worker&amp;from=[^"]+&amp;to=[^"]+)"', shown(bob, worker))
    assert link


def test_containers_and_neighbours_are_there(bob: Client, worker: Service) -> None:
    host = DockerHost.objects.create(name="local", address="unix:///nowhere.sock")
    Container.objects.create(
        host=host, container_id="c1", name="shop-worker-1", service=worker, state="exited", exit_code=137,
        oom_killed=True, state_since=timezone.now(),
    )  # fmt: skip
    Dependency.objects.create(child=worker, parent=made.service("redis", "down"))
    said = text(shown(bob, worker))
    assert "shop-worker-1 exited with 137, out of memory" in said
    assert re.search(r"needs\s+redis", said)


def test_log_lines_are_for_those_who_may_read_them(alice: Client, bob: Client, worker: Service) -> None:
    address = reverse("service-lines", args=[worker.pk])
    assert address in shown(alice, worker)
    assert address not in shown(bob, worker)
    assert bob.get(address, headers=HTMX).status_code == 403
    answer = alice.get(address, headers=HTMX).content.decode()
    assert 'data-lines="/ws/logs/?service=worker"' in answer
    assert alice.get(address).headers["Location"] == "/logs/?service=worker"


def test_hostile_names_are_text(bob: Client) -> None:
    evil = made.service('"><script>alert(1)</script>', "down", "<img src=x onerror=alert(2)>", labels={"<b>": "<i>"})
    made.check(evil, detail="<u>", parts=[{"path": "<s>.<a>", "outcome": 3, "detail": "<q>"}])
    for html in (bob.get("/services/").content.decode(), shown(bob, evil)):
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert not any(tag in html for tag in ("<s>", "<q>", "<u>"))


def test_the_number_of_queries_is_the_same_for_any_history(bob: Client, worker: Service) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(bob, worker)
        return len(queries)

    few = asked()
    ready = worker.checks.get(name="readiness")
    for n in range(60):
        made.result(ready, clock.now() - n * clock.MINUTE)
        made.change(worker, timezone.now() - timedelta(days=20, minutes=n), "down" if n % 2 else "healthy")
    assert asked() == few


# --- What can be done ------------------------------------------------------------------------------------------------


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """The checks that were asked; each answers the same."""
    names: list[str] = []

    def answer(check: Check) -> Measurement:
        names.append(check.name)
        return Measurement(Outcome.FAILING, "answered 500", 12.0, raw="HTTP/1.1 500\n\n<h1>no</h1>")

    with patch.object(polling, "check_now", answer):
        yield names


def test_check_now_shows_the_raw_answer(alice: Client, worker: Service, asked: list[str]) -> None:
    address = reverse("services:check-now", args=[worker.pk])
    fragment = alice.post(address, headers=HTMX).content.decode()
    assert asked == ["readiness", "liveness"]
    assert "HTTP/1.1 500\n\n&lt;h1&gt;no&lt;/h1&gt;" in fragment
    assert "<html" not in fragment
    assert "&lt;h1&gt;no" in alice.post(address).content.decode()  # without script: the page, with the answers


def test_one_check_can_be_asked_alone_and_a_job_is_not_asked(alice: Client, worker: Service, asked: list[str]) -> None:
    made.check(worker, "backup", role="health", kind="heartbeat")
    address = reverse("services:check-now", args=[worker.pk])
    alice.post(address, {"check": str(worker.checks.get(name="liveness").pk)})
    assert asked == ["liveness"]
    alice.post(address, {"check": "²"})
    assert asked == ["liveness"]
    alice.post(address)
    assert asked == ["liveness", "readiness", "liveness"]


def test_pausing_twice_is_as_good_as_once(alice: Client, worker: Service) -> None:
    for _ in range(2):
        answer = alice.post(reverse("services:pause", args=[worker.pk]), follow=True)
        assert "worker is paused" in answer.content.decode()
    worker.refresh_from_db()
    assert (worker.paused, worker.status) == (True, "paused")
    alice.post(reverse("services:resume", args=[worker.pk]))
    worker.refresh_from_db()
    assert (worker.paused, worker.status) == (False, "down")


def test_buttons_are_there_for_those_who_may_use_them(alice: Client, bob: Client, worker: Service) -> None:
    assert "Check now" in shown(alice, worker)
    assert "Check now" not in shown(bob, worker)


def test_the_sidebar_leads_there(bob: Client, carol: Client) -> None:
    assert 'href="/services/"' in bob.get("/services/").content.decode()
    assert 'href="/services/"' not in carol.get("/services/").content.decode()
