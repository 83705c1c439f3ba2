"""Times are shown in the reader's own zone, which the browser says in a cookie (static/pharos/shell.js)."""

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
UTC: Final = ZoneInfo("UTC")


@cache
def _known() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(cookies: Mapping[str, str]) -> ZoneInfo:
    """The zone the cookie names; UTC without one, or when it names none (the cookie is the client's to write)."""
    name = cookies.get(COOKIE, "")
    return ZoneInfo(name) if name in _known() else UTC


@sync_and_async_middleware
def reader_timezone(get_response: Any) -> Any:
    if iscoroutinefunction(get_response):

        async def in_zone_async(request: HttpRequest) -> Any:
            with timezone.override(zone_of(request.COOKIES)):
                return await get_response(request)

        return in_zone_async

    def in_zone(request: HttpRequest) -> Any:
        with timezone.override(zone_of(request.COOKIES)):
            return get_response(request)

    return in_zone
