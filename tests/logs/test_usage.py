"""The page Log usage and `manage.py logs_stats`: what is stored, who sends it, what waits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from core import clock
from logs import retention, usage
from logs.models import DeadLetter, RetentionRule, StoreEvent
from logs.records import Level, LogRecord
from logs.store import BaseLogStore, Usage, log_stores
from logs.store.blocks import BlockStore
from logs.usage import Amount, DayUsage, ServiceUsage, StreamState
from tests.logs.corpus import START, entries

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

PAGE = "/logs/usage/"
DAY = START - START % clock.DAY
TODAY = "2026-09-21"  # the day of START
NOW = DAY + 12 * clock.HOUR


@pytest.fixture(autouse=True)
def empty_stream(redis_client: redis.Redis, settings: Settings) -> redis.Redis:
    settings.LOG_STREAMS = ["pharos:logs"]
    return redis_client


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture
def alice() -> Client:
    """May read logs, and doesn't get into the admin."""
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="read_records"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def lines(service: str, count: int, days_ago: int = 0) -> list[LogRecord]:
    time = DAY - days_ago * clock.DAY
    return [LogRecord(time + n, Level.INFO, service, f"a line of {service}") for n in range(count)]


def fill(store: BaseLogStore | None = None) -> None:
    """Of today 30 lines of api and 10 of worker, of two days ago 20 of api, of 40 days ago 5 of old."""
    batch = entries(lines("api", 30) + lines("worker", 10))
    batch += entries(lines("api", 20, days_ago=2), first=10) + entries(lines("old", 5, days_ago=40), first=20)
    (store or log_stores["default"]).append(batch)


def text_of(response: Any) -> str:
    content: str = response.content.decode()
    return " ".join(content.replace("\xa0", " ").split())


# --- Adding up -----------------------------------------------------------------------------------------------------

USAGE = [
    Usage(DAY, "a", 10, 100),
    Usage(DAY, "b", 1, 300),
    Usage(DAY - clock.DAY, "a", 5, 100),
    Usage(DAY - 9 * clock.DAY, "c", 0, 0),
]


def test_services_are_added_up_the_largest_first() -> None:
    assert usage.by_service(USAGE) == [
        ServiceUsage("b", 1, 300, 60.0),
        ServiceUsage("a", 15, 200, 40.0),
        ServiceUsage("c", 0, 0, 0.0),
    ]
    assert usage.by_service([]) == []


def test_days_are_added_up_the_newest_first() -> None:
    assert usage.by_day(USAGE) == [
        DayUsage(TODAY, 11, 400),
        DayUsage("2026-09-20", 5, 100),
        DayUsage("2026-09-12", 0, 0),
    ]


