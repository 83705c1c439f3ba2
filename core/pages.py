"""The shell of a page: the admin as django-unfold themes it, also around the pages that are not the admin's."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.auth.views import redirect_to_login
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static

SAFE: Final = ("GET", "HEAD")
BY_GROUPS: Final = "django.contrib.auth.backends.ModelBackend"
ASKED_MAX: Final = 5  # people who are named
_ADMIN_NAME: Final = re.compile(r"([a-z]+)_(\w+)_(changelist|history|add|change|delete)")
_WANTED: Final = {"changelist": "view", "history": "view"}
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def stylesheet(request: HttpRequest) -> str:
    return static("pharos/pharos.css")


def script(request: HttpRequest) -> str:
    return static("pharos/shell.js")


def colours(request: HttpRequest) -> dict[str, dict[str, str]]:
    """None for unfold to write into the page: they are in our stylesheet, and the content policy lets no other in."""
    return {}


def shell(request: HttpRequest, title: str, **context: object) -> dict[str, Any]:
    """The context of a page that extends admin/base_site.html."""
    site = admin.site
    inherited = site.each_context(request)
    if not inherited["has_permission"] and (request.user.is_authenticated or settings.ANONYMOUS_READ):
        # The admin's shell hides itself from people who may not use the admin. They may use our pages.
        inherited |= {
            "has_permission": True,
            "sidebar_navigation": site.get_sidebar_list(request),  # type: ignore[attr-defined]  # unfold's
            "sidebar_show_search": False,
        }
    return {**inherited, "title": title, "is_fullwidth": 1, **context}


def requires(*permissions: str) -> Callable[[View[P]], View[P]]:
    """Lets in who has one of `permissions`; asks others to log in, or says what is missing. Only who is logged in may
    send anything."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            known = request.user.is_authenticated
            if (known or request.method in SAFE) and any(map(request.user.has_perm, permissions)):
                return view(request, *args, **kwargs)
            return forbidden(request, *permissions) if known else _ask_to_log_in(request)

        return guarded

    return decorate


def forbidden(request: HttpRequest, *permissions: str) -> HttpResponse:
    """Says which of the permissions would be enough, if any are named, and who can give it."""
    named = Q(pk__in=[])
    for app, codename in (each.split(".") for each in permissions):
        named |= Q(content_type__app_label=app, codename=codename)
    context = {
        "lacking": [str(each.name) for each in Permission.objects.filter(named).order_by("name")],
        "ask": User.objects.with_perm("auth.change_user", backend=BY_GROUPS).order_by("username")[:ASKED_MAX],
    }
    return render(request, "forbidden.html", shell(request, "Not allowed", **context), status=403)


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The answer to a PermissionDenied. In the admin the address says what was wanted."""
    if not request.user.is_authenticated:
        return _ask_to_log_in(request)
    match = request.resolver_match
    wanted = _ADMIN_NAME.fullmatch(match.url_name or "") if match and match.app_name == "admin" else None
    if wanted is None:
        return forbidden(request)
    app, model, page = wanted.groups()
    return forbidden(request, f"{app}.{_WANTED.get(page, page)}_{model}")


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
