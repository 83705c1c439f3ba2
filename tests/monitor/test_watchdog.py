"""The outside heartbeat: pinged while Pharos works, told of a failure while it does not."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import redis
from django.db import OperationalError
from django.test import override_settings

from logs import stream
from logs.models import LogCommit
from monitor import watchdog
from monitor.doctor import database

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """What somebody outside was asked."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(500 if "broken" in self.path else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        with override_settings(HEARTBEAT_URL=f"http://127.0.0.1:{server.server_port}/ping/1"):
            yield paths
        server.shutdown()


@pytest.fixture
def works(redis_client: redis.Redis) -> redis.Redis:
    redis_client.xgroup_create("pharos:logs", stream.GROUP, id="0", mkstream=True)
    redis_client.set(f"{stream.INGESTERS}one", "")
    commit()
    return redis_client


def commit() -> None:
    LogCommit.objects.using("logs").create(lines=1, oldest_entry=0, newest_entry=0, entries=b"")


def beat() -> str:
    last = watchdog.beat()
    assert last is not None
    return last.failing


def test_it_is_pinged_while_lines_are_stored(works: redis.Redis, asked: list[str]) -> None:
    assert beat() == ""
    commit()
    assert beat() == ""
    assert "no line was stored since the last ping" in beat()
    assert asked == ["/ping/1", "/ping/1", "/ping/1/fail"]


def test_a_database_that_takes_no_row(works: redis.Redis, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(alias: str) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(database, "write", full)
    assert beat() == "OperationalError: the disk is full"
    assert asked == ["/ping/1/fail"]


def test_no_ingester(works: redis.Redis, asked: list[str]) -> None:
    works.delete(f"{stream.INGESTERS}one")
    assert beat().startswith("no ingester runs")


def test_without_redis_it_is_told_too(asked: list[str]) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        assert "Connection refused" in beat()
    assert asked == ["/ping/1/fail"]


def test_a_change_is_said_once(works: redis.Redis, asked: list[str], caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        beat()
    commit()
    beat()
    said = [record.getMessage() for record in caplog.records if record.name == "monitor.watchdog"]
    assert [text.partition(":")[0] for text in said] == [
        "The outside heartbeat is told that Pharos fails", "The outside heartbeat is pinged again"
    ]  # fmt: skip


def test_an_address_that_answers_badly_is_kept(works: redis.Redis, asked: list[str], settings: Any) -> None:
    settings.HEARTBEAT_URL += "/broken"
    beat()
    last = watchdog.last(works)
    assert last is not None
    assert last.error == "it answered 500"


def test_without_an_address_nothing_is_done(redis_client: redis.Redis) -> None:
    assert watchdog.beat() is None
    assert watchdog.last(redis_client) is None
