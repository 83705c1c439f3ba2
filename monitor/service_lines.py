"""The newest log lines of a service, for its page: the one thing that the rooms of services and logs have in common."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core import clock
from core.pages import requires
from logs.rows import render_rows
from logs.search import parse_search
from logs.store import log_stores
from logs.views import READ
from services import visible
from services.models import Service

ROWS: Final = 12
PERIOD: Final = "-24h"
SECONDS: Final = 1.0  # for the question to the store


@require_safe
@never_cache
@requires(READ)
@requires("services.view_service")
def lines(request: HttpRequest, pk: int) -> HttpResponse:
    """The rows, and where a live view goes on from them. On its own it is the Logs page."""
    service = get_object_or_404(visible.services(Service.objects.all()), pk=pk)
    query = QueryDict(mutable=True)
    query["service"] = service.name
    live = query.urlencode()
    if "HX-Request" not in request.headers:
        return redirect(f"{reverse('logs:page')}?{live}")
    query["from"] = PERIOD
    store = log_stores["default"]
    # Before the search: what is committed meanwhile comes through the socket, twice rather than never.
    commit = store.last_commit()
    search = parse_search(query, now=clock.now())
    found = store.search(search.node, start=search.start, limit=ROWS, deadline=SECONDS)
    context = {
        "rows": render_rows(found.records, search, timezone.get_current_timezone()),
        "commit": commit,
        "socket": f"/ws/logs/?{live}",
        "most": ROWS,
    }
    return render(request, "service_lines.html", context)
