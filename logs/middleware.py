"""A line for each request, and an id that ties together all lines written on its behalf."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from logs import context, meters

log = logging.getLogger("monitor.request")

# Asked by machines every few seconds: of interest when they fail, or to a developer.
POLLED: Final = ("/health/", "/status/", "/api/logs", "/logs/chart/")

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


@sync_and_async_middleware
def request_log(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Answer]:
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            began = _begin(request)
            return _end(request, await get_response(request), began)

        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        began = _begin(request)
        return _end(request, get_response(request), began)

    return handle


def _begin(request: HttpRequest) -> float:
    context.adopt({name.lower(): value for name, value in request.headers.items()})
    return time.perf_counter()


def _end(request: HttpRequest, response: HttpResponseBase, began: float) -> HttpResponseBase:
    response["X-Request-ID"] = context.request_id.get()
    seconds = time.perf_counter() - began
    meters.count_request(_view(request), response.status_code, seconds)
    milliseconds = round(seconds * 1_000, 1)
    user = getattr(request, "user", None)
    log.log(
        _level(request, response.status_code),
        "%s %s → %s in %s ms",
        request.method,
        request.path,
        response.status_code,
        milliseconds,
        extra={
            "method": request.method,
            "endpoint": request.path,
            "status": response.status_code,
            "duration_ms": milliseconds,
            # Asking whether the session has a user would load it; a view that cared has done so.
            "user": _name_if_loaded(user),
            "client": request.META.get("REMOTE_ADDR", ""),
        },
    )
    return response


def _view(request: HttpRequest) -> str:
    """Names, of which there are so many as there are views: an address may be anything."""
    match = request.resolver_match
    if match is None:
        return "unknown"
    return "admin" if match.app_name == "admin" else match.view_name or "unnamed"


def _name_if_loaded(user: Any) -> str:
    get_username = getattr(getattr(user, "_wrapped", None), "get_username", None)
    return str(get_username()) if get_username else ""


def _level(request: HttpRequest, status: int) -> int:
    if request.path.startswith("/health/"):
        return logging.DEBUG  # "not ready" is its answer, not its failure
    if status >= 500:
        return logging.ERROR
    if status in (401, 403, 429):
        return logging.WARNING
    refreshed = request.path == "/" and "hx-request" in request.headers
    return logging.DEBUG if refreshed or request.path.startswith(POLLED) else logging.INFO
