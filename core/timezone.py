"""Times are shown in the zone that the reader has chosen (`accounts.preferences`), else in that of the browser. Both
stand in cookies, so nothing is asked for it: the browser writes the one (static/pharos/shell.js), the answer to a
choice or to a sign-in the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware

COOKIE: Final = "pharos_tz"
CHOSEN: Final = "pharos_tz_chosen"
CHOSEN_FOR: Final = 365 * 24 * 3600  # seconds
UTC: Final = ZoneInfo("UTC")


@cache
def known() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(cookies: Mapping[str, str]) -> ZoneInfo:
    """The zone the cookies name; UTC without one, or when they name none (they are the client's to write)."""
    names = (cookies.get(cookie, "") for cookie in (CHOSEN, COOKIE))
    return next((ZoneInfo(name) for name in names if name in known()), UTC)


def choose(request: HttpRequest, name: str) -> None:
    """The answer to this request takes along what the reader has chosen; "" for nothing."""
    request.chosen_zone = name  # type: ignore[attr-defined]


def _answer(request: HttpRequest, response: Any) -> Any:
    name = getattr(request, "chosen_zone", None)
    if name:
        response.set_cookie(CHOSEN, name, max_age=CHOSEN_FOR, samesite="Lax", secure=request.is_secure(), httponly=True)
    elif name is not None and CHOSEN in request.COOKIES:
        response.delete_cookie(CHOSEN, samesite="Lax")
    return response


@sync_and_async_middleware
def reader_timezone(get_response: Any) -> Any:
    if iscoroutinefunction(get_response):

        async def in_zone_async(request: HttpRequest) -> Any:
            with timezone.override(zone_of(request.COOKIES)):
                return _answer(request, await get_response(request))

        return in_zone_async

    def in_zone(request: HttpRequest) -> Any:
        with timezone.override(zone_of(request.COOKIES)):
            return _answer(request, get_response(request))

    return in_zone
