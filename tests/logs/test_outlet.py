"""The way out of the listener, on real Redis: lines and positions together, each once, whatever happens between."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import redis
from pytest_django import Settings

from core import clock
from logs import stream
from logs.records import Level, LogRecord
from logs.sources import outlet
from logs.sources.outlet import LEASE, POSITIONS, LeaseLostError, Outlet
from tests import servers
from tests.logs.listening import until
from tests.logs.streamed import FIRST, messages


def line(message: str) -> LogRecord:
    return LogRecord(clock.now(), Level.INFO, "shop", message)


@asynccontextmanager
async def sending(token: str = "one") -> AsyncIterator[Outlet]:
    made = Outlet(token)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, LeaseLostError):
            await task
        await made.close()


def positions(client: redis.Redis) -> dict[bytes, bytes]:
    found: Any = client.hgetall(POSITIONS)
    return dict(found)


# --- Lines and positions -------------------------------------------------------------------------------------------


async def test_lines_come_in_their_order_with_the_newest_position_of_each_key(redis_client: redis.Redis) -> None:
    async with sending() as out:
        for number in range(2_500):
            await out.put(line(f"{number}"), ("file:1", f"{number}"))
        await out.put(line("other"), ("file:2", "7"))
        assert await out.finish(10) == 0

    assert messages(redis_client) == [*map(str, range(2_500)), "other"]
    assert positions(redis_client) == {b"file:1": b"2499", b"file:2": b"7"}


async def test_a_position_counts_lines_that_are_still_on_their_way(redis_client: redis.Redis) -> None:
    redis_client.hset(POSITIONS, "file:1", "old")
    out = Outlet("one")
    assert await out.position("file:1") == "old"
    assert await out.position("file:2") is None
    await out.put(line("a"), ("file:1", "new"))
    assert await out.position("file:1") == "new"
    await out.close()


async def test_a_position_is_moved_and_forgotten_without_a_line(redis_client: redis.Redis) -> None:
    async with sending() as out:
        await out.move("file:1", "5")
        await out.put(line("a"), ("file:2", "6"))
        await out.finish(10)
        assert positions(redis_client) == {b"file:1": b"5", b"file:2": b"6"}
        await out.forget("file:1")
        assert await out.position("file:1") is None
        await out.finish(10)

    assert positions(redis_client) == {b"file:2": b"6"}


# --- When Redis can't take them ------------------------------------------------------------------------------------


async def test_a_full_buffer_makes_put_wait_and_offer_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "BUFFER_LINES", 3)
    out = Outlet("one")  # nobody sends
    assert [out.offer(line("x")) for _ in range(4)] == [True, True, True, False]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(out.put(line("y")), 0.05)
    assert await out.finish(0) == 3
    await out.close()


async def test_long_lines_fill_the_buffer_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "BUFFER_BYTES", 1_000)
    out = Outlet("one")
    assert out.offer(line("x" * 900))
    assert not out.offer(line("x"))
    await out.close()


async def test_too_large_a_backlog_makes_lines_wait_until_it_is_smaller(
    redis_client: redis.Redis, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "LOOK_EVERY", 0.02)
    settings.LOG_BACKLOG_MAX = 10_000
    redis_client.xgroup_create(FIRST, stream.GROUP, id="0", mkstream=True)
    redis_client.xadd(FIRST, {"message": "x" * 50_000})
    async with sending() as out:
        await out.put(line("late"))
        await until(lambda: out.trouble == outlet.TOO_MUCH)
        assert redis_client.xlen(FIRST) == 1
        redis_client.delete(FIRST)
        assert await out.finish(10) == 0
        assert out.trouble == ""

    assert messages(redis_client) == ["late"]
    assert caplog.text.count("PHAROS_LOG_BACKLOG_MAX_BYTES") == 1


async def test_a_full_redis_takes_the_whole_batch_later_or_nothing(settings: Settings) -> None:
    with servers.valkey_server() as (url, _), redis.Redis.from_url(url) as client:
        settings.REDIS_URL = url
        client.config_set("maxmemory", "1")
        async with sending() as out:
            await out.put(line("a"), ("file:1", "1"))
            await until(lambda: "memory" in out.trouble)
            assert client.dbsize() == 0
            client.config_set("maxmemory", "0")
            assert await out.finish(10) == 0
        assert messages(client) == ["a"]
        assert positions(client) == {b"file:1": b"1"}


async def test_a_batch_whose_answer_was_lost_is_there_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TIMEOUT", 0.2)
    with servers.valkey_server() as (url, server), redis.Redis.from_url(url) as client:
        settings.REDIS_URL = url
        made = Outlet("one", lambda: stream.connect_async(0.2))
        task = asyncio.create_task(made.run())
        await made.put(line("warm"))
        await made.finish(10)
        made._hurry = False
        # Redis hears the batch, and its repetitions, and answers none of them in time.
        os.kill(server.pid, signal.SIGSTOP)
        await made.put(line("a"), ("file:1", "1"))
        await made.put(line("b"))
        await until(lambda: made.trouble)
        await asyncio.sleep(0.5)
        os.kill(server.pid, signal.SIGCONT)
        assert await made.finish(10) == 0
        await until(lambda: messages(client) == ["warm", "a", "b"])
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await made.close()


async def test_a_line_that_can_not_be_packed_goes_alone(redis_client: redis.Redis) -> None:
    async with sending() as out:
        for message in ("a", "b"):
            await out.put(line(message))
        await out.put(LogRecord(2**70, Level.INFO, "shop", "no such time"))
        await out.put(line("c"))
        assert await out.finish(10) == 0

    assert messages(redis_client) == ["a", "b", "c"]


# --- The lease -----------------------------------------------------------------------------------------------------


async def test_who_lost_the_lease_adds_nothing_but_what_nobody_reads_again(redis_client: redis.Redis) -> None:
    redis_client.set(LEASE, "another")
    out = Outlet("one")
    await out.put(line("of a file"), ("file:1", "1"))
    await out.put(line("of syslog"))
    with pytest.raises(LeaseLostError):
        await out.run()
    assert not redis_client.exists(FIRST, POSITIONS)
    assert await out.rescue(5) == 0
    await out.close()

    assert messages(redis_client) == ["of syslog"]
    assert not redis_client.exists(POSITIONS)
    assert redis_client.get(LEASE) == b"another"


async def test_a_lease_that_ended_while_redis_was_away_is_taken_again(redis_client: redis.Redis) -> None:
    async with sending() as out:
        await out.put(line("a"), ("file:1", "1"))
        await out.finish(10)

    assert redis_client.get(LEASE) == b"one"
    assert messages(redis_client) == ["a"]
