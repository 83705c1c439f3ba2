"""The start page, the banner, the sidebar and the login page."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core import clock
from logs.records import Level, LogRecord
from logs.sequence import sequence_of
from logs.store import Incoming, log_stores
from monitor import health, overview
from services.models import Service

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

HTMX = {"HX-Request": "true"}
WELL = {"status": "healthy", "latency_ms": 3.2, "detail": "answers"}
ILL = {"status": "unhealthy", "latency_ms": 3.2, "detail": "refused."}


@pytest.fixture(autouse=True)
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the health checks say. Everything is well."""
    found: dict[str, Any] = dict.fromkeys(("database", "redis", "worker", "ingest"), WELL)
    monkeypatch.setattr(health, "readiness", lambda: {"status": "ready", "checks": found})
    monkeypatch.setattr(overview, "_ill_since", {})
    monkeypatch.setattr(overview, "_started", -overview.GRACE)  # long ago
    monkeypatch.setattr(overview, "_figures", {})
    return found


@pytest.fixture
def alice() -> Client:
    """May read logs, and doesn't get into the admin."""
    return signed_in("alice", "read_records")


def signed_in(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, password="secret")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin", password="secret"))
    return client


def store(*levels: Level) -> None:
    records = tuple(
        LogRecord(
            timestamp=clock.now() - clock.SECOND,
            level=level,
            service=f"service-{level.label}",
            message=f"a line of {level.label}",
            sequence=sequence_of("1800000000000-0", 0, place),
        )
        for place, level in enumerate(levels)
    )
    log_stores["default"].append([Incoming("pharos:logs", "1800000000000-0", records)])


def text_of(response: Any) -> str:
    content: str = response.content.decode()
    return " ".join(content.split())


# --- The five questions ---------------------------------------------------------------------------------------------


def test_it_shows_what_goes_on(alice: Client) -> None:
    store(Level.ERROR, Level.INFO, Level.INFO)
    page = text_of(alice.get("/"))
    assert '<b class="big">3</b> <span class="dim">in the last minute' in page
    assert "a line of error" in page
    assert "a line of info" not in page
    assert "service-info" in page
    assert "Pharos itself: ready" in page


def test_it_refuses_other_methods(alice: Client) -> None:
    assert alice.post("/").status_code == 405
    assert alice.post("/status/").status_code == 405


def test_it_refuses_somebody_without_the_right() -> None:
    client = Client()
    client.force_login(User.objects.create_user("bob"))
    assert client.get("/").status_code == 403


def test_somebody_who_may_only_see_services_sees_them_and_no_log_lines() -> None:
    store(Level.ERROR)
    Service.objects.create(name="api")
    page = text_of(signed_in("carol", "view_service").get("/"))
    assert 'id="svc-' in page
    assert "a line of error" not in page
    assert "Newest errors" not in page


def test_somebody_who_may_only_read_logs_sees_no_services(alice: Client) -> None:
    Service.objects.create(name="secret-api")
    assert "secret-api" not in text_of(alice.get("/"))


def test_it_sends_strangers_to_the_login_page() -> None:
    assert Client().get("/")["Location"] == "/login/?next=/"


def test_an_empty_store_is_no_error(alice: Client) -> None:
    page = text_of(alice.get("/"))
    assert "No line in the last hour" in page
    assert "No error in the last 24 hours" in page


# --- The banner -----------------------------------------------------------------------------------------------------


def test_no_banner_when_all_is_well(alice: Client) -> None:
    assert text_of(alice.get("/status/")) == ""


def test_the_banner_says_what_is_away_since_when_in_the_readers_time(alice: Client, checks: dict[str, Any]) -> None:
    checks["redis"] = ILL
    overview._ill_since["redis"] = datetime(2026, 7, 1, 10, 3, tzinfo=UTC)
    alice.cookies["pharos_tz"] = "Europe/Berlin"
    assert "Redis is away since 12:03" in text_of(alice.get("/status/"))


def test_redis_explains_what_depends_on_it(checks: dict[str, Any]) -> None:
    checks |= {"redis": ILL, "worker": ILL, "ingest": ILL}
    found = overview.problems({"checks": checks}, datetime(2026, 7, 1, tzinfo=UTC))
    assert [sentence.split()[0] for sentence in found] == ["Redis"]