def test_each_service_has_a_cell_for_each_of_the_last_days() -> None:
    days, rows = usage.by_service_and_day(USAGE, ["b", "a"], NOW)
    assert (len(days), days[0], days[-1]) == (7, TODAY, "2026-09-15")
    assert rows == [
        ("b", [Amount(1, 300), *[Amount()] * 6]),
        ("a", [Amount(10, 100), Amount(5, 100), *[Amount()] * 5]),
    ]


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("database", ["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_what_the_store_says_adds_up_to_what_is_stored(database: str) -> None:
    store = BlockStore(database=database)
    fill(store)
    found = usage.report(store, store.usage())
    assert found.lines == sum(each.lines for each in found.services) == sum(each.lines for each in found.days) == 65
    assert {each.service: each.lines for each in found.services} == {"api": 50, "worker": 10, "old": 5}
    assert {each.day: each.lines for each in found.days} == {TODAY: 40, "2026-09-19": 20, "2026-08-12": 5}
    # Shares are rounded to whole bytes.
    assert sum(each.bytes for each in found.services) == pytest.approx(found.bytes, abs=5)
    assert found.oldest == datetime(2026, 8, 12, tzinfo=UTC)


# --- What waits ----------------------------------------------------------------------------------------------------


def test_a_stream_that_nobody_wrote_to_is_empty() -> None:
    assert usage.stream_states() == ([StreamState("pharos:logs", 0, 0, 0, 0.0)], None)


def test_without_an_ingester_everything_is_backlog(redis_client: redis.Redis) -> None:
    redis_client.xadd("pharos:logs", {"message": "x"}, id=f"{(NOW - 3 * clock.SECOND) // 1_000}-0")
    assert usage.stream_states()[0] == [StreamState("pharos:logs", 1, backlog=1, pending=0, wait=3.0)]


def test_what_was_given_out_is_pending_and_what_is_stored_only_counts_as_length(redis_client: redis.Redis) -> None:
    redis_client.xgroup_create("pharos:logs", "ingest", id="0", mkstream=True)
    for n in range(6):
        redis_client.xadd("pharos:logs", {"message": "x"}, id=f"{NOW // 1_000 - 6 + n}-0")
    given: Any = redis_client.xreadgroup("ingest", "somebody", {"pharos:logs": ">"}, count=4)
    redis_client.xack("pharos:logs", "ingest", *[entry for entry, _ in given[0][1][:3]])
    (state,), _ = usage.stream_states()
    assert (state.length, state.backlog, state.pending) == (6, 2, 1)
    assert state.wait == pytest.approx(0.003)


# --- The five questions --------------------------------------------------------------------------------------------


def test_it_shows_who_takes_how_much(alice: Client) -> None:
    fill()
    page = text_of(alice.get(PAGE))
    assert '<p class="big">65</p>' in page
    assert page.index(">api</bdi>") < min(page.index(">worker</bdi>"), page.index(">old</bdi>"))
    assert "/logs/?service=api&amp;from=-30d" in page
    assert TODAY in page
    assert "2026-08-12" in page  # among the days
    assert page.count("2026-09-15") == 1  # a column
    assert "There is no limit to what stored lines may take" in page


def test_it_refuses_other_methods(alice: Client) -> None:
    assert alice.post(PAGE).status_code == 405


def test_it_refuses_somebody_without_the_right() -> None:
    client = Client()
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert client.get(PAGE).status_code == 403


def test_it_sends_strangers_to_the_login_page() -> None:
    assert Client().get(PAGE)["Location"] == f"/login/?next={PAGE}"


def test_asked_twice_it_says_the_same_and_changes_nothing(alice: Client) -> None:
    fill()
    first, second = (alice.get(PAGE).context for _ in range(2))
    for name in ("report", "rows", "kept", "drops"):
        assert first[name] == second[name]
    assert log_stores["default"].stats()["lines"] == 65


# --- What else the page says ---------------------------------------------------------------------------------------


def test_an_empty_store_says_what_to_do_next(alice: Client) -> None:
    page = text_of(alice.get(PAGE))
    assert "No line is stored yet" in page
    assert "Largest senders" not in page
    assert "Lines of services without a rule" in page


def test_names_of_services_are_text(alice: Client) -> None:
    log_stores["default"].append(entries(lines("<script>x\u202e", 1)))
    page = text_of(alice.get(PAGE))
    assert "<script>x" not in page
    assert "&lt;script&gt;x\\u202e" in page
    assert "service=%3Cscript%3Ex%E2%80%AE&amp;" in page


def test_retention_is_said_in_words(alice: Client, settings: Settings) -> None:
    settings.LOG_RETENTION_DAYS, settings.LOG_RETENTION_DEBUG_DAYS, settings.LOG_DISK_MAX = 14, 2, 10 << 20
    RetentionRule.objects.create(service="billing", lines="all", days=0)
    page = text_of(alice.get(PAGE))
    assert "Lines of services without a rule are kept for 14 days, debug and trace for 2 days." in page
    assert "Lines of billing are kept for ever, whatever their level." in page
    assert "When stored lines take more than 10.0 MB, the oldest are dropped." in page


def test_the_last_drops_are_listed_newest_first(alice: Client) -> None:
    for n in range(1, 8):
        detail = {"lines": n, "bytes": 2048, "limit": 1 << 20, "oldest": DAY if n < 7 else 0}
        StoreEvent.objects.create(kind=retention.DROPPED, at=clock.moment(NOW), detail=detail)
    page = text_of(alice.get(PAGE))
    assert (
        f"{TODAY} 12:00</time>: the disk budget of 1.0 MB was used up. The oldest 7 lines (2.0 KB) were dropped."
        in page
    )
    assert f"The oldest 6 lines (2.0 KB) were dropped; the oldest was then of {TODAY} 00:00." in page
    assert page.index("oldest 7 lines") < page.index("oldest 6 lines")
    assert "oldest 2 lines" not in page


def test_times_are_the_readers(alice: Client) -> None:
    fill()
    alice.cookies["pharos_tz"] = "Europe/Berlin"
    assert "from 2026-08-12 02:00 to" in text_of(alice.get(PAGE))


def test_without_redis_the_page_stands(alice: Client, settings: Settings) -> None:
    fill()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    page = text_of(alice.get(PAGE))
    assert "Redis is away: " in page
    assert "What waits there can't be counted." in page
    assert "Backlog of" not in page
    assert ">api</bdi>" in page


def test_links_into_the_admin_are_for_those_who_may_follow_them(alice: Client, admin: Client) -> None:
    for url in ("/admin/logs/deadletter/?replayed_at__isempty=1", "/admin/logs/retentionrule/"):
        assert url not in text_of(alice.get(PAGE))
        assert url in text_of(admin.get(PAGE))
        assert admin.get(url).status_code == 200


def test_dead_letters_that_wait_are_counted_apart(alice: Client) -> None:
    for n in range(3):
        DeadLetter.objects.create(
            stream="s", entry_id=str(n), reason="x", payload={}, replayed_at=clock.moment(NOW) if n else None
        )
    page = text_of(alice.get(PAGE))
    assert (
        '<i class="dot bad"></i>Dead letters</h2> <p class="big">1</p> <p class="dim">not sent again, 3 in all' in page
    )


def test_the_sidebar_leads_to_it_and_shows_where_one_is(alice: Client) -> None:
    items = {item["link"]: item for group in sidebar(alice, PAGE) for item in group["items"]}
    assert items[PAGE]["active"]
    assert not items["/logs/"]["active"]
    items = {item["link"]: item for group in sidebar(alice, "/logs/") for item in group["items"]}
    assert items["/logs/"]["active"]
    assert not items[PAGE]["active"]


def sidebar(client: Client, path: str) -> Any:
    return client.get(path).context["sidebar_navigation"]


def test_the_number_of_statements_does_not_depend_on_what_is_stored(alice: Client) -> None:
    few = statements(alice)
    fill()
    RetentionRule.objects.bulk_create(RetentionRule(service=f"s{n}", lines="all", days=n) for n in range(50))
    assert statements(alice) == few


def statements(client: Client) -> int:
    with CaptureQueriesContext(connections["default"]) as ours, CaptureQueriesContext(connections["logs"]) as stored:
        assert client.get(PAGE).status_code == 200
    return len(ours) + len(stored)


# --- The command ---------------------------------------------------------------------------------------------------


def stats(*options: str) -> str:
    out = StringIO()
    call_command("logs_stats", *options, stdout=out)
    return out.getvalue()


def test_the_command_prints_a_table(redis_client: redis.Redis) -> None:
    fill()
    redis_client.xadd("pharos:logs", {"message": "x"}, id=f"{(NOW - 2 * clock.SECOND) // 1_000}-0")
    printed = stats()
    assert printed.splitlines()[0].split() == ["lines", "65"]
    assert "oldest        2026-08-12 00:00:00 UTC" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["pharos:logs", "1", "1", "0", "2.0", "s"] in rows
    assert next(row for row in rows if row[:1] == ["api"])[1] == "50"
    assert next(row for row in rows if row[:1] == [TODAY])[1] == "40"
    widths = {len(line) for line in printed.splitlines() if line.endswith(" %")}
    assert len(widths) == 1  # the columns are aligned


def test_the_command_says_how_many_services_there_are_when_it_shows_some() -> None:
    batch = [line for n in range(25) for line in lines(f"s{n:02}", n + 1)]
    log_stores["default"].append(entries(batch))
    printed = stats()
    assert "SERVICE (of 25)" in printed
    assert "s24" in printed
    assert "s00" not in printed


def test_the_command_prints_json() -> None:
    fill()
    DeadLetter.objects.create(stream="s", entry_id="1", reason="x", payload={})
    found = json.loads(stats("--json"))
    assert (found["lines"], found["oldest"], found["dead_letters"]) == (65, "2026-08-12T00:00:00Z", 1)
    assert found["bytes_per_line"] == round(found["bytes"] / 65, 1)
    assert found["services"][0]["service"] == "api"
    assert found["streams"] == [{"name": "pharos:logs", "length": 0, "backlog": 0, "pending": 0, "wait": 0.0}]


def test_the_command_works_on_an_empty_store_and_without_redis(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    printed = stats()
    assert "lines         0" in printed
    assert "Redis is away" in printed
    assert "SERVICE" not in printed
    assert json.loads(stats("--json"))["oldest"] is None


def test_a_name_can_not_act_on_the_terminal() -> None:
    log_stores["default"].append(entries(lines("a\x1b[2Jb\x07", 1)))
    assert "\x1b" not in stats()
    assert "\x07" not in stats()
