"""Names in the DNS, asked of a small server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from core import outbound
from services.status import Outcome
from tests.services.probes.asking import ask

ZONE = {
    ("example.org.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("example.org.", "MX"): ["10 Mail.example.org."],
    ("example.org.", "TXT"): ['"v=spf1 -all"'],
}


class Server(asyncio.DatagramProtocol):
    """Answers from the zone; silent.org gets nothing, broken.org an error."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name == "silent.org.":
            return
        if name == "broken.org.":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records := ZONE.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records))
        elif not any(known == name for known, _ in ZONE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), address)


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("target", "options", "outcome", "detail"),
    [
        ("example.org", {}, Outcome.UP, ""),
        ("example.org", {"expected": ["192.0.2.2"]}, Outcome.UP, ""),
        ("example.org", {"expected": ["192.0.2.2", "192.0.2.9"]}, Outcome.FAILING, "no record 192.0.2.9"),
        ("example.org", {"record": "MX", "expected": ["10 mail.example.org"]}, Outcome.UP, ""),
        ("example.org", {"record": "TXT", "expected": ["v=spf1 -all"]}, Outcome.UP, ""),
        ("example.org", {"record": "AAAA"}, Outcome.FAILING, "the name has no AAAA record"),
        ("other.org", {}, Outcome.FAILING, "there is no such name"),
        ("broken.org", {}, Outcome.UNREACHABLE, "the name server answered SERVFAIL"),
    ],
)
async def test_names(target: str, options: dict[str, Any], outcome: Outcome, detail: str) -> None:
    async with server() as address:
        found = await ask("dns", target, server=address, **options)

    assert (found.outcome, found.detail) == (outcome, detail)


async def test_the_records_are_shown() -> None:
    async with server() as address:
        found = await ask("dns", "example.org", server=address)

    assert found.raw == "192.0.2.1\n192.0.2.2"
    assert found.latency_ms


async def test_silence() -> None:
    async with server() as address:
        found = await ask("dns", "silent.org", server=address, timeout=0.2)

    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no answer within 0.2 s")


async def test_a_server_at_a_metadata_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await ask("dns", "example.org", server="169.254.169.253")
    assert "is refused" in found.detail

    monkeypatch.setattr(outbound, "_lookup", lambda *_: [(2, 1, 6, "", ("169.254.169.253", 53))])
    found = await ask("dns", "example.org", server="ns.example.org")
    assert found.outcome == Outcome.UNREACHABLE
    assert "is refused" in found.detail
