"""The admin, and who may enter it: whoever has the permission to, by a role or as staff."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

from accounts import visibility
from accounts.roles import ENTER_ADMIN
from core.pages import forbidden


class Site(UnfoldAdminSite):  # type: ignore[misc]
    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context: dict[str, Any] = super().each_context(request)
        # The search finds screens of the admin, which is closed to who sees some services only.
        if context["has_permission"] and visibility.current().limited:
            context["sidebar_show_search"] = False
        return context

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.has_perm(ENTER_ADMIN)

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Pages, then screens, with the text in their names. Unfold keeps them in the cache, which takes JSON alone."""
        written = request.GET.get("s", "").strip()
        text = written.lower()
        found: dict[str, SearchResult] = {}
        if text:
            for section in self.get_sidebar_list(request):
                for item in section["items"]:
                    if text in item["title"].lower():
                        found[item["link"]] = SearchResult(item["title"], section["title"], item["link"], item["icon"])
            for each in self._search_apps(self.get_app_list(request), text):
                found.setdefault(each.link, each)
        return render(request, "search_found.html", {"results": list(found.values()), "text": written})

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        checked = super().admin_view(view, cacheable)

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.user.is_authenticated and not self.has_permission(request):
                return forbidden(request, ENTER_ADMIN)
            answer: HttpResponse = checked(request, *args, **kwargs)
            return answer

        return guarded

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """There is one page to log in."""
        if request.user.is_authenticated:
            return redirect("admin:index")
        return redirect_to_login(request.GET.get("next", "") or settings.LOGIN_REDIRECT_URL)
