"""Our own lines: the handler that sends them, and the middleware that writes one for each request."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client, override_settings

from logs import context, handler, stream
from logs.handler import StreamHandler
from logs.records import Level
from monitor import valkey
from tests import servers
from tests.logs.corpus import in_stream as sent
from tests.waiting import until


@pytest.fixture
def log(redis_client: redis.Redis) -> Iterator[logging.Logger]:
    """A logger whose lines go into the stream, and nowhere else."""
    logger = logging.getLogger("tests.own")
    sender = StreamHandler(service="pharos-test")
    logger.addHandler(sender)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(sender)
    sender.close()


def test_a_line_becomes_a_record_with_all_it_carries(log: logging.Logger, redis_client: redis.Redis) -> None:
    context.request_id.set("r-1")
    context.trace.set(("t" * 32, "s" * 16))
    log.warning("disk %s is %d %% full", "sda", 91, extra={"user_id": 7, "odd": {1, }})  # fmt: skip
    until(lambda: len(sent(redis_client)) == 1)
    record = sent(redis_client)[0]
    assert (record.level, record.service, record.logger) == (Level.WARN, "pharos-test", "tests.own")
    assert record.message == "disk sda is 91 % full"
    assert (record.request_id, record.trace_id, record.span_id) == ("r-1", "t" * 32, "s" * 16)
    assert record.as_json()["metadata"] is not None
    assert b'"user_id":7' in record.metadata


def test_an_exception_comes_with_its_stack(log: logging.Logger, redis_client: redis.Redis) -> None:
    try:
        raise ValueError("no good")
    except ValueError:
        log.exception("It failed")
    until(lambda: len(sent(redis_client)) == 1)
    metadata = sent(redis_client)[0].metadata
    assert b'"name":"ValueError","message":"no good"' in metadata
    assert b"Traceback (most recent call last)" in metadata


def test_levels_keep_their_rank(log: logging.Logger, redis_client: redis.Redis) -> None:
    for number in (5, 10, 20, 25, 30, 40, 50, 60):
        log.setLevel(1)
        log.log(number, str(number))
    until(lambda: len(sent(redis_client)) == 8)
    assert [record.level for record in sent(redis_client)] == [
        Level.TRACE, Level.DEBUG, Level.INFO, Level.INFO, Level.WARN, Level.ERROR, Level.FATAL, Level.FATAL
    ]  # fmt: skip


def test_a_burst_travels_together(log: logging.Logger, redis_client: redis.Redis) -> None:
    for n in range(900):
        log.info("line %d", n)
    until(lambda: len(sent(redis_client)) == 900)
    assert redis_client.xlen("pharos:logs") < 20


def test_logging_never_waits_for_redis_and_never_raises(redis_client: redis.Redis) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        logger = logging.Logger("tests.away")
        sender = StreamHandler()
        logger.addHandler(sender)
        began = time.perf_counter()
        for n in range(1_000):
            logger.info("line %d", n)
        logger.info("done")
        took = time.perf_counter() - began
        assert took < 2.0  # a wait for Redis would be 1,000 times its timeout
        assert 0 < len(sender._waiting) <= 1_001
        sender.close()


def test_lines_wait_for_redis_in_a_bounded_buffer_and_the_loss_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "BUFFER", 100)
    monkeypatch.setattr(handler, "RETRY_EVERY", 0.05)
    logger = logging.Logger("tests.bounded")
    with servers.valkey_server() as (url, first), override_settings(REDIS_URL=url):
        first.process.terminate()
        first.process.wait()
        sender = StreamHandler()
        sender._waiting = deque(maxlen=100)
        logger.addHandler(sender)
        for n in range(250):
            logger.info("line %d", n)
        time.sleep(0.3)
        second = servers.start_valkey(first.directory, first.directory / "valkey.sock", valkey.free_port())
        with redis.Redis.from_url(url) as client:
            until(lambda: client.exists("pharos:logs") and "line 249" in {line.message for line in sent(client)})
            lines = [line.message for line in sent(client)]
        assert "150 lines were dropped while Redis was away" in lines
        assert "line 0" not in lines
        assert len(lines) == 101
        sender.close()
        second.process.terminate()
        second.process.wait()


def test_the_end_sends_the_rest_and_leaves_no_thread(
    log: logging.Logger, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "FLUSH_EVERY", 60.0)
    connect = stream.connect

    def connect_late(**options: float) -> redis.Redis:
        time.sleep(0.2)  # the end comes before the thread has looked for lines
        return connect(**options)

    monkeypatch.setattr(stream, "connect", connect_late)
    sender = log.handlers[0]
    assert isinstance(sender, StreamHandler)
    for text in ("the last", "another one after it"):
        log.info(text)
        assert sender._sender
        sender.close()
        assert not sender._sender.is_alive()
        assert [record.message for record in sent(redis_client)][-1:] == [text]


def test_more_lines_than_one_batch_holds_are_all_sent(log: logging.Logger, redis_client: redis.Redis) -> None:
    for n in range(2_500):
        log.info("line %d", n)
    until(lambda: len(sent(redis_client)) == 2_500)


def test_what_redis_itself_logs_is_not_sent(log: logging.Logger, redis_client: redis.Redis) -> None:
    sender = log.handlers[0]
    record = logging.makeLogRecord({"name": "redis.connection", "msg": "reconnecting", "levelno": 30})
    sender.handle(record)
    log.info("marker")
    until(lambda: len(sent(redis_client)) >= 1)
    assert [line.message for line in sent(redis_client)] == ["marker"]


# --- A line for each request ---------------------------------------------------------------------------------------


def test_a_request_gets_an_id_and_a_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="monitor.request"):
        answer = client.get("/nowhere/")
    line = caplog.records[-1]
    assert line.getMessage().startswith("GET /nowhere/ → 404 in ")
    assert line.status == 404  # type: ignore[attr-defined]
    assert line.duration_ms > 0  # type: ignore[attr-defined]
    assert len(answer["X-Request-ID"]) == 16


@pytest.mark.parametrize("header", ["X-Request-ID", "X-Correlation-ID"])
def test_an_id_that_came_is_kept(client: Client, header: str) -> None:
    assert client.get("/health/live", headers={header: "r-42"})["X-Request-ID"] == "r-42"


@pytest.mark.parametrize("nonsense", ["", "a b", "x" * 200, "<script>", "é"])
def test_an_id_that_is_none_is_replaced(client: Client, nonsense: str) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": nonsense})["X-Request-ID"] != nonsense


def test_the_callers_trace_is_taken_up(client: Client) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    client.get("/health/live", headers={"traceparent": f"00-{trace}-{span}-01"})
    assert context.trace.get() == (trace, span)
    client.get("/health/live", headers={"traceparent": f"00-{'0' * 32}-{span}-01"})
    assert context.trace.get() == ("", "")


def test_what_machines_ask_every_few_seconds_makes_no_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="monitor.request"):
        client.get("/health/live")
    assert caplog.records == []


@pytest.mark.django_db
def test_sign_ins_are_logged_whether_they_succeed_or_fail(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    with caplog.at_level("INFO", logger="accounts.sign_in"):
        client.post("/login/", {"username": "alice", "password": "wrong-secret"})
        client.post("/login/", {"username": "alice", "password": "correct horse battery"})
        client.post("/logout/")
    lines = [line for line in caplog.records if line.name == "accounts.sign_in"]
    assert [(line.levelname, line.getMessage()) for line in lines] == [
        ("WARNING", "Sign-in as alice failed"),
        ("INFO", "alice signed in"),
        ("INFO", "alice signed out"),
    ]
    assert "wrong-secret" not in caplog.text
