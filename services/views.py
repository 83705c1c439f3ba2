"""The list of services, and the page of each. Thin: `listing` finds, `cards` and `details` say what is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.roles import ENTER_ADMIN
from core.pages import is_fragment, requires, shell
from services import cards, details, listing, polling, visible
from services.durations import milliseconds
from services.models import Category, Check, Service
from services.probes import Measurement
from services.status import Outcome

READ: Final = "services.view_service"
CHECK: Final = "services.check_service"
PAGE_CARDS: Final = 60  # at once, more than a screen shows; scrolling brings the rest
CHECKED_MAX: Final = 10  # checks that "Check now" asks while somebody waits


# --- The list --------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(READ)
def page(request: HttpRequest) -> HttpResponse:
    wanted = listing.parse(request.GET)
    context = _list(request, wanted, listing.look(wanted))
    if is_fragment(request):
        return render(request, "services/list.html#view", context)
    return render(request, "services/list.html", shell(request, "Services") | context)


@require_safe
@never_cache
@requires(READ)
def more(request: HttpRequest) -> HttpResponse:
    """The cards after one of them (`after`, its key), and what comes after those."""
    if not is_fragment(request):
        return redirect("services:list")
    wanted = listing.parse(request.GET)
    after = request.GET.get("after", "")
    rest = [brief for brief in listing.look(wanted).shown if brief.key > after]
    return render(request, "services/list.html#cards", _cards(request, rest))


def _list(request: HttpRequest, wanted: listing.Filter, found: listing.Listing) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "parameters": listing.kept(request.GET).urlencode(),
        "chips": [_chip(colour, count, wanted) for colour, count in found.counts.items()],
        "matching": len(found.shown),
        "total": found.total,
        "owners": found.owners,
        "labels": found.labels,
        "kinds": [(kind, Category(kind).label) for kind in found.kinds],
        **_cards(request, found.shown),
    }


def _cards(request: HttpRequest, briefs: Sequence[listing.Brief]) -> dict[str, Any]:
    now, shown = timezone.now(), briefs[:PAGE_CARDS]
    following = listing.kept(request.GET)
    if len(briefs) > PAGE_CARDS:
        following["after"] = shown[-1].key
    return {
        "cards": cards.render(shown, now),
        "left": len(briefs) - len(shown),
        "following": following.urlencode(),
    }


MEANINGS: Final = {
    "red": "down",
    "yellow": "degraded",
    "grey": "unknown or paused",
    "blue": "maintenance",
    "green": "healthy",
}


def _chip(colour: str, count: int, wanted: listing.Filter) -> dict[str, Any]:
    toggled = set(wanted.colours) ^ {colour}
    return {
        "colour": colour,
        "meaning": MEANINGS[colour],
        "count": count,
        "shown": colour in wanted.colours,
        "toggled": ",".join(name for name in listing.COLOUR_NAMES if name in toggled),
    }


# --- One service -----------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(READ)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    return _detail(request, _service(pk))


def _detail(request: HttpRequest, service: Service, **more: object) -> HttpResponse:
    now = timezone.now()
    checks = _checks(service)
    context = {
        **details.live(service, checks, now),
        **details.history(service, now),
        **_chart(request, service, checks),
        **_day(checks),
        "may_check": request.user.has_perm(CHECK),
        "may_change": request.user.has_perms([ENTER_ADMIN, "services.change_service"]),
        **more,
    }
    return render(request, "services/detail.html", shell(request, f"Services › {service.name}") | context)


def _service(pk: int) -> Service:
    """Raises Http404."""
    found = visible.services(Service.objects.select_related("culprit", "explained_by")).defer("culprit__secrets")
    return visible.without_hidden(get_object_or_404(found, pk=pk))


def _checks(service: Service) -> list[Check]:
    return list(service.checks.filter(enabled=True).defer("secrets"))


def _day(checks: Sequence[Check]) -> dict[str, Any]:
    found = details.day(checks, timezone.now())
    if found is None:
        return {"p95": "–", "p50": "", "slowest": ""}
    return {"p95": milliseconds(found.p95), "p50": milliseconds(found.p50), "slowest": milliseconds(found.max)}


@require_safe
@never_cache
@requires(READ)
def chart(request: HttpRequest, pk: int) -> HttpResponse:
    """The latency chart, with another range or another check."""
    service = _service(pk)
    if not is_fragment(request):
        return redirect("services:detail", pk)
    return render(request, "services/detail.html#chart", _chart(request, service, _checks(service)))


def _chart(request: HttpRequest, service: Service, checks: Sequence[Check]) -> dict[str, Any]:
    return {"service": service, "checks": checks, **details.chart(service, checks, request.GET, timezone.now())}


# --- What can be done ------------------------------------------------------------------------------------------------


@require_POST
@never_cache
@requires(CHECK)
def check_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks at once, and shows the answers as they came. `check` names one of the checks; else it is all of them."""
    service = _service(pk)
    wanted = service.checks.filter(enabled=True)
    if named := request.POST.get("check", ""):
        wanted = wanted.filter(pk=int(named) if named.isdecimal() and len(named) < 19 else 0)
    asked = wanted.exclude(kind__in=polling.PASSIVE)[:CHECKED_MAX]
    answers = [_answer(check, polling.check_now(check)) for check in asked]
    if is_fragment(request):
        return render(request, "services/_answers.html", {"answers": answers})
    return _detail(request, _service(pk), answers=answers, checked=True)


def _answer(check: Check, found: Measurement) -> dict[str, Any]:
    return {
        "check": check,
        "colour": details.COLOURS[found.outcome],
        "word": Outcome(found.outcome).label,
        "found": found,
        "latency": milliseconds(found.latency_ms * 1_000) if found.latency_ms is not None else "",
    }


@require_POST
@never_cache
@requires(CHECK)
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    return _moved(request, pk, polling.pause, "is paused: nothing of it is checked")


@require_POST
@never_cache
@requires(CHECK)
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    return _moved(request, pk, polling.resume, "is checked again")


def _moved(request: HttpRequest, pk: int, verb: Callable[..., bool], what: str) -> HttpResponse:
    service = _service(pk)
    verb(service, by=request.user if isinstance(request.user, AbstractBaseUser) else None)
    messages.success(request, f"{service.name} {what}.")
    return redirect("services:detail", pk)
