"""The start page: what goes on, and whether Pharos itself is well. And the banner that every page shows if it isn't."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core import clock
from core.pages import requires, shell
from logs import charts
from logs.query import Everything
from logs.records import LEVELS
from logs.rows import colour_of, render_rows
from logs.search import parse_search
from logs.store import log_stores
from logs.views import READ
from monitor import health

SECONDS: Final = 1.0  # for each question to the store
ERRORS_SHOWN: Final = 5
SERVICES_SHOWN: Final = 8

TITLES: Final = {
    "database": "Database",
    "redis": "Redis",
    "worker": "Worker",
    "ingest": "Ingest",
    "store": "Log store",
}


class Card(NamedTuple):
    title: str
    colour: str  # of the dot; the word says the same
    word: str
    detail: str


class ServiceLines(NamedTuple):
    name: str
    colour: int
    lines: int
    share: int  # of the largest, in percent


@require_safe
@never_cache
@requires(READ)
def overview(request: HttpRequest) -> HttpResponse:
    """The page; for htmx the part of it that is new every five seconds."""
    context = {"cards": _cards(health.readiness()), **_figures()}
    if "HX-Request" in request.headers:
        return render(request, "overview.html#figures", context)
    return render(request, "overview.html", shell(request, "Overview") | context)


def _cards(readiness: dict[str, Any]) -> list[Card]:
    checks = readiness["checks"]
    ill = [TITLES.get(name, name) for name, check in checks.items() if check["status"] != "healthy"]
    healthy = len(checks) - len(ill)
    overall = Card(
        "Pharos", "bad" if ill else "ok", "not ready" if ill else "ready", f"{healthy} of {len(checks)} parts healthy"
    )
    return [overall, *(_card(name, check) for name, check in checks.items())]


def _card(name: str, check: dict[str, Any]) -> Card:
    colour = "ok" if check["status"] == "healthy" else "bad"
    latency = f"{check['latency_ms']:.0f} ms" if check["latency_ms"] >= 1 else "under 1 ms"
    return Card(TITLES.get(name, name), colour, check["status"], f"{check['detail']} · {latency}")


def _figures() -> dict[str, Any]:
    now = clock.now()
    store = log_stores["default"]
    hour = store.histogram(Everything(), start=now - clock.HOUR, end=now, step=clock.MINUTE, deadline=SECONDS)
    minute = store.histogram(Everything(), start=now - clock.MINUTE, end=now, step=clock.MINUTE, deadline=SECONDS)
    errors = parse_search(QueryDict("level=error,fatal&from=-24h"), now=now)
    newest = store.search(errors.node, start=errors.start, limit=ERRORS_SHOWN, deadline=SECONDS)
    zone = timezone.get_current_timezone()
    return {
        "by_level": [
            (level, last_minute, last_hour)
            for level, last_minute, last_hour in zip(LEVELS, minute.totals, hour.totals, strict=True)
        ][::-1],
        "last_minute": sum(minute.totals),
        "last_hour": sum(hour.totals),
        "chart": charts.data(hour, now - clock.HOUR, now, set(LEVELS)),
        "errors": render_rows(newest.records, errors, zone),
        "services": _services(now),
    }


def _services(now: int) -> list[ServiceLines]:
    counted = (
        log_stores["default"]
        .values(Everything(), "service", start=now - clock.HOUR, end=now, limit=SERVICES_SHOWN, deadline=SECONDS)
        .counts
    )
    most = max((lines for _, lines in counted), default=1)
    return [ServiceLines(name, colour_of(name), lines, max(lines * 100 // most, 1)) for name, lines in counted]


# --- The banner ---------------------------------------------------------------------------------------------------

# Since when this process has seen a part being ill. Another process may have seen it a few seconds sooner or later.
_ill_since: dict[str, datetime] = {}

SENTENCES: Final = {
    "redis": "Redis is away since {since}: new lines and the live view wait. Stored lines can be searched.",
    "ingest": "Ingest is behind since {since}: {detail}. Lines wait in Redis and will be stored.",
    "worker": "The worker is away since {since}: what it does on schedule waits.",
    "database": "The database is away since {since}: {detail}.",
}


@require_safe
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """The banner of every page, asked for every ten seconds: what is wrong, or nothing."""
    if not request.user.is_authenticated:
        # 286 makes htmx stop asking. No redirect: it would take along what somebody was writing in a form.
        return render(request, "status.html", {"problems": ["You are logged out. Log in again."]}, status=286)
    return render(request, "status.html", {"problems": problems(health.readiness(), timezone.now())})


def problems(readiness: dict[str, Any], now: datetime) -> list[str]:
    ill = {name: check for name, check in readiness["checks"].items() if check["status"] != "healthy"}
    for name in _ill_since.keys() - ill.keys():
        del _ill_since[name]
    for name in ill:
        _ill_since.setdefault(name, now)
    # Without Redis the worker and ingest have nothing to say about themselves.
    return [_sentence(name, check) for name, check in ill.items() if name == "redis" or "redis" not in ill]


def _sentence(name: str, check: dict[str, Any]) -> str:
    sentence = SENTENCES.get(name, "{name} is not well since {since}: {detail}.")
    since = timezone.localtime(_ill_since[name])
    return sentence.format(name=TITLES.get(name, name), since=f"{since:%H:%M}", detail=check["detail"].rstrip("."))
