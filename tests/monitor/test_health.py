"""Liveness and readiness, as an orchestrator asks for them: without a login."""

from __future__ import annotations

import pytest
import redis
from django.db import OperationalError
from django.test import Client, override_settings

from logs import stream
from monitor import health, tasks

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


@pytest.fixture
def healthy(redis_client: redis.Redis) -> redis.Redis:
    """An installation in which everything runs."""
    redis_client.xgroup_create("pharos:logs", stream.GROUP, id="0", mkstream=True)
    redis_client.set(f"{stream.INGESTERS}one", "")
    tasks.tick()
    return redis_client


def test_a_process_that_answers_is_alive(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "alive"}


def test_everything_running_is_ready(client: Client, healthy: redis.Redis) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ready"
    assert set(body["checks"]) == {"database", "redis", "worker", "ingest"}
    for check in body["checks"].values():
        assert check["status"] == "healthy"
        assert check["latency_ms"] >= 0


def test_without_redis_it_is_not_ready_and_says_which_checks_fail(client: Client) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "not_ready"
    states = {name: check["status"] for name, check in answer.json()["checks"].items()}
    assert states == {"database": "healthy", "redis": "unhealthy", "worker": "unhealthy", "ingest": "unhealthy"}
    assert answer.json()["checks"]["ingest"]["detail"] == "can't be known while Redis is away"


def test_a_database_that_does_not_answer_is_said(
    client: Client, healthy: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> health.Check:
        raise OperationalError("the disk is gone")

    monkeypatch.setitem(health.CHECKS, "database", away)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["detail"] == "OperationalError: the disk is gone"


def test_without_a_tick_the_worker_is_not_ready(client: Client, healthy: redis.Redis) -> None:
    healthy.delete(f"{stream.ALIVE}worker")
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "no tick of beat" in answer.json()["checks"]["worker"]["detail"]


def test_without_an_ingester_lines_would_wait(client: Client, healthy: redis.Redis) -> None:
    healthy.delete(f"{stream.INGESTERS}one")
    assert "no ingester runs" in client.get("/health/ready").json()["checks"]["ingest"]["detail"]


def test_what_holds_up_an_ingester_is_said_at_once(client: Client, healthy: redis.Redis) -> None:
    healthy.set(f"{stream.INGESTERS}two", "The disk is full")
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["ingest"]["detail"].startswith("The disk is full; 2 ingesters, the oldest line")


@pytest.mark.parametrize("read", [False, True])
def test_a_line_that_waits_too_long_is_a_lag(client: Client, healthy: redis.Redis, read: bool) -> None:
    healthy.xadd("pharos:logs", {"message": "old"}, id="1700000000000-0")
    if read:  # by an ingester that died with it
        healthy.xreadgroup(stream.GROUP, "dead", {"pharos:logs": ">"})
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "the oldest line waits for" in answer.json()["checks"]["ingest"]["detail"]


def test_a_stream_that_nobody_has_read_yet_counts_from_its_first_entry(redis_client: redis.Redis) -> None:
    assert stream.oldest_wait(redis_client, "pharos:logs") == 0
    redis_client.xadd("pharos:logs", {"message": "old"}, id="1700000000000-0")
    assert stream.oldest_wait(redis_client, "pharos:logs") > 0


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_only_reading_is_answered(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


def test_the_worker_says_now_and_then_how_things_are(healthy: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    healthy.delete(f"{stream.ALIVE}worker:ticks")
    with caplog.at_level("INFO", logger="monitor.tasks"):
        for _ in range(tasks.SAY_EVERY + 1):
            tasks.tick()
    assert [record.getMessage()[:11] for record in caplog.records] == ["All is well", "All is well"]


def test_not_being_ready_is_an_answer_and_no_error_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"), caplog.at_level("INFO"):
        client.get("/health/ready")
    assert [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []
