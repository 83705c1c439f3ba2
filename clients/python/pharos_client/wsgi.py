"""Middleware for WSGI: Flask, Bottle, Pyramid.

In Flask it is `app.wsgi_app = PharosMiddleware(app.wsgi_app)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pharos_client import metrics
from pharos_client.context import fresh_context
from pharos_client.requests import Exchange, identity

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class PharosMiddleware:
    """Gives each request an id, answers with it as X-Request-ID, and writes its lines."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        named = identity(lambda name: environ.get(f"HTTP_{name.upper().replace('-', '_')}"))
        with fresh_context(**named):
            path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
            exchange = Exchange(environ.get("REQUEST_METHOD", ""), path, environ.get("REMOTE_ADDR", ""))
            status = 500

            def start(line: str, headers: list[tuple[str, str]], *error: Any) -> Any:
                nonlocal status
                status = int(line.split(" ", 1)[0])
                kept = [pair for pair in headers if pair[0].lower() != "x-request-id"]
                return start_response(line, [*kept, ("X-Request-ID", named["request_id"])], *error)

            try:
                body = self.app(environ, start)
            except Exception as error:
                exchange.answered(500, error)
                raise
        return _Body(body, named, lambda error=None: exchange.answered(500 if error else status, error))


class _Body:
    """The answer's body, made within the request's context. Its end is the end of the request."""

    def __init__(self, body: Iterable[bytes], named: dict[str, str], end: Callable[..., None]) -> None:
        self._body, self._named, self._end = body, named, end
        self._parts: Iterator[bytes] | None = None
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with fresh_context(**self._named):
            try:
                self._parts = self._parts or iter(self._body)
                return next(self._parts)
            except StopIteration:
                raise
            except Exception as error:
                self._error = error
                raise

    def close(self) -> None:
        with fresh_context(**self._named):
            try:
                if close := getattr(self._body, "close", None):
                    close()
            finally:
                self._end(self._error)


class MetricsMiddleware:
    """Counts requests, and answers `GET /metrics` with the numbers (`path`; None: somebody else does).

    `route` gives the template of a request's address; the default knows where Flask leaves it.
    """

    def __init__(
        self,
        app: App,
        path: str | None = "/metrics",
        route: Callable[[Environ], str | None] | None = None,
        registry: metrics.Registry = metrics.registry,
    ) -> None:
        self.app, self._path, self._route = app, path, route or _route
        self._requests = metrics.Requests(registry)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") == self._path:
            start_response("200 OK", [("Content-Type", metrics.CONTENT_TYPE)])
            return [self._requests.registry.text().encode()]
        ended, status = self._requests.begun(), 500

        def start(line: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            return start_response(line, headers, *error)

        def end(error: BaseException | None = None) -> None:
            ended(environ.get("REQUEST_METHOD", ""), self._route(environ), 500 if error else status, error)

        try:
            body = self.app(environ, start)
        except Exception as error:
            end(error)
            raise
        return _Counted(body, end)


class _Counted:
    """The answer's body: its end is the end of the request."""

    def __init__(self, body: Iterable[bytes], end: Callable[..., None]) -> None:
        self._body, self._parts, self._end = body, iter(body), end
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise

    def close(self) -> None:
        try:
            if close := getattr(self._body, "close", None):
                close()
        finally:
            self._end(self._error)


def _route(environ: Environ) -> str | None:
    # Werkzeug leaves the request in the environment, Flask the rule that matched in the request.
    return getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
