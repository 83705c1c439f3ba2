"""`/trail/`: the audit trail, and its export."""

from __future__ import annotations

from typing import Final, cast

from auditlog.models import LogEntry
from django.apps import apps
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.trail import export, finding, recording, shown
from accounts.trail.finding import EVENTS, PAGE, Wanted
from core import clock
from core.pages import requires, shell
from core.parameters import ParameterError

READ: Final = "auditlog.view_logentry"
PERIODS: Final = {"-1h": "Last hour", "-24h": "Last day", "-7d": "Last week", "-30d": "Last 30 days"}
PEOPLE_MAX: Final = 500
VERBS: Final = {"create": "added", "update": "changed", "delete": "deleted"} | EVENTS


@require_safe
@never_cache
@requires(READ)
def page(request: HttpRequest) -> HttpResponse:
    wrong = ""
    try:
        wanted, before = finding.parse(request.GET, clock.now()), finding.position(request.GET)
    except ParameterError as error:
        wanted, before, wrong = Wanted(), 0, str(error)
    rows = [] if wrong else list(finding.entries(wanted, before)[: PAGE + 1])
    params = request.GET.copy()
    params.pop("before", None)
    view = params.urlencode()
    params["before"] = str(rows[PAGE - 1].pk) if len(rows) > PAGE else ""
    context = {
        "rows": [shown.shown(row) for row in rows[:PAGE]],
        "wanted": wanted,
        "wrong": wrong,
        "period": request.GET.get("from", ""),
        "periods": PERIODS.items(),
        "verbs": VERBS.items(),
        "kinds": _kinds(),
        "people": User.objects.order_by("username").values_list("username", flat=True)[:PEOPLE_MAX],
        "older": params.urlencode() if len(rows) > PAGE else "",
        "newest": view if before < finding.ID_MAX and not wrong else None,
        "exported": view,
        "may_see_lines": request.user.has_perm("logs.read_records"),
    }
    status = 400 if wrong else 200
    return render(request, "accounts/trail.html", shell(request, "Audit trail", **context), status=status)


def _kinds() -> list[tuple[str, str]]:
    """Those that entries can be of: a distinct over all entries would read them all."""
    from auditlog.registry import auditlog

    labels = {model._meta.label_lower for model in auditlog.get_models()} | {"logs.logblock", "logs.archivedday"}
    return sorted(((label, _name(label)) for label in labels), key=lambda each: each[1].lower())


def _name(label: str) -> str:
    return "log lines" if label == "logs.logblock" else str(apps.get_model(label)._meta.verbose_name)


@require_safe
@never_cache
@requires(READ)
def exported(request: HttpRequest) -> HttpResponse:
    name = request.GET.get("format", "csv")
    if name not in export.FORMATS:
        return _refused(f"format: expected one of {', '.join(export.FORMATS)}, got {name[:40]!r}")
    try:
        wanted = finding.parse(request.GET, clock.now())
    except ParameterError as error:
        return _refused(str(error))
    chosen = export.FORMATS[name]
    if request.method == "GET":
        recording.event("trail_export", LogEntry, "audit trail", format=name, view=request.GET.urlencode()[:1_000])
        response: HttpResponseBase = StreamingHttpResponse(export.parts(wanted, chosen))
    else:
        response = HttpResponse()
    response["Content-Type"] = chosen.content_type
    file = f"pharos-audit-trail_{timezone.now():%Y%m%dT%H%M%SZ}.{name}"
    response["Content-Disposition"] = f'attachment; filename="{file}"'
    response["X-Accel-Buffering"] = "no"  # nginx would write it to its disk first
    return cast("HttpResponse", response)


def _refused(sentence: str) -> HttpResponse:
    return HttpResponse(f"{sentence}\n", status=400, content_type="text/plain; charset=utf-8")
