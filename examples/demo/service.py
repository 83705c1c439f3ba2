"""What the five share: an HTTP server with health, metrics and request ids, and calls from one to another."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socketserver
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import redis
from pharos_client import PharosHandler, configure, context
from pharos_client.wsgi import MetricsMiddleware, PharosMiddleware

from examples.demo import breaking, fleet

Route = Callable[[dict[str, Any]], dict[str, Any]]
Health = tuple[bool, dict[str, Any]]
Check = Callable[[], object]  # raises if what it looks at can't be used
NOWHERE = f"redis://{fleet.HOST}:1/0"


# --- Answering -----------------------------------------------------------------------------------------------------


class App:
    """A WSGI application: `routes` by "POST /receipts", with the JSON of a request in and that of an answer out."""

    def __init__(self, routes: Mapping[str, Route], ready: Callable[[], Health]) -> None:
        self._routes, self._ready = routes, ready
        self._counted = MetricsMiddleware(
            self._work, route=lambda environ: self._found(environ) and environ["PATH_INFO"]
        )
        self._logged = PharosMiddleware(self._counted)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/health/live":
            return _answer(start_response, "200 OK", {"status": "alive"})
        if path == "/health/ready":
            is_ready, body = self._ready()
            return _answer(start_response, "200 OK" if is_ready else "503 Service Unavailable", body)
        if path == "/metrics":
            return self._counted(environ, start_response)
        try:
            return self._logged(environ, start_response)
        except Exception as error:  # noqa: BLE001 - the middlewares have told of it
            return _answer(start_response, "500 Internal Server Error", {"error": f"{type(error).__name__}: {error}"})

    def _work(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if route := self._found(environ):
            sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _answer(start_response, "200 OK", self._routes[route](json.loads(sent or b"{}")))
        return _answer(start_response, "404 Not Found", {"error": "there is nothing here"})

    def _found(self, environ: dict[str, Any]) -> str | None:
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        return asked if asked in self._routes else None

    def _template(self, environ: dict[str, Any]) -> str | None:
        return environ["PATH_INFO"] if self._found(environ) else None


def _answer(start_response: Callable[..., Any], status: str, body: dict[str, Any]) -> list[bytes]:
    data = json.dumps(body).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, *arguments: object) -> None: ...  # the middleware logs


def serve(name: str, app: App) -> None:
    """Until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with make_server(fleet.HOST, fleet.port(name), app, _Server, _Handler) as server:
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            sys.exit(0)


# --- Health --------------------------------------------------------------------------------------------------------


def graded(**checks: Check) -> Health:
    """{"status": "healthy" | "degraded" | "unhealthy", "checks": {"database": {"status", "latency" in ms}}, …}"""
    found = {name: _measured(check) for name, check in checks.items()}
    bad = [name for name, each in found.items() if each["status"] != "healthy"]
    status = "healthy" if not bad else "unhealthy" if "database" in bad else "degraded"
    return not bad, {"status": status, "timestamp": _now(), "version": fleet.VERSION, "checks": found}


def _measured(check: Check) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it can't be used
        return {"status": "unhealthy", "error": f"{type(error).__name__}: {error}"}
    return {"status": "healthy", "latency": round((time.perf_counter() - began) * 1_000, 2)}


def ready_or_not(**checks: Check) -> Health:
    """{"status": "ready" | "not_ready", "checks": {"redis": "healthy" | "unhealthy" | "unknown"}, …}

    What can't be known, because of something before it, raises LookupError.
    """
    found = {name: _word(check) for name, check in checks.items()}
    is_ready = set(found.values()) <= {"healthy"}
    return is_ready, {"status": "ready" if is_ready else "not_ready", "checks": found, "timestamp": _now()}


def _word(check: Check) -> str:
    try:
        check()
    except LookupError:
        return "unknown"
    except Exception:  # noqa: BLE001 - see above
        return "unhealthy"
    return "healthy"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- What they use -------------------------------------------------------------------------------------------------


def logging_to_pharos(name: str) -> PharosHandler:
    """A handler on the root logger, for the Redis in PHAROS_REDIS_URL."""
    return configure(name, stream=os.environ.get("PHAROS_LOG_STREAM"))


def queue() -> redis.Redis:
    """The Redis of the receipts; a wrong address while `redis` is broken."""
    url = NOWHERE if breaking.is_broken("redis") else os.environ["PHAROS_REDIS_URL"]
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, decode_responses=True)


def call(name: str, path: str, body: dict[str, Any], timeout: float = 3.0) -> dict[str, Any]:
    """POST to another service, with the id of the request at hand. Raises TimeoutError or ConnectionError."""
    headers = {"Content-Type": "application/json", "X-Request-ID": str(context.current().get("request_id", ""))}
    connection = http.client.HTTPConnection(fleet.HOST, fleet.port(name), timeout=timeout)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        content: dict[str, Any] = json.loads(answer.read(1 << 20))
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"{name} can't be reached ({type(error).__name__}: {error})") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise ConnectionError(f"{name} answered {answer.status}: {content.get('error')}")
    return content