def test_the_time_is_that_of_the_first_look_and_ends_with_the_trouble(checks: dict[str, Any]) -> None:
    first, later = datetime(2026, 7, 1, 10, tzinfo=UTC), datetime(2026, 7, 1, 11, tzinfo=UTC)
    checks["ingest"] = ILL
    overview.problems({"checks": checks}, first)
    assert "since 10:00: refused. Lines" in overview.problems({"checks": checks}, later)[0]
    assert overview.problems({"checks": checks | {"ingest": WELL}}, later) == []
    assert "since 11:00" in overview.problems({"checks": checks}, later)[0]


def test_after_a_start_what_comes_later_is_not_away(
    alice: Client, checks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    checks |= {"worker": ILL, "ingest": ILL, "database": ILL}
    monkeypatch.setattr(overview, "_started", time.monotonic())
    assert [each.split()[1] for each in overview.problems({"checks": checks}, timezone.now())] == ["database"]
    checks["database"] = WELL
    page = text_of(alice.get("/"))
    assert "Pharos itself: ready" in page
    assert page.count("<b>Worker</b> starting") == 1
    monkeypatch.setattr(overview, "_started", time.monotonic() - 10 * overview.GRACE)
    assert len(overview.problems({"checks": checks}, timezone.now())) == 2


def test_an_hour_has_no_fewer_lines_than_its_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Just after a start, lines are stored between the two questions."""
    kind = type(log_stores["default"])
    asked = kind.histogram

    def slow(logs: Any, node: Any, *, step: int, start: int, end: int, deadline: float) -> Any:
        found = asked(logs, node, start=start, end=end, step=step, deadline=deadline)
        store(Level.INFO)
        return found

    monkeypatch.setattr(kind, "histogram", slow)
    counted = overview._count().counted
    assert counted["last_hour"] >= counted["last_minute"] > 0
    assert all(hour >= minute for _, minute, hour in counted["by_level"])


def test_pages_stand_while_redis_is_away(alice: Client, checks: dict[str, Any]) -> None:
    checks |= {"redis": ILL, "worker": ILL, "ingest": ILL}
    assert alice.get("/").status_code == 200
    assert alice.get("/logs/").status_code == 200
    assert "Pharos itself: not ready" in text_of(alice.get("/"))


def test_who_is_logged_out_is_told_and_not_asked_again() -> None:
    answer = Client().get("/status/", headers=HTMX)
    assert answer.status_code == 286
    assert "logged out" in text_of(answer)


def test_who_may_read_without_a_login_is_not_asked_to_log_in_again(db: None, settings: Any) -> None:
    settings.ANONYMOUS_READ = True
    answer = Client().get("/status/")
    assert (answer.status_code, text_of(answer)) == (200, "")


# --- The shell ------------------------------------------------------------------------------------------------------


def test_the_sidebar_has_what_one_may_open(alice: Client, admin: Client) -> None:
    page = text_of(alice.get("/"))
    assert f'href="{reverse("logs:page")}"' in page
    assert reverse("admin:accounts_apikey_changelist") not in page
    assert reverse("admin:accounts_apikey_changelist") in text_of(admin.get("/"))


def test_every_screen_of_the_sidebar_opens(admin: Client) -> None:
    for model in ("accounts_apikey", "logs_deadletter", "auth_user", "auth_group"):
        answer = admin.get(reverse(f"admin:{model}_changelist"))
        assert answer.status_code == 200
        assert 'hx-get="/status/"' in text_of(answer)


def test_somebody_who_is_no_user_of_the_admin_can_log_in_and_out(alice: Client) -> None:
    client = Client()
    page = text_of(client.get("/login/?next=/logs/"))
    assert "Log in to" in page
    assert "pharos/shell.js" in page  # it says the reader's time zone
    answer = client.post("/login/?next=/logs/", {"username": "alice", "password": "secret", "next": "/logs/"})
    assert answer["Location"] == "/logs/"
    assert client.post("/logout/").status_code == 302
    assert client.get("/").status_code == 302


def test_a_wrong_password_is_said(alice: Client) -> None:
    answer = Client().post("/login/", {"username": "alice", "password": "wrong"})
    assert answer.status_code == 200
    assert "correct username and password" in text_of(answer)


def test_login_leads_to_no_other_site(alice: Client) -> None:
    answer = Client().post("/login/", {"username": "alice", "password": "secret", "next": "//evil.example/"})
    assert answer["Location"] == "/"
