"""The shell of a page: the admin as django-unfold themes it, also around the pages that are not the admin's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def stylesheet(request: HttpRequest) -> str:
    return static("pharos/pharos.css")


def script(request: HttpRequest) -> str:
    return static("pharos/shell.js")


def shell(request: HttpRequest, title: str, **context: object) -> dict[str, Any]:
    """The context of a page that extends admin/base_site.html."""
    site = admin.site
    inherited = site.each_context(request)
    if request.user.is_authenticated and not inherited["has_permission"]:
        # The admin's shell hides itself from people who may not use the admin. They may use our pages.
        inherited |= {
            "has_permission": True,
            "sidebar_navigation": site.get_sidebar_list(request),  # type: ignore[attr-defined]  # unfold's
            "sidebar_show_search": False,
        }
    return {**inherited, "title": title, "is_fullwidth": 1, **context}


def requires(*permissions: str) -> Callable[[View[P]], View[P]]:
    """Lets in who is logged in and has one of `permissions`; asks others to log in, or says what is missing."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return _ask_to_log_in(request)
            if not any(map(request.user.has_perm, permissions)):
                return render(request, "forbidden.html", shell(request, "Not allowed"), status=403)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _ask_to_log_in(request: HttpRequest) -> HttpResponse:
    if "HX-Request" not in request.headers:
        return redirect_to_login(request.get_full_path())
    # A redirect would put the login page where the fragment was meant to be: let the whole page go there.
    back_to = urlsplit(request.headers.get("HX-Current-URL", ""))._replace(scheme="", netloc="").geturl()
    answer = HttpResponse(status=401)
    answer["HX-Redirect"] = redirect_to_login(back_to or "/").url
    return answer


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx wants a part of a page. Going back in the browser's history loads the page itself."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers
