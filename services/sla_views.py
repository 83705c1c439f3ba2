"""`/services/sla/`: the SLA report as a page to read and print, and as CSV."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core.pages import requires, shell
from services import sla
from services.sla import Period, Report, ReportError
from services.templatetags.sla_times import span

READ: Final = "services.view_service"
COLUMNS: Final = (
    ("name", "service"), ("target", "target"), ("uptime", "uptime"), ("down", "down"), ("outages", "outages"),
    ("mttr", "MTTR"), ("mtbf", "MTBF"), ("left", "budget left"), ("maintenance", "maintenance"),
)  # fmt: skip


@require_safe
@never_cache
@requires(READ)
def page(request: HttpRequest) -> HttpResponse:
    wrong = ""
    try:
        when = _period(request)
    except ReportError as error:
        when, wrong = sla.period({}, timezone.localdate(), timezone.get_current_timezone()), str(error)
    found = _report(request, when)
    sort = request.GET.get("sort", "name")
    context = {
        "report": found,
        "when": when,
        "wrong": wrong,
        "until": min(when.end - timedelta(seconds=1), timezone.now()),
        "label": request.GET.get("label", ""),
        "by": request.GET.get("by", ""),
        "columns": [_column(request, name, title, sort) for name, title in COLUMNS],
        "before": _with(request, month=f"{when.first - timedelta(days=1):%Y-%m}"),
        "after": _with(request, month=f"{sla.following(when.last):%Y-%m}") if when.end < timezone.now() else "",
        "csv": _with(request),
        "summary": _summary(found),
    }
    return render(request, "services/sla.html", shell(request, "SLA report", **context), status=400 if wrong else 200)


@require_safe
@never_cache
@requires(READ)
def export(request: HttpRequest) -> HttpResponse:
    try:
        when = _period(request)
    except ReportError as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    answer = HttpResponse(sla.csv(_report(request, when).rows), content_type="text/csv; charset=utf-8; header=present")
    answer["Content-Disposition"] = f'attachment; filename="pharos-sla_{when.first}_{when.last}.csv"'
    return answer


def _period(request: HttpRequest) -> Period:
    return sla.period(request.GET.dict(), timezone.localdate(), timezone.get_current_timezone())


def _report(request: HttpRequest, when: Period) -> Report:
    given = {name: request.GET.get(name, "") for name in ("label", "by", "sort")}
    return sla.report(when, timezone.now(), **given)


def _column(request: HttpRequest, name: str, title: str, sort: str) -> dict[str, Any]:
    """A click sorts by it; another one turns that round."""
    direction = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
    return {"title": title, "direction": direction, "link": _with(request, sort=f"-{name}" if sort == name else name)}


def _with(request: HttpRequest, **changes: str) -> str:
    """The query of this view with something else. A month replaces a range."""
    query = request.GET.copy()
    if "month" in changes:
        query.pop("from", None)
        query.pop("to", None)
    for name, value in changes.items():
        query[name] = value
    return query.urlencode()


def _summary(found: Report) -> str:
    total = found.total
    if not total.services:
        return ""
    up, down = total.found.uptime_text, span(total.found.down)
    return (
        f"{total.met} of {total.services} services met their target. Together they were up for {up} % of the time that"
        f" counts, and down for {down} in {len(total.found.outages)} outages."
    )
