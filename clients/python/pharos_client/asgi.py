"""Middleware for ASGI: FastAPI, Starlette, Quart, Litestar.

There it is `app.add_middleware(PharosMiddleware)`, elsewhere `app = PharosMiddleware(app)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pharos_client import metrics
from pharos_client.context import fresh_context
from pharos_client.requests import Exchange, identity

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class PharosMiddleware:
    """Gives each HTTP request an id, answers with it as X-Request-ID, and writes its lines."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        named = identity(headers.get)
        with fresh_context(**named):
            if scope["type"] == "websocket":
                await self.app(scope, receive, send)
            else:
                await self._http(named["request_id"], scope, receive, send)

    async def _http(self, request_id: str, scope: Message, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope["method"], scope["path"], (scope.get("client") or ("",))[0])
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() != b"x-request-id"]
                message["headers"] = [*kept, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception as error:
            exchange.answered(500, error)
            raise
        exchange.answered(status)


class MetricsMiddleware:
    """Counts HTTP requests, and answers `GET /metrics` with the numbers (`path`; None: somebody else does).

    `route` gives the template of a request's address; the default knows where FastAPI leaves it.
    """

    def __init__(
        self,
        app: App,
        path: str | None = "/metrics",
        route: Callable[[Message], str | None] | None = None,
        registry: metrics.Registry = metrics.registry,
    ) -> None:
        self.app, self._path, self._route = app, path, route or _route
        self._requests = metrics.Requests(registry)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == self._path:
            await _tell(self._requests.registry.text(), send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Message, receive: Receive, send: Send) -> None:
        ended, status, error = self._requests.begun(), 500, None

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception as raised:
            status, error = 500, raised
            raise
        finally:
            ended(scope["method"], self._route(scope), status, error)


def _route(scope: Message) -> str | None:
    return getattr(scope.get("route"), "path", None)


async def _tell(text: str, send: Send) -> None:
    headers = [(b"content-type", metrics.CONTENT_TYPE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
