"""Requests: whose view each is (`accounts.visibility`), and which views are closed to somebody who doesn't see all."""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

from accounts import api, visibility
from accounts.visibility import Viewer
from core.pages import shell


@sync_and_async_middleware
def viewers(get_response: Any) -> Any:
    """Behind the middleware that knows the user."""
    if iscoroutinefunction(get_response):

        async def shown_async(request: HttpRequest) -> Any:
            token = visibility.viewer.set(_viewer(request))
            try:
                if not visibility.nothing_is_kept() and (answer := await sync_to_async(closed)(request)):
                    return answer
                return await get_response(request)
            finally:
                visibility.viewer.reset(token)

        return shown_async

    def shown(request: HttpRequest) -> Any:
        token = visibility.viewer.set(_viewer(request))
        try:
            return closed(request) or get_response(request)
        finally:
            visibility.viewer.reset(token)

    return shown


def _viewer(request: HttpRequest) -> Viewer:
    return Viewer(lambda: visibility.of(request.user))


def closed(request: HttpRequest) -> HttpResponse | None:
    """The answer to somebody who is limited, for a view that isn't filtered. Keys are for `accounts.api` to judge."""
    try:
        if not visibility.known_rows():
            return None
    except (DatabaseError, InterfaceError):
        return None  # whoever shows something asks again, and fails
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return None
    if visibility.is_filtered(match):
        return None
    if request.user.is_authenticated:
        limited = visibility.of(request.user).limited
        return render(request, "closed.html", shell(request, "Closed"), status=403) if limited else None
    if not getattr(settings, "ANONYMOUS_READ", False):
        return None  # it asks to log in, or for a key
    access = api.access_of(request)
    visible = visibility.of_key(access) if access else visibility.of(None)
    return redirect_to_login(request.get_full_path()) if visible.limited else None
