"""A TLS certificate: each outcome, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from services.status import Outcome
from tests import peers
from tests.services.probes.asking import ask


@pytest.mark.parametrize(
    ("made", "options", "outcome", "detail"),
    [
        (peers.certificate(), {}, Outcome.UP, ""),
        (peers.certificate(["other.example"]), {"name": "other.example"}, Outcome.UP, ""),
        (peers.certificate(["other.example"]), {}, Outcome.FAILING, "certificate is for another name"),
        (peers.certificate(["other.example"]), {"verify": False}, Outcome.UP, ""),
        (peers.certificate(days=-1), {}, Outcome.FAILING, "certificate has expired"),
        (peers.certificate(days=-1), {"verify": False}, Outcome.FAILING, "certificate has expired"),
        (peers.certificate(days=10), {"warn_days": 5}, Outcome.UP, ""),
    ],
)
async def test_certificates(made: peers.Certificate, options: dict[str, Any], outcome: Outcome, detail: str) -> None:
    async with peers.tcp_server(peers.silence, made.server) as port:
        found = await ask("tls", f"localhost:{port}", ca=made.pem, **options)

    assert (found.outcome, found.detail, found.expires_at) == (outcome, detail, made.expires_at)
    assert "subject: CN=pharos test" in found.raw


async def test_a_certificate_that_ends_soon() -> None:
    made = peers.certificate(days=10)
    async with peers.tcp_server(peers.silence, made.server) as port:
        found = await ask("tls", f"localhost:{port}", ca=made.pem)

    assert found.outcome == Outcome.DEGRADED
    assert found.detail == f"certificate expires on {made.expires_at:%Y-%m-%d}"


async def test_a_certificate_of_nobody_we_know() -> None:
    made = peers.certificate()
    async with peers.tcp_server(peers.silence, made.server) as port:
        found = await ask("tls", f"localhost:{port}")

    assert (found.outcome, found.detail) == (Outcome.FAILING, "certificate is self-signed")
    assert found.expires_at == made.expires_at


async def test_no_tls_at_all() -> None:
    async with peers.tcp_server(peers.saying(b"")) as port:
        found = await ask("tls", f"localhost:{port}", timeout=1)

    assert found.outcome == Outcome.UNREACHABLE


async def test_nobody_listens() -> None:
    found = await ask("tls", f"127.0.0.1:{peers.closed_port()}")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "connection refused")


async def test_metadata_is_refused() -> None:
    found = await ask("tls", "169.254.169.254")

    assert found.outcome == Outcome.UNREACHABLE
    assert "is refused" in found.detail
