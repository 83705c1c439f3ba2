"""Redis, asked on the run's real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from services.status import Outcome
from tests import peers, servers
from tests.services.probes.asking import ask

HERE = f"127.0.0.1:{servers.reserve().valkey_port}"


@pytest.fixture
def user(redis_client: redis.Redis) -> Iterator[str]:
    """One who may do this and no more."""
    redis_client.acl_setuser(
        "watcher", enabled=True, passwords=["+hunter22"], commands=["+ping", "+info", "+select"], keys=[]
    )
    yield "watcher"
    redis_client.acl_deluser("watcher")


async def test_a_redis_that_answers_is_up() -> None:
    found = await ask("redis", f"redis://{HERE}/1")

    assert (found.outcome, found.detail) == (Outcome.UP, "")
    assert found.latency_ms
    assert "connected_clients:" in found.raw


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        (
            {"equals": {"role": "master"}, "at_most": {"connected_clients": 1e6}, "at_least": {"uptime_in_seconds": 0}},
            "",
        ),
        ({"equals": {"role": "slave"}}, "role is not slave"),
        ({"at_most": {"connected_clients": 0}}, "connected_clients is above 0"),
        ({"at_least": {"connected_slaves": 1}}, "connected_slaves is below 1"),
        ({"at_most": {"nonsense": 0}}, "INFO has no number nonsense"),
        ({"at_least": {"role": 1}}, "INFO has no number role"),
    ],
)
async def test_limits_of_info(options: dict[str, Any], detail: str) -> None:
    found = await ask("redis", f"redis://{HERE}", **options)

    assert found.detail == detail
    assert found.outcome == (Outcome.FAILING if detail else Outcome.UP)


async def test_a_login(user: str) -> None:
    right = await ask("redis", f"redis://{user}@{HERE}", secrets={"password": "hunter22"})
    whole = await ask("redis", "", secrets={"dsn": f"redis://{user}:hunter22@{HERE}"})
    wrong = await ask("redis", f"redis://{user}@{HERE}", secrets={"password": "hunter21"})

    assert right.outcome == whole.outcome == Outcome.UP
    assert (wrong.outcome, wrong.detail) == (Outcome.FAILING, "the login was refused (WRONGPASS)")
    assert "hunter2" not in right.raw + whole.raw + wrong.raw


async def test_nobody_listens() -> None:
    found = await ask("redis", f"redis://127.0.0.1:{peers.closed_port()}")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "connection refused")


async def test_silence() -> None:
    async with peers.tcp_server(peers.silence) as port:
        found = await ask("redis", f"redis://127.0.0.1:{port}", timeout=0.1)

    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no answer within 0.1 s")


async def test_something_else_than_redis() -> None:
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        await reader.read()

    async with peers.tcp_server(greets) as port:
        found = await ask("redis", f"redis://127.0.0.1:{port}")

    assert (found.outcome, found.detail) == (Outcome.FAILING, "the answer is not Redis's")


async def test_an_answer_without_end() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"$999999999\r\n")
        while True:
            writer.write(b"x" * 0x10000)
            await writer.drain()

    async with peers.tcp_server(endless) as port:
        found = await ask("redis", f"redis://127.0.0.1:{port}")

    assert (found.outcome, found.detail) == (Outcome.FAILING, "the answer to PING is too long")


async def test_metadata_is_refused() -> None:
    found = await ask("redis", "redis://169.254.169.254")

    assert found.outcome == Outcome.UNREACHABLE
    assert "is refused" in found.detail
