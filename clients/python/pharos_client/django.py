"""Middleware and sign-ins for Django.

`pharos_client.django.request_log` comes first in MIDDLEWARE, `request_metrics` after it. `metrics` is the view that
shows what was counted.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.contrib.auth import signals
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from pharos_client import events
from pharos_client import metrics as numbers
from pharos_client.context import fresh_context
from pharos_client.requests import Exchange, identity

_requests = numbers.Requests()
Answer = HttpResponseBase | Awaitable[HttpResponseBase]


@sync_and_async_middleware
def request_log(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Answer]:
    """Gives each request an id, answers with it as X-Request-ID, and writes its lines."""
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            named = identity(request.headers.get)
            with fresh_context(**named):
                exchange = _begun(request)
                return _ended(request, await get_response(request), named["request_id"], exchange)

        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        named = identity(request.headers.get)
        with fresh_context(**named):
            exchange = _begun(request)
            return _ended(request, get_response(request), named["request_id"], exchange)

    return handle


def _begun(request: HttpRequest) -> Exchange:
    return Exchange(request.method or "", request.path, request.META.get("REMOTE_ADDR", ""))


def _ended(request: HttpRequest, response: HttpResponseBase, request_id: str, exchange: Exchange) -> HttpResponseBase:
    response["X-Request-ID"] = request_id
    user = _user_if_loaded(request)
    exchange.answered(response.status_code, more={"user": user} if user else None)
    return response


def _user_if_loaded(request: HttpRequest) -> str:
    # Asking whether the session has a user would load it; a view that cared has done so.
    user = getattr(request, "user", None)
    get_username = getattr(getattr(user, "_wrapped", user), "get_username", None)
    return str(get_username()) if get_username else ""


@sync_and_async_middleware
def request_metrics(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Answer]:
    """Counts requests, their time, and what was raised."""
    # Django makes an answer of an exception before any middleware sees it.
    got_request_exception.connect(_raised, dispatch_uid="pharos_client")
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            ended, status = _requests.begun(), 500
            try:
                response: HttpResponseBase = await get_response(request)
                status = response.status_code
                return response
            finally:
                ended(request.method or "", _route(request), status)

        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        ended, status = _requests.begun(), 500
        try:
            response: HttpResponseBase = get_response(request)
            status = response.status_code
            return response
        finally:
            ended(request.method or "", _route(request), status)

    return handle


def _raised(request: HttpRequest | None = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    if request is not None and error is not None:
        _requests.failed(request.method or "", _route(request), error)


def _route(request: HttpRequest) -> str | None:
    return f"/{request.resolver_match.route}" if request.resolver_match else None


def metrics(request: HttpRequest) -> HttpResponse:
    """`path("metrics", pharos_client.django.metrics)`"""
    return HttpResponse(numbers.registry.text(), content_type=numbers.CONTENT_TYPE)


def log_sign_ins() -> None:
    """A line for each login, failed login and logout of django.contrib.auth. Call it in an AppConfig's `ready`."""
    signals.user_logged_in.connect(_logged_in, dispatch_uid="pharos_client")
    signals.user_login_failed.connect(_login_failed, dispatch_uid="pharos_client")
    signals.user_logged_out.connect(_logged_out, dispatch_uid="pharos_client")


def _logged_in(user: Any, **_: Any) -> None:
    events.login_succeeded(user.get_username())


def _login_failed(credentials: dict[str, Any], **_: Any) -> None:
    events.login_failed(str(credentials.get("username", "")))


def _logged_out(user: Any, **_: Any) -> None:
    if user is not None:
        events.logged_out(user.get_username())
