"""A TCP port: each outcome."""

from __future__ import annotations

import asyncio

import pytest

from services.probes.base import RAW_MAX
from services.status import Outcome
from tests import peers
from tests.services.probes.asking import ask


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.org ESMTP\r\n")
    await writer.drain()
    line = await reader.readline()
    writer.write(b"250 " + line)
    await writer.drain()


async def test_a_port_that_takes_connections_is_up() -> None:
    async with peers.tcp_server(peers.silence) as port:
        found = await ask("tcp", f"127.0.0.1:{port}")

    assert (found.outcome, found.detail, found.raw) == (Outcome.UP, "", "connected")
    assert found.latency_ms


async def test_what_is_expected_is_waited_for() -> None:
    async with peers.tcp_server(greets) as port:
        found = await ask("tcp", f"127.0.0.1:{port}", send="EHLO pharos\r\n", expect="250 EHLO")

    assert found.outcome == Outcome.UP
    assert found.raw.startswith("220 mail.example.org")


async def test_something_else_is_said() -> None:
    async with peers.tcp_server(greets) as port:
        found = await ask("tcp", f"127.0.0.1:{port}", send="EHLO\r\n", expect="SSH-2.0")

    assert (found.outcome, found.detail) == (Outcome.FAILING, "what was expected was not said")


async def test_what_is_expected_never_comes() -> None:
    async with peers.tcp_server(peers.silence) as port:
        found = await ask("tcp", f"127.0.0.1:{port}", expect="SSH-2.0", timeout=0.1)

    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no answer within 0.1 s")


async def test_nobody_listens() -> None:
    found = await ask("tcp", f"127.0.0.1:{peers.closed_port()}")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "connection refused")


@pytest.mark.parametrize("target", ["169.254.169.254:80", "[::ffff:169.254.169.254]:80", "0.0.0.0:22"])
async def test_metadata_is_refused(target: str) -> None:
    found = await ask("tcp", target)

    assert found.outcome == Outcome.UNREACHABLE
    assert "is refused" in found.detail


async def test_who_says_too_much_is_cut_off() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 0x10000)
            await writer.drain()

    async with peers.tcp_server(endless) as port:
        found = await ask("tcp", f"127.0.0.1:{port}", expect="SSH-2.0")

    assert found.outcome == Outcome.FAILING
    assert len(found.raw) <= RAW_MAX


async def test_over_tls() -> None:
    async with peers.tcp_server(greets, peers.certificate().server) as port:
        trusting = await ask("tcp", f"localhost:{port}", tls=True, verify=False, expect="220 ")
        strict = await ask("tcp", f"localhost:{port}", tls=True, expect="220 ")

    assert trusting.outcome == Outcome.UP
    assert (strict.outcome, strict.detail) == (Outcome.UNREACHABLE, "certificate is self-signed")
