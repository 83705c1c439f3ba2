"""The pages of containers: the table, one container, and what was found."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import clock
from services import container_list, container_series
from services.container_list import parse, state_of
from services.models import Container, ContainerEvent
from tests.services.fleet import container, host, service, signed_in

pytestmark = pytest.mark.django_db

PAGES = ("/containers/", "/containers/found/")


@pytest.fixture
def alice() -> Client:
    return signed_in("alice", "view_container", "view_service")


def text_of(response: Any) -> str:
    content: str = response.content.decode()
    return " ".join(content.split())


def names(response: Any) -> list[str]:
    """Of the containers in the table, in their order."""
    return re.findall(r'href="/containers/\d+/" title="([^"]+)"', response.content.decode())


# --- The five questions ---------------------------------------------------------------------------------------------


def test_the_table_shows_each_container_with_what_it_uses(alice: Client) -> None:
    container("web-1", service=service("web"), restart_count=3, health="healthy")
    for _ in range(2):
        page = text_of(alice.get("/containers/"))
        for word in ("web-1", "prod-1", "team/app:1.2", "running", "healthy", "12 %", "200 MB", "3<span", "<svg"):
            assert word in page, word


def test_a_container_has_a_page_with_its_charts_events_and_labels(alice: Client) -> None:
    made = container("web-1", labels={"team": "<b>core</b>", "com.docker.compose.project": "shop"})
    for _ in range(2):
        page = text_of(alice.get(f"/containers/{made.pk}/"))
        for word in ("Containers › web-1", "chart-memory", "started", "team", "&lt;b&gt;core", "1 label of tools"):
            assert word in page, word
    assert "Reading log lines needs a permission" in page


def test_pages_refuse_other_methods(alice: Client) -> None:
    made = container("web-1")
    for path in (*PAGES, f"/containers/{made.pk}/"):
        assert alice.post(path).status_code == 405


def test_pages_refuse_somebody_without_the_right_and_ask_strangers_to_log_in() -> None:
    made = container("web-1")
    bob = signed_in("bob", "view_service", "read_records")
    for path in (*PAGES, f"/containers/{made.pk}/"):
        assert bob.get(path).status_code == 403
        assert Client().get(path)["Location"] == f"/login/?next={path}"


def test_a_container_that_nobody_knows_is_not_found(alice: Client) -> None:
    assert alice.get("/containers/999/").status_code == 404


# --- Empty pages say what to do next --------------------------------------------------------------------------------


def test_without_a_host_the_page_says_how_to_add_one(alice: Client) -> None:
    for path in PAGES:
        assert "Who administers Pharos adds Docker hosts" in text_of(alice.get(path))
    assert "No Docker host is watched yet" in text_of(alice.get("/containers/"))


def test_a_host_without_containers_is_named(alice: Client) -> None:
    host("prod-7")
    assert "No container runs on prod-7" in text_of(alice.get("/containers/"))
    assert "No container runs on prod-7" in text_of(alice.get("/containers/found/"))


def test_a_search_without_a_match_offers_the_way_back(alice: Client) -> None:
    container("web-1")
    assert "No container matches" in text_of(alice.get("/containers/?q=nothing"))


def test_a_host_that_is_away_is_told_and_its_containers_are_unknown(alice: Client) -> None:
    container("web-1", host=host("prod-9", away=True, detail="connection refused", seen_at=timezone.now()))
    page = text_of(alice.get("/containers/"))
    assert "prod-9</b> is away: nothing is heard of it" in page
    assert '<span class="word grey">unknown</span>' in page
    assert "word green" not in page


# --- Which, and in which order --------------------------------------------------------------------------------------


def test_filters_narrow_by_text_state_host_and_project(alice: Client) -> None:
    container("web-1", service=service("shop"), compose_project="one")
    container("db-1", image="postgres:16", state="exited", exit_code=137, compose_project="two")
    container("web-2", host=host("prod-2"), compose_project="two")
    for query, expected in (
        ("", ["db-1", "web-1", "web-2"]),
        ("q=WEB", ["web-1", "web-2"]),
        ("q=postgres", ["db-1"]),
        ("q=shop", ["web-1"]),
        ("q=web+shop", ["web-1"]),
        ("state=exited", ["db-1"]),
        ("state=nonsense", ["db-1", "web-1", "web-2"]),
        ("host=prod-2", ["web-2"]),
        ("project=two", ["db-1", "web-2"]),
        ("project=two&state=running", ["web-2"]),
        ("q=%00%27", []),
    ):
        assert names(alice.get(f"/containers/?{query}")) == expected, query


def test_columns_sort_both_ways(alice: Client) -> None:
    container("b", cpu_percent=1.0, memory_bytes=3, restart_count=0, started_at=timezone.now() - timedelta(days=2))
    container("a", cpu_percent=9.0, memory_bytes=1, restart_count=5)
    container("c", cpu_percent=None, memory_bytes=None, started_at=None, state="exited", exit_code=1)
    for column, expected in (
        ("name", "abc"), ("-name", "cba"), ("cpu", "abc"), ("-cpu", "cba"), ("memory", "bac"), ("restarts", "acb"),
        ("state", "cab"), ("nonsense", "cab"),
    ):  # fmt: skip
        assert "".join(names(alice.get(f"/containers/?sort={column}"))) == expected, column
    assert 'aria-sort="descending"><a href="?"' in text_of(alice.get("/containers/?sort=-cpu"))


def test_every_column_can_be_sorted_by(alice: Client) -> None:
    container("a", started_at=None)
    container("b", service=service("web"))
    for column in container_list.COLUMNS:
        for sort in (column, f"-{column}"):
            assert len(names(alice.get(f"/containers/?sort={sort}"))) == 2


@pytest.mark.parametrize(
    ("fields", "word", "colour"),
    [
        ({"state": "running"}, "running", "green"),
        ({"state": "running", "health": "healthy"}, "running", "green"),
        ({"state": "running", "health": "unhealthy"}, "unhealthy", "yellow"),
        ({"state": "running", "health": "starting"}, "starting", "grey"),
        ({"state": "exited", "exit_code": 137}, "exited", "red"),
        ({"state": "exited", "exit_code": 0}, "exited", "red"),
        ({"state": "restarting"}, "restarting", "red"),
        ({"state": "paused"}, "paused", "grey"),
        ({"state": "dead"}, "dead", "red"),
        ({"state": "something new"}, "unknown", "grey"),
    ],
)
def test_a_state_has_a_word_and_a_colour(fields: dict[str, Any], word: str, colour: str) -> None:
    found = state_of(Container(host=host(), **fields))
    assert (found.word, found.colour) == (word, colour)
    away = host("gone", away=True)
    assert state_of(Container(host=away, **fields)).colour == "grey"


def test_removed_containers_are_in_no_table_but_keep_their_page(alice: Client) -> None:
    made = container("web-1", removed_at=timezone.now())
    assert names(alice.get("/containers/")) == []
    assert ">removed</b>" in text_of(alice.get(f"/containers/{made.pk}/"))


# --- At scale ---------------------------------------------------------------------------------------------------------


def test_the_table_takes_as_many_queries_with_ten_containers_as_with_two_hundred(alice: Client) -> None:
    counts = []
    for number in (10, 200):
        for n in range(Container.objects.count(), number):
            container(f"app-{n}", service=service(f"service-{n}"))
        with CaptureQueriesContext(connection) as queries:
            assert len(names(alice.get("/containers/"))) == number
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


def test_a_page_has_so_many_rows_and_says_how_many_more_there_are(
    alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_list, "ROWS_MAX", 2)
    for n in range(5):
        container(f"app-{n}")
    page = alice.get("/containers/")
    assert names(page) == ["app-0", "app-1"]
    assert "3 more" in text_of(page)


# --- Charts -----------------------------------------------------------------------------------------------------------


def test_a_series_has_a_value_for_each_step_and_a_gap_where_nothing_was_measured() -> None:
    made = container("web-1")
    found = container_series.data(made, "1h", clock.now())
    assert {len(found[name]) for name in container_series.SERIES} == {180}
    measured = [value for value in found["cpu_percent"] if value is not None]
    assert len(measured) == 10
    assert max(measured) == 19
    assert found["cpu_percent"][0] is None
    assert found["memory_limit"] == 512 << 20


@pytest.mark.parametrize("period", container_series.PERIODS)
def test_every_period_opens_and_is_bounded(alice: Client, period: str) -> None:
    made = container("web-1")
    page = alice.get(f"/containers/{made.pk}/?period={period}").content.decode()
    series = re.search(r'<script id="series-json"[^>]*>(.*?)</script>', page)
    assert series
    assert len(json.loads(series[1])["cpu_percent"]) <= 180


def test_deploys_and_ends_are_marks_on_the_charts() -> None:
    made = container("web-1")
    now = timezone.now()
    for kind, detail in ((ContainerEvent.Kind.DEPLOY, "1.1 → 1.2"), (ContainerEvent.Kind.HEALTH, "healthy")):
        ContainerEvent.objects.create(container=made, at=now, kind=kind, detail=detail)
    marks = container_series.data(made, "1h", clock.now())["marks"]
    assert [(mark["text"], mark["colour"]) for mark in marks] == [("new image 1.1 → 1.2", "blue"), ("started", "green")]


# --- What was found ---------------------------------------------------------------------------------------------------


def test_what_was_found_names_the_service_of_each_container(alice: Client) -> None:
    container("web-1", service=service("web"))
    container("stray-1")
    page = text_of(alice.get("/containers/found/"))
    assert 'href="/services/' in page
    assert ">web</a>" in page
    assert "<b>No service</b>" in page


def test_a_query_is_taken_apart_without_an_error() -> None:
    long = parse(QueryDict("q=" + "x" * 5_000 + "&sort=--cpu&state=&project=a"))
    assert (len(long.q), long.sort, long.project) == (container_list.TEXT_MAX, "", "a")
