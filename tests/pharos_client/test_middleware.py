"""The id and the lines of a request, in Django, ASGI and WSGI."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from django.contrib.auth import authenticate, get_user_model, signals
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from pharos_client import PharosHandler, asgi, wsgi
from pharos_client import django as for_django
from pharos_client.context import current
from pharos_client.events import login_failed, operation
from pharos_client.requests import identity

from tests.pharos_client.receiving import Gathered

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"x-request-id": "r-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
log = logging.getLogger("shop")


@pytest.fixture
def gathered() -> Iterator[Gathered]:
    handler = PharosHandler("shop", environment="development")
    gathered = handler.way = Gathered()
    loggers = [log, logging.getLogger("pharos_client")]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.DEBUG)
    yield gathered
    for each in loggers:
        each.removeHandler(handler)
        each.setLevel(logging.NOTSET)


def wants(gathered: Gathered, *messages: str, request_id: str = "r-1") -> None:
    found = [line["message"].rpartition(" in ")[0] or line["message"] for line in gathered.lines]
    assert found == list(messages)
    assert {line["request_id"] for line in gathered.lines} == {request_id}
    assert current() == {}


# --- WSGI ----------------------------------------------------------------------------------------------------------


def call(app: Callable[..., Any], path: str = "/orders", **headers: str) -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {f"HTTP_{name.upper()}": value for name, value in headers.items()} | {"PATH_INFO": path}
    setup_testing_defaults(environ)
    answer: list[Any] = []
    body = app(environ, lambda *given: answer.extend(given))
    try:
        content = b"".join(body)
    finally:
        body.close()
    return answer[0], dict(answer[1]), content


def shop(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("x-request-id", "its own")])
    log.info("looking")
    yield b"no"
    log.info("still looking")
    yield b"ne"


def test_wsgi_ties_the_lines_of_a_request_together(gathered: Gathered) -> None:
    status, headers, body = call(
        wsgi.PharosMiddleware(shop), x_request_id="r-1", traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"
    )
    assert (status, body) == ("404 Not Found", b"none")
    assert headers == {"Content-Type": "text/plain", "X-Request-ID": "r-1"}
    wants(gathered, "GET /orders", "looking", "still looking", "GET /orders → 404")
    last = gathered.lines[-1]
    assert (last["trace_id"], last["span_id"]) == (TRACE, "00f067aa0ba902b7")
    assert {**last["metadata"], "duration_ms": 0} == {
        "method": "GET", "endpoint": "/orders", "status": 404, "duration_ms": 0,
    }  # fmt: skip


def test_wsgi_logs_what_was_raised(gathered: Gathered) -> None:
    def broken(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        call(wsgi.PharosMiddleware(broken), x_request_id="r-1")
    assert gathered.lines[-1]["error"]["message"] == "too late"
    assert gathered.lines[-1]["level"] == "error"

    def refusing(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        call(wsgi.PharosMiddleware(refusing))
    assert gathered.lines[-1]["error"]["message"] == "at once"
    assert current() == {}


# --- ASGI ----------------------------------------------------------------------------------------------------------


async def test_asgi_ties_the_lines_of_a_request_together(gathered: Gathered) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.info("working")
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-request-id", b"its own")]})
        await send({"type": "http.response.body", "body": b"made"})

    transport = httpx.ASGITransport(asgi.PharosMiddleware(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        answer = await client.post("/orders", headers=HEADERS)
    assert answer.headers.get_list("x-request-id") == ["r-1"]
    wants(gathered, "POST /orders", "working", "POST /orders → 201")
    assert gathered.lines[-1]["trace_id"] == TRACE
    assert gathered.lines[-1]["metadata"]["duration_ms"] >= 0


async def test_asgi_logs_what_was_raised(gathered: Gathered) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise OSError("disk")

    transport = httpx.ASGITransport(asgi.PharosMiddleware(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        with pytest.raises(OSError, match="disk"):
            await client.get("/", headers=HEADERS)
    wants(gathered, "GET /", "GET / → 500")
    assert gathered.lines[-1]["error"]["name"] == "OSError"


async def test_asgi_leaves_other_scopes_alone(gathered: Gathered) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], dict(current())))

    middleware = asgi.PharosMiddleware(app)
    await middleware({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    await middleware({"type": "websocket", "headers": [(b"x-request-id", b"r-2")]}, None, None)  # type: ignore[arg-type]
    assert seen == [("lifespan", {}), ("websocket", {"request_id": "r-2"})]
    assert gathered.lines == []


# --- Django --------------------------------------------------------------------------------------------------------


def test_django_ties_the_lines_of_a_request_together(gathered: Gathered) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        log.info("working")
        return HttpResponse("no", status=403)

    response = for_django.request_log(view)(RequestFactory().get("/orders", headers=HEADERS))
    assert isinstance(response, HttpResponse)
    assert response["X-Request-ID"] == "r-1"
    wants(gathered, "GET /orders", "working", "GET /orders → 403")
    assert gathered.lines[-1]["level"] == "warn"


async def test_django_does_so_in_coroutines(gathered: Gathered) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        log.info("working")
        return HttpResponse()

    answer: Any = for_django.request_log(view)(AsyncRequestFactory().get("/orders", headers=HEADERS))
    assert (await answer)["X-Request-ID"] == "r-1"
    wants(gathered, "GET /orders", "working", "GET /orders → 200")


@pytest.mark.django_db
def test_a_failed_login_is_three_lines(gathered: Gathered) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        user = authenticate(request, username="ann", password="wrong")
        return HttpResponse(status=200 if user else 401)

    for_django.log_sign_ins()
    try:
        for_django.request_log(view)(RequestFactory().post("/login", headers=HEADERS))
    finally:
        for signal in (signals.user_logged_in, signals.user_login_failed, signals.user_logged_out):
            assert signal.disconnect(dispatch_uid="pharos_client")
    wants(gathered, "POST /login", "Failed login of ann", "POST /login → 401")
    assert gathered.lines[1]["metadata"]["event_type"] == "login_failed"
    assert "wrong" not in str(gathered.lines)


@pytest.mark.django_db
def test_sign_ins_and_outs_are_lines(gathered: Gathered) -> None:
    ann = get_user_model().objects.create_user("ann")
    for_django._logged_in(ann)
    for_django._logged_out(ann)
    for_django._logged_out(None)
    assert [line["message"] for line in gathered.lines] == ["Login of ann", "Logout of ann"]


# --- Ids and events ------------------------------------------------------------------------------------------------


def test_an_id_that_is_none_gets_replaced() -> None:
    found = identity({"x-request-id": "<script>", "traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}.get)
    assert len(found["request_id"]) == 16
    assert list(found) == ["request_id"]
    assert identity({"x-correlation-id": "c-1"}.get) == {"request_id": "c-1"}


def test_events_are_in_the_same_words_everywhere(gathered: Gathered) -> None:
    login_failed("ann", "wrong password")
    operation("delete", "receipt r-7", user="ann")
    assert gathered.lines[0]["metadata"] == {"event_type": "login_failed", "user": "ann", "reason": "wrong password"}
    assert gathered.lines[1]["message"] == "delete receipt r-7"
    assert gathered.lines[1]["metadata"] == {
        "user": "ann", "event_type": "operation", "action": "delete", "target": "receipt r-7",
    }  # fmt: skip
