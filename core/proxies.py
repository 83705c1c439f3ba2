"""Behind a proxy the connection is the proxy's. Who asks, and whether by HTTPS, is in headers that the proxy sets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

Application = Callable[[Any, Any, Any], Awaitable[None]]

SECURE: Final = {"http": "https", "websocket": "wss"}


def behind(application: Application, proxies: int) -> Application:
    """The application as its own proxies' clients see it.

    Each proxy adds the address that it was asked from to the end of X-Forwarded-For, so what counts from the end is
    theirs; what a client wrote there itself stands before it and is never believed. X-Forwarded-Proto is the last
    proxy's to set.
    """
    if not proxies:
        return application

    async def forwarded(scope: Any, receive: Any, send: Any) -> None:
        await application(as_asked(scope, proxies), receive, send)

    return forwarded


def as_asked(scope: Any, proxies: int) -> Any:
    if scope["type"] not in SECURE:
        return scope
    found = {**scope}
    addresses = [each.strip() for each in _values(scope, b"x-forwarded-for") if each.strip()]
    if len(addresses) >= proxies:
        found["client"] = [_without_port(addresses[-proxies]), 0]
    if [each.strip().lower() for each in _values(scope, b"x-forwarded-proto")][-1:] in (["https"], ["wss"]):
        found["scheme"] = SECURE[scope["type"]]
    return found


def _values(scope: Any, wanted: bytes) -> list[str]:
    return [part for name, value in scope["headers"] if name == wanted for part in value.decode("latin-1").split(",")]


def _without_port(address: str) -> str:
    """`10.0.0.1:4711` and `[fd00::1]:4711` as some proxies write them."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
