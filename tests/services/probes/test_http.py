"""A check over HTTP: each outcome, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from aiohttp import web

from services.probes.base import RAW_MAX
from services.status import Outcome
from tests import peers
from tests.services.probes.asking import ask


def answering(text: str = "hello", status: int = 200, headers: dict[str, str] | None = None) -> peers.Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers)

    return handler


async def outcome_of(handler: peers.Handler, **options: Any) -> tuple[Outcome, str]:
    async with peers.http_server(handler) as url:
        found = await ask("http", url, **options)
    return found.outcome, found.detail


UP = (Outcome.UP, "")


# --- Outcomes ------------------------------------------------------------------------------------------------------


async def test_an_answer_of_200_is_up_and_shown() -> None:
    async with peers.http_server(answering("hello", headers={"X-Version": "1.2"})) as url:
        found = await ask("http", url)

    assert (found.outcome, found.detail, found.expires_at) == (Outcome.UP, "", None)
    assert found.latency_ms
    assert found.raw.startswith("200 OK\n")
    assert "X-Version: 1.2" in found.raw
    assert found.raw.endswith("\n\nhello")


@pytest.mark.parametrize(
    ("status", "expected", "outcome"),
    [
        (204, None, UP),
        (404, None, (Outcome.FAILING, "answered 404")),
        (500, None, (Outcome.UNREACHABLE, "answered 500")),
        (503, None, (Outcome.UNREACHABLE, "answered 503")),
        (404, [404], UP),
        (503, ["200-299", 503], UP),
        (418, ["4xx"], UP),
        (200, ["4xx"], (Outcome.FAILING, "answered 200")),
    ],
)
async def test_statuses(status: int, expected: list[Any] | None, outcome: tuple[Outcome, str]) -> None:
    options = {} if expected is None else {"expected": expected}
    assert await outcome_of(answering("" if status == 204 else "text", status), **options) == outcome


async def test_a_server_error_with_a_health_body_is_as_ill_as_it_says() -> None:
    degraded = json.dumps({"status": "degraded", "checks": {"cache": {"status": "degraded"}}})
    ill = json.dumps({"status": "unhealthy", "checks": {"database": {"status": "unhealthy"}}})

    assert await outcome_of(answering(degraded, 503)) == (Outcome.DEGRADED, "cache degraded")
    assert await outcome_of(answering(ill, 503)) == (Outcome.FAILING, "database unhealthy")


async def test_the_error_of_an_api_is_not_a_health_body() -> None:
    error = json.dumps({"status": "error", "message": "oops"})
    assert await outcome_of(answering(error, 500)) == (Outcome.UNREACHABLE, "answered 500")


async def test_keywords() -> None:
    page = answering("All systems operational")

    assert await outcome_of(page, keyword="operational", keyword_absent="outage") == UP
    assert await outcome_of(page, keyword="outage") == (Outcome.FAILING, "the keyword is not in the answer")
    assert await outcome_of(page, keyword_absent="All") == (
        Outcome.FAILING,
        "the unwanted keyword is in the answer",
    )


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"path": "status", "equals": "ok"}, ""),
        ({"path": "status", "equals": "fine"}, 'status is not "fine"'),
        ({"path": "status", "not_equals": "ok"}, 'status is "ok"'),
        ({"path": "queues[?name=='mail'].length | [0]", "at_most": 10}, ""),
        ({"path": "queues[0].length", "at_most": 6}, "queues[0].length is above 6"),
        ({"path": "queues[0].length", "at_least": 8}, "queues[0].length is below 8"),
        ({"path": "status", "at_least": 8}, "status is not a number"),
        ({"path": "queues"}, ""),
        ({"path": "missing"}, "missing is not there"),
        ({"path": "missing", "equals": None}, ""),
        ({"path": "ready", "equals": True}, ""),
        ({"path": "ready", "equals": 1}, "ready is not 1"),
        ({"path": "length(status) > `100`", "equals": False}, ""),
        ({"path": "abs(status)"}, "abs(status) can't be read from the answer"),
    ],
)
async def test_values_in_json(rule: dict[str, Any], sentence: str) -> None:
    body = json.dumps({"status": "ok", "ready": True, "queues": [{"name": "mail", "length": 7}]})
    expected = (Outcome.FAILING, sentence) if sentence else UP

    assert await outcome_of(answering(body), json=[rule]) == expected


async def test_json_that_is_none() -> None:
    rule = {"path": "status", "equals": "ok"}
    deep = "[" * 100_000

    assert await outcome_of(answering("<html>"), json=[rule]) == (Outcome.FAILING, "the answer is not JSON")
    assert await outcome_of(answering(deep), json=[rule]) == (Outcome.FAILING, "the answer is not JSON")


async def test_a_request_is_sent_as_the_options_say() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        said = f"{request.method} {request.headers['X-One']} {request.headers['X-Two']} {await request.text()}"
        return web.Response(text=said)

    async with peers.http_server(handler) as url:
        found = await ask(
            "http", url, method="POST", headers={"X-One": "1"}, secrets={"headers": {"X-Two": "2"}},
            body="ping", keyword="POST 1 2 ping",
        )  # fmt: skip

    assert found.outcome == Outcome.UP


async def test_slow_answers_are_degraded() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.03)
        return web.Response(text="hello")

    async with peers.http_server(slow) as url:
        found = await ask("http", url, slow_ms=20)
        wrong = await ask("http", url, slow_ms=20, keyword="bye")

    assert (found.outcome, found.detail) == (Outcome.DEGRADED, "slower than 20 ms")
    assert wrong.outcome == Outcome.FAILING


async def test_redirects() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(status=302, headers={"Location": "/login"})
        return web.Response(text="Log in")

    assert await outcome_of(handler, keyword="Log in") == UP
    assert await outcome_of(handler, redirects="none") == (Outcome.FAILING, "answered 302")
    assert await outcome_of(handler, redirects="none", expected=[302]) == UP


async def test_a_redirect_to_metadata_is_refused() -> None:
    outcome, detail = await outcome_of(answering(status=302, headers={"Location": "http://169.254.169.254/latest/"}))

    assert outcome == Outcome.UNREACHABLE
    assert detail.startswith("the address 169.254.169.254 is refused")


# --- No answer -----------------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    found = await ask("http", f"http://127.0.0.1:{peers.closed_port()}/")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "connection refused")


async def test_no_such_name() -> None:
    found = await ask("http", "http://nowhere.invalid/")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "the name nowhere.invalid can't be resolved")


async def test_silence() -> None:
    async with peers.tcp_server(peers.silence) as port:
        found = await ask("http", f"http://127.0.0.1:{port}/", timeout=0.1)

    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no answer within 0.1 s")


async def test_something_else_than_http() -> None:
    async with peers.tcp_server(peers.saying(b"SSH-2.0-OpenSSH\r\n\r\n")) as port:
        found = await ask("http", f"http://127.0.0.1:{port}/")

    assert (found.outcome, found.detail) == (Outcome.FAILING, "the answer is not HTTP")


# --- Certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "options", "outcome"),
    [
        (90, {}, Outcome.UP),
        (10, {}, Outcome.DEGRADED),
        (10, {"warn_days": 5}, Outcome.UP),
        (10, {"warn_days": 0}, Outcome.UP),
        (90, {"keyword": "missing"}, Outcome.FAILING),
    ],
)
async def test_the_end_of_a_certificate(days: int, options: dict[str, Any], outcome: Outcome) -> None:
    made = peers.certificate(days=days)
    async with peers.http_server(answering(), made.server) as url:
        found = await ask("http", url, ca=made.pem, **options)

    assert found.expires_at == made.expires_at
    assert found.outcome == outcome
    if outcome == Outcome.DEGRADED:
        assert found.detail == f"certificate expires on {made.expires_at:%Y-%m-%d}"


async def test_a_certificate_that_is_not_trusted() -> None:
    made = peers.certificate(days=90)
    async with peers.http_server(answering(), made.server) as url:
        found = await ask("http", url)
        trusting = await ask("http", url, verify=False)

    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "certificate is self-signed")
    assert (trusting.outcome, trusting.expires_at) == (Outcome.UP, made.expires_at)


# --- Sizes ---------------------------------------------------------------------------------------------------------


async def test_a_bomb_does_no_harm() -> None:
    bomb = gzip.compress(bytes(50 << 20))

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with peers.http_server(handler) as url:
        found = await ask("http", url)
        searched = await ask("http", url, keyword="x")
        unwanted = await ask("http", url, keyword_absent="x")
        parsed = await ask("http", url, json=[{"path": "x"}])

    assert found.outcome == Outcome.UP
    assert len(found.raw) <= RAW_MAX
    assert searched.detail == "the keyword is not in the answer, which is too long to be read whole"
    assert unwanted.detail == "the answer is too long to look for the unwanted keyword"
    assert parsed.detail == "the answer is too long for JSON"


async def test_many_and_long_headers_do_no_harm() -> None:
    many = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1_000) for number in range(5_000))
    async with peers.tcp_server(peers.saying(b"HTTP/1.1 200 OK\r\n" + many + b"Content-Length: 0\r\n\r\n")) as port:
        found = await ask("http", f"http://127.0.0.1:{port}/")

    assert len(found.raw) <= RAW_MAX
    assert len(found.detail) <= 300


# --- Secrets -------------------------------------------------------------------------------------------------------


async def test_an_answer_that_echoes_the_secrets_shows_none() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        said = {"headers": dict(request.headers), "body": await request.text(), "ok": True}
        return web.json_response(said, headers={"Set-Cookie": "session=c00kie", "X-Echo": request.headers["X-Token"]})

    secrets = {
        "headers": {"X-Token": 't0ken "quoted"', "X-Bearer": "Bearer abcdef123456"},
        "username": "robot",
        "password": "p4ssword",
        "body": "login=hunter22",
    }
    async with peers.http_server(echo) as url:
        found = await ask("http", url, method="POST", secrets=secrets)

    assert found.outcome == Outcome.UP
    assert '"ok": true' in found.raw
    for secret in ("t0ken", "quoted", "abcdef123456", "p4ssword", "hunter22", "c00kie", "cm9ib3Q6cDRzc3dvcmQ="):
        assert secret not in found.raw


async def test_passwords_in_what_is_answered_are_hidden() -> None:
    async with peers.http_server(answering("can't connect to postgres://app:hunter22@db/app")) as url:
        found = await ask("http", url)

    assert "hunter22" not in found.raw
    assert "postgres://app:•••@db/app" in found.raw
