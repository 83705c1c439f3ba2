"""`/reports/`: the report of a day, a week or a month, to read, to print and to tick off."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import visibility
from alerts import reports
from alerts.models.reports import Cadence, Review
from core import clock
from core.pages import requires, shell
from services.sla import Period

READ: Final = "alerts.view_incident"
RESPOND: Final = "alerts.respond_incident"
LINES: Final = "logs.read_records"


@require_safe
@never_cache
@requires(READ)
def page(request: HttpRequest, cadence: str) -> HttpResponse:
    """Without `?day=`, the last one that is over."""
    now, today = timezone.now(), timezone.localdate()
    chosen, wrong = _chosen(request.GET.get("day", ""), cadence, today)
    report = reports.build(cadence, chosen, now, logs=request.user.has_perm(LINES))
    review = Review.objects.filter(cadence=cadence, first=chosen.first).first()
    ticks: dict[str, Any] = review.ticks if review else {}
    later = reports.after(cadence, chosen)
    context = {
        "report": report,
        "cadence": cadence,
        "cadences": [(each.value, each.label, _address(each.value)) for each in Cadence],
        "day": chosen.first,
        "complete": chosen.end <= now,
        "wrong": wrong,
        "sections": [(key, section, ticks.get(key)) for key, section in report.sections.items()],
        "ticked": sum(key in ticks for key in report.sections),
        # Who sees a part of it can't say that all of it was looked at.
        "may_tick": request.user.has_perm(RESPOND) and not visibility.current().limited,
        "before": _address(cadence, reports.before(cadence, chosen)),
        "after": _address(cadence, later) if later.first <= today else "",
    }
    shown = shell(request, "Reports") | context
    return render(request, "alerts/report.html", shown, status=400 if wrong else 200)


@require_POST
@never_cache
@requires(RESPOND)
def tick(request: HttpRequest, cadence: str) -> HttpResponse:
    """A section is done, or is not after all."""
    chosen, wrong = _chosen(request.POST.get("day", ""), cadence, timezone.localdate())
    key = request.POST.get("section", "")
    if wrong or key not in dict(reports.SECTIONS[cadence]):
        return HttpResponse("Expected a day and a section of this report.", status=400, content_type="text/plain")
    assert isinstance(request.user, User)
    with transaction.atomic():
        Review.objects.get_or_create(cadence=cadence, first=chosen.first)
        # Others may tick another section of the same report.
        review = Review.objects.select_for_update().get(cadence=cadence, first=chosen.first)
        if request.POST.get("done"):
            review.ticks.setdefault(key, {"by": request.user.get_username(), "at": clock.iso(clock.now())})
        else:
            review.ticks.pop(key, None)
        review.save(update_fields=["ticks"])
    return redirect(f"{_address(cadence, chosen)}#{key}")


def _chosen(text: str, cadence: str, today: date) -> tuple[Period, str]:
    """The period, and what is wrong with what was asked for."""
    if cadence not in Cadence.values:
        raise Http404
    zone = timezone.get_current_timezone()
    last = reports.before(cadence, reports.period_of(cadence, today, zone))
    if not text:
        return last, ""
    try:
        day = date.fromisoformat(text)
        if not day.year >= 2000 or day > today:
            raise ValueError
    except ValueError:
        return last, f"Expected a day that has been, like {today}, got {text[:40]!r}. The last report is shown instead."
    return reports.period_of(cadence, day, zone), ""


def _address(cadence: str, period: Period | None = None) -> str:
    return reverse("alerts:reports", args=[cadence]) + (f"?day={period.first}" if period else "")
