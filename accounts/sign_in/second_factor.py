"""PHAROS_REQUIRE_MFA: people without a second factor are led to set one up first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware

from accounts.sign_in.adapters import has_second_factor

Application = Callable[[Any, Any, Any], Awaitable[None]]

# What one needs to set it up. Static files and senders of lines don't come this way.
OPEN: Final = ("/account/", "/login/", "/logout/", "/health/", "/status/", "/ready")
# allauth's record of the ways in that this session took.
WAYS: Final = "account_authentication_methods"


def lacks(user: Any, session: Mapping[str, Any]) -> bool:
    """Whether the session's user must set up a second factor first. A provider of single sign-on asks for its own."""
    if not settings.REQUIRE_MFA or not user.is_authenticated:
        return False
    if any(way.get("method") == "socialaccount" for way in session.get(WAYS) or []):
        return False
    return not has_second_factor(user)


@sync_and_async_middleware
def lead_to_setup(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            return await sync_to_async(_elsewhere)(request) or await get_response(request)

        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        return _elsewhere(request) or get_response(request)

    return handle


def _elsewhere(request: HttpRequest) -> HttpResponse | None:
    if request.path.startswith(OPEN) or settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    if not lacks(request.user, request.session):
        return None
    if "HX-Request" in request.headers:
        answer = HttpResponse(status=403)
        answer["HX-Redirect"] = reverse("account")
        return answer
    return redirect("account")


def with_second_factor(application: Application) -> Application:
    """WebSockets don't come through Django's middleware. `scope` must have the session and its user."""

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        if settings.REQUIRE_MFA and await sync_to_async(lacks)(scope["user"], scope["session"]):
            await send({"type": "websocket.close"})
        else:
            await application(scope, receive, send)

    return asked
