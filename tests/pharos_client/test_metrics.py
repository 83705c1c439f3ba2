"""What the client counts, and how it tells."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from pharos_client import asgi, metrics, wsgi
from pharos_client import django as for_django
from pharos_client.metrics import SERIES, Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


def values(text: str) -> dict[str, float]:
    """Each series with its value."""
    return {name: float(value) for name, value in re.findall(r"^([^#].*) (\S+)$", text, re.MULTILINE)}


# --- The format ----------------------------------------------------------------------------------------------------


def test_numbers_are_told_in_the_format_of_prometheus(registry: Registry) -> None:
    orders = registry.counter("orders_total", "Orders\nthat were placed.", "shop")
    orders.add(shop='the "old" \\ shop\n')
    orders.add(2, shop="milan")
    registry.gauge("queue_length", "What waits.").set(7)
    seconds = registry.histogram("work_seconds", "Time.", "kind", buckets=[0.1, 1.0])
    for value in (0.05, 0.1, 0.5, 3.0):
        seconds.observe(value, kind="ocr")
    assert registry.text() == (
        "# HELP orders_total Orders\\nthat were placed.\n"
        "# TYPE orders_total counter\n"
        'orders_total{shop="milan"} 2\n'
        'orders_total{shop="the \\"old\\" \\\\ shop\\n"} 1\n'
        "# HELP queue_length What waits.\n"
        "# TYPE queue_length gauge\n"
        "queue_length 7\n"
        "# HELP work_seconds Time.\n"
        "# TYPE work_seconds histogram\n"
        'work_seconds_bucket{kind="ocr",le="0.1"} 2\n'
        'work_seconds_bucket{kind="ocr",le="1.0"} 3\n'
        'work_seconds_bucket{kind="ocr",le="+Inf"} 4\n'
        'work_seconds_sum{kind="ocr"} 3.65\n'
        'work_seconds_count{kind="ocr"} 4\n'
    )


@pytest.mark.prometheus
def test_promtool_has_nothing_against_it(registry: Registry) -> None:
    metrics.Requests(registry).begun()("GET", "/orders/<id>", 500, ValueError("x"))
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=registry.text(), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_there_are_never_too_many_series(registry: Registry) -> None:
    counter = registry.counter("logins_total", "Logins.", "user")
    for number in range(SERIES + 100):
        counter.add(user=number)
    found = values(registry.text())
    assert len(found) == SERIES + 1
    assert found['logins_total{user="other"}'] == 100


def test_a_metric_is_there_once(registry: Registry) -> None:
    assert registry.counter("a_total", "A.", "x") is registry.counter("a_total", "A.", "x")
    with pytest.raises(ValueError, match="it is a counter of"):
        registry.gauge("a_total", "A.", "x")
    with pytest.raises(ValueError, match="expected a name of letters"):
        registry.counter("a-b", "A.")


# --- The middlewares -----------------------------------------------------------------------------------------------


def of_requests(registry: Registry) -> dict[str, float]:
    """Without the histogram, whose times are nobody's business here."""
    return {name: value for name, value in values(registry.text()).items() if "duration" not in name}


async def test_asgi_counts_by_route(registry: Registry) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/broken":
            raise OSError("disk")
        scope["route"] = SimpleNamespace(path="/orders/{id}")  # as FastAPI does
        assert values(registry.text())["http_requests_in_progress"] == 1
        await send({"type": "http.response.start", "status": 201})
        await send({"type": "http.response.body", "body": b"made"})

    transport = httpx.ASGITransport(asgi.MetricsMiddleware(app, registry=registry))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        for number in range(3):
            await client.post(f"/orders/{number}")
        with pytest.raises(OSError, match="disk"):
            await client.request("BREW", "/broken")
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text == registry.text()
    assert of_requests(registry) == {
        'http_requests_total{method="POST",route="/orders/{id}",status="201"}': 3,
        'http_requests_total{method="other",route="unmatched",status="500"}': 1,
        'http_request_exceptions_total{method="other",route="unmatched",type="OSError"}': 1,
        "http_requests_in_progress": 0,
    }
    assert values(answer.text)['http_request_duration_seconds_count{method="POST",route="/orders/{id}"}'] == 3


def call(app: Callable[..., Any], address: str) -> bytes:
    environ: dict[str, Any] = {"PATH_INFO": address}
    setup_testing_defaults(environ)
    body = app(environ, lambda *given: None)
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def test_wsgi_counts_until_the_end_of_the_body(registry: Registry) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        rule = SimpleNamespace(rule="/orders/<id>")
        environ["werkzeug.request"] = SimpleNamespace(url_rule=rule)  # as Flask does
        start_response("200 OK", [])
        yield b"a"
        assert values(registry.text())["http_requests_in_progress"] == 1
        if environ["PATH_INFO"] == "/orders/2":
            raise ValueError("too late")

    counted = wsgi.MetricsMiddleware(app, registry=registry)
    assert call(counted, "/orders/1") == b"a"
    with pytest.raises(ValueError, match="too late"):
        call(counted, "/orders/2")
    assert call(counted, "/metrics").decode() == registry.text()
    assert of_requests(registry) == {
        'http_requests_total{method="GET",route="/orders/<id>",status="200"}': 1,
        'http_requests_total{method="GET",route="/orders/<id>",status="500"}': 1,
        'http_request_exceptions_total{method="GET",route="/orders/<id>",type="ValueError"}': 1,
        "http_requests_in_progress": 0,
    }


def test_wsgi_counts_what_is_raised_at_once_and_asks_for_the_route(registry: Registry) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raise KeyError("at once")

    counted = wsgi.MetricsMiddleware(app, path=None, route=lambda environ: "/mine", registry=registry)
    with pytest.raises(KeyError):
        call(counted, "/metrics")
    assert of_requests(registry)['http_request_exceptions_total{method="GET",route="/mine",type="KeyError"}'] == 1


def order(request: HttpRequest, number: int) -> HttpResponse:
    if number == 13:
        raise LookupError("no such order")
    return HttpResponse(str(number))


urlpatterns = [path("orders/<int:number>", order), path("metrics", for_django.metrics)]
DJANGO = {"ROOT_URLCONF": __name__, "MIDDLEWARE": ["pharos_client.django.request_metrics"]}


def test_django_counts_by_route(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.setattr(for_django, "_requests", metrics.Requests(registry))
    monkeypatch.setattr(metrics, "registry", registry)
    with override_settings(**DJANGO):
        client = Client(raise_request_exception=False)
        for address in ("/orders/1", "/orders/2", "/orders/13", "/nowhere"):
            client.get(address)
        answer = client.get("/metrics")
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert values(answer.content.decode())["http_requests_in_progress"] == 1  # its own
    assert of_requests(registry) == {
        'http_requests_total{method="GET",route="/orders/<int:number>",status="200"}': 2,
        'http_requests_total{method="GET",route="/orders/<int:number>",status="500"}': 1,
        'http_requests_total{method="GET",route="unmatched",status="404"}': 1,
        'http_requests_total{method="GET",route="/metrics",status="200"}': 1,
        'http_request_exceptions_total{method="GET",route="/orders/<int:number>",type="LookupError"}': 1,
        "http_requests_in_progress": 0,
    }


async def test_django_does_so_in_coroutines(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.setattr(for_django, "_requests", metrics.Requests(registry))
    with override_settings(**DJANGO):
        await AsyncClient().get("/orders/1")
    assert of_requests(registry)['http_requests_total{method="GET",route="/orders/<int:number>",status="200"}'] == 1
