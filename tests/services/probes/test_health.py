"""What services say of themselves: the samples of the requirements as they are, and the shapes of frameworks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from services.probes import Measurement, Part, health_body
from services.status import Outcome
from tests import peers
from tests.services.probes.asking import ask

UP, DEGRADED, FAILING, UNREACHABLE = Outcome.UP, Outcome.DEGRADED, Outcome.FAILING, Outcome.UNREACHABLE


async def health_of(content: Any, status: int = 200) -> Measurement:
    body = content if isinstance(content, str) else json.dumps(content)

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, status=status, content_type="application/json")

    async with peers.http_server(handler) as url:
        return await ask("health", f"{url}/health/ready")


def outcomes(found: Measurement) -> dict[str, Outcome]:
    return {part.path: part.outcome for part in found.parts}


# --- The samples ---------------------------------------------------------------------------------------------------


async def test_liveness() -> None:
    found = await health_of('{"status":"alive"}')
    assert (found.outcome, found.detail, found.parts) == (UP, "", ())


async def test_readiness_when_ready() -> None:
    found = await health_of(
        '{"status":"ready","checks":{"database":"healthy","redis":"healthy","queue":"healthy"},'
        '"timestamp":"2026-11-21T12:03:00.000Z"}'
    )
    assert (found.outcome, found.detail) == (UP, "")
    assert outcomes(found) == {"database": UP, "redis": UP, "queue": UP}


async def test_readiness_when_not() -> None:
    found = await health_of(
        '{"status":"not_ready","checks":{"database":"healthy","redis":"unhealthy","queue":"unknown"},'
        '"timestamp":"2026-11-21T12:03:00.000Z"}',
        503,
    )
    assert (found.outcome, found.detail) == (FAILING, "redis unhealthy, queue unknown")
    assert outcomes(found) == {"database": UP, "redis": FAILING, "queue": DEGRADED}


async def test_health_when_healthy() -> None:
    found = await health_of(
        '{"status":"healthy","timestamp":"2026-11-21T12:03:00.000Z","version":"1.0.0","checks":{"database":'
        '{"status":"healthy","latency":12},"cache":{"status":"healthy"},"external_apis":{"status":"healthy"}}}'
    )
    assert found.outcome == UP
    assert found.parts == (
        Part("database", UP, latency_ms=12.0),
        Part("cache", UP),
        Part("external_apis", UP),
    )
    assert '"version":"1.0.0"' in found.raw


async def test_health_when_unhealthy() -> None:
    found = await health_of(
        '{"status":"unhealthy","timestamp":"2026-11-21T12:03:00.000Z","version":"1.0.0","checks":{"database":'
        '{"status":"unhealthy"},"cache":{"status":"healthy"},"external_apis":{"status":"degraded"}}}',
        503,
    )
    assert (found.outcome, found.detail) == (FAILING, "database unhealthy, external_apis degraded")


async def test_degraded_answered_with_503_is_degraded() -> None:
    found = await health_of(
        '{"status":"degraded","timestamp":"2026-11-21T12:03:00.000Z","version":"1.0.0","checks":{"database":'
        '{"status":"healthy","latency":12},"cache":{"status":"healthy"},"external_apis":{"status":"degraded"}}}',
        503,
    )
    assert (found.outcome, found.detail) == (DEGRADED, "external_apis degraded")


async def test_our_own_readiness() -> None:
    part = {"status": "healthy", "latency_ms": 0.4, "detail": "fine"}
    lag = {"status": "unhealthy", "latency_ms": None, "detail": "nobody stores lines"}
    found = await health_of({"status": "not_ready", "checks": {"redis": part, "ingest": lag}, "timestamp": "…"}, 503)

    assert (found.outcome, found.detail) == (FAILING, "ingest unhealthy")
    assert found.parts == (
        Part("redis", UP, latency_ms=0.4),
        Part("ingest", FAILING, "nobody stores lines"),
    )


# --- Statuses and bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status", "outcome", "detail"),
    [
        ("<html>Bad gateway</html>", 502, UNREACHABLE, "answered 502"),
        ("", 503, UNREACHABLE, "answered 503"),
        ({"status": "error", "message": "oops"}, 500, UNREACHABLE, "answered 500"),
        ({"status": "healthy"}, 503, FAILING, "answered 503"),
        ({"status": "unhealthy"}, 200, FAILING, "it says “unhealthy”"),
        ({"status": "unknown"}, 200, DEGRADED, "it says “unknown”"),
        ({"status": "purple"}, 200, DEGRADED, "it says “purple”"),
        ({"status": 404, "error": "Not Found"}, 404, FAILING, "answered 404"),
        ({"status": "unhealthy"}, 404, FAILING, "answered 404"),
        ({"status": "warn"}, 429, DEGRADED, "it says “warn”"),
        ("", 200, UP, ""),
        ("OK", 200, UP, ""),
        ("Degraded", 200, DEGRADED, "it says “Degraded”"),
        ("Unhealthy", 503, FAILING, "it says “Unhealthy”"),
        ("<html>Log in</html>", 200, FAILING, "the answer says nothing about health"),
        ({"hello": "world"}, 200, FAILING, "the answer says nothing about health"),
        ([1, 2], 200, FAILING, "the answer says nothing about health"),
        ({"status": "healthy", "checks": {"cache": "unhealthy"}}, 200, DEGRADED, "cache unhealthy"),
        ({"status": "healthy", "checks": {"cache": "unknown"}}, 200, UP, ""),
        ({"checks": {"a": "ok", "b": "down"}}, 200, FAILING, "b unhealthy"),
        ({"status": "down", "checks": dict.fromkeys("abcde", "down")}, 503, FAILING,
         "a unhealthy, b unhealthy, c unhealthy and 2 more"),
    ],
)  # fmt: skip
async def test_what_is_said_and_how(content: Any, status: int, outcome: Outcome, detail: str) -> None:
    found = await health_of(content, status)
    assert (found.outcome, found.detail) == (outcome, detail)


async def test_a_health_body_without_end_is_not_read() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\n\r\n{"status": "healthy", "pad": "')
        while True:
            writer.write(b"x" * 0x10000)
            await writer.drain()

    async with peers.tcp_server(endless) as port:
        found = await ask("health", f"http://127.0.0.1:{port}/health")

    assert (found.outcome, found.detail) == (FAILING, "the answer says nothing about health")


# --- Shapes of frameworks ------------------------------------------------------------------------------------------


def parts_of(content: Any) -> dict[str, tuple[Outcome, str, float | None]]:
    reading = health_body.read(json.dumps(content).encode())
    assert reading
    return {part.path: (part.outcome, part.detail, part.latency_ms) for part in reading.parts}


def test_a_tree_of_parts() -> None:
    tree = {
        "status": "degraded",
        "checks": {
            "database": {"status": "healthy", "latency": "12ms"},
            "external_apis": {
                "status": "degraded",
                "checks": {"payments.eu": {"status": "down", "error": "timed out"}, "mail": True},
            },
        },
    }
    assert parts_of(tree) == {
        "database": (UP, "", 12.0),
        "external_apis": (DEGRADED, "", None),
        "external_apis.payments_eu": (FAILING, "down: timed out", None),
        "external_apis.mail": (UP, "", None),
    }
    reading = health_body.read(json.dumps(tree).encode())
    assert reading
    assert reading.detail == "external_apis.payments_eu unhealthy"


def test_spring() -> None:
    body = {
        "status": "DOWN",
        "components": {
            "db": {"status": "DOWN", "details": {"database": "PostgreSQL", "validationQuery": "isValid()"}},
            "diskSpace": {"status": "UP", "details": {"total": 1000, "exists": True, "path": "/app/."}},
        },
    }
    assert {path: part[0] for path, part in parts_of(body).items() if "." not in path} == {
        "db": FAILING,
        "diskSpace": UP,
    }
    assert "db.database" not in parts_of(body)


def test_asp_net() -> None:
    body = {
        "status": "Unhealthy",
        "totalDuration": "00:00:00.0230000",
        "entries": {"npgsql": {"data": {}, "duration": "00:00:00.0080000", "status": "Healthy", "tags": []}},
    }
    assert parts_of(body) == {"npgsql": (UP, "", 8.0)}


def test_the_draft_of_the_ietf() -> None:
    body = {
        "status": "pass",
        "checks": {
            "cassandra:responseTime": [
                {"componentId": "a1", "status": "pass", "observedValue": 250, "observedUnit": "ms"},
                {"componentId": "b2", "status": "warn", "output": "slow"},
            ],
            "uptime": [{"status": "pass", "observedValue": 1209600.245, "observedUnit": "s"}],
        },
    }
    assert parts_of(body) == {
        "cassandra:responseTime.a1": (UP, "", 250.0),
        "cassandra:responseTime.b2": (DEGRADED, "warn: slow", None),
        "uptime": (UP, "", None),
    }


def test_django_health_check() -> None:
    body = {"Cache backend: default": "working", "DatabaseBackend": "working", "Disk": "unavailable"}
    assert {path: part[0] for path, part in parts_of(body).items()} == {
        "Cache backend: default": UP,
        "DatabaseBackend": UP,
        "Disk": FAILING,
    }


def test_terminus() -> None:
    body = {"status": "ok", "info": {"db": {"status": "up"}}, "error": {}, "details": {"db": {"status": "up"}}}
    assert parts_of(body) == {"db": (UP, "", None)}


# --- What wants to do harm -----------------------------------------------------------------------------------------


def test_a_thousand_parts_are_cut() -> None:
    reading = health_body.read(
        json.dumps({"status": "down", "checks": dict.fromkeys(map(str, range(1_000)), "down")}).encode()
    )
    assert reading
    assert len(reading.parts) == 100


def test_a_tree_that_is_too_deep_ends() -> None:
    tree: dict[str, Any] = {"status": "down"}
    for _ in range(200):
        tree = {"status": "down", "checks": {"x": tree}}
    reading = health_body.read(json.dumps(tree).encode())
    assert reading
    assert len(reading.parts) == health_body.DEPTH_MAX


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"null", b"12", b'"x"'])
def test_nonsense_says_nothing(body: bytes) -> None:
    assert health_body.read(body) is None


def test_odd_types_say_nothing() -> None:
    odd = {"status": None, "checks": {"a": None, "b": 3, "c": [], "d": {}, "e": {"status": 5}, "f": [[1]]}}
    assert health_body.read(json.dumps(odd).encode()) is None


@pytest.mark.parametrize("latency", [-1, 1e300, "fast", None, True, [], {"ms": 1}])
def test_odd_latencies_are_none(latency: Any) -> None:
    assert parts_of({"checks": {"a": {"status": "up", "latency": latency}}}) == {"a": (UP, "", None)}


async def test_passwords_in_messages_are_hidden() -> None:
    message = "could not connect to postgres://app:hunter22@db/app"
    found = await health_of({"status": "down", "checks": {"database": {"status": "down", "error": message}}}, 503)

    assert found.parts[0].detail == "down: could not connect to postgres://app:•••@db/app"
    assert "hunter22" not in found.raw + found.detail
