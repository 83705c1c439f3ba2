"""The start page: how services are, what goes on, and whether Pharos itself is well. And the banner that every page
shows if it isn't."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import visibility
from accounts.preferences import FIRST_STEPS
from accounts.roles import ENTER_ADMIN
from accounts.visibility import Visible
from alerts import channels, incident_list
from core import clock
from core.fragments import Fragments, rights_of
from core.pages import requires, shell
from logs import charts
from logs.query import Everything
from logs.records import LEVELS, LogRecord
from logs.rows import colour_of, render_rows
from logs.search import Search, parse_search
from logs.store import log_stores
from logs.views import READ
from monitor import health
from services import glance
from services.listing import Brief
from services.models import Service
from services.status import COLOURS, Status
from services.templatetags.live_pages import milliseconds

WATCH: Final = "services.view_service"
CONTAINERS: Final = "services.view_container"
CHECK: Final = "services.check_service"
ADD: Final = "services.add_service"
INCIDENTS: Final = "alerts.view_incident"
RESPOND: Final = "alerts.respond_incident"
LOOKS: Final = (READ, WATCH, INCIDENTS)  # one of them is enough for the page
PERMISSIONS: Final = (*LOOKS, CONTAINERS, CHECK, ADD, RESPOND, ENTER_ADMIN)

SECONDS: Final = 1.0  # for each question to the store
FIGURES_KEPT: Final = 4.0  # seconds: several viewers count lines once
FIGURES_MAX: Final = 32  # of viewers who see different services
ERRORS_SHOWN: Final = 5
SENDERS_SHOWN: Final = 8
PROBLEMS_SHOWN: Final = 8
INCIDENTS_SHOWN: Final = 8
CHANGED_SINCE: Final = timedelta(hours=1)

TITLES: Final = {
    "database": "Database",
    "redis": "Redis",
    "worker": "Worker",
    "ingest": "Ingest",
    "store": "Log store",
}
# Which part of Pharos a card shows while no service of its kind is watched.
OWN_PARTS: Final = {"Database": "database", "Cache": "redis"}


@require_safe
@never_cache
@requires(*LOOKS)
def overview(request: HttpRequest) -> HttpResponse:
    if request.session.pop(FIRST_STEPS, False) and not Service.objects.exists():
        return redirect("first-steps")
    rights = rights_of(request.user, PERMISSIONS)
    live = fragments(rights)
    context = {
        "live": live,
        "watches": WATCH in rights,
        "reads": READ in rights,
        "incidents": INCIDENTS in rights,
        "may_respond": RESPOND in rights,
    }
    return render(request, "overview.html", shell(request, "Overview") | context)


def fragments(rights: frozenset[str]) -> Fragments:
    """What the page shows somebody with these permissions, in the present time zone."""
    live = Fragments()
    checks = _with_grace(health.readiness()["checks"])
    if INCIDENTS in rights:
        _add_incidents(live, may_respond=RESPOND in rights)
    if WATCH in rights:
        _add_services(live, rights, checks)
    if READ in rights:
        _add_lines(live)
    live.add("self", "overview.html#self", {"parts": _parts(checks), "ill": _ill(checks)})
    return live


# --- Incidents ------------------------------------------------------------------------------------------------------


def _add_incidents(live: Fragments, *, may_respond: bool) -> None:
    """Those that are not over: open ones first, the newest first."""
    found = incident_list.active(INCIDENTS_SHOWN)
    items = [(f"incident-{incident.pk}", {"incident": incident, "may_respond": may_respond}) for incident in found.rows]
    live.add("incident-counts", "overview.html#incident_counts", {"counts": found.counts})
    live.add_list("incidents", "overview.html#incident", items or [("no-incident", {"incident": None})])
    live.add("more-incidents", "overview.html#more_incidents", {"more": max(found.matching - len(found.rows), 0)})


# --- Services -----------------------------------------------------------------------------------------------------


class Card(NamedTuple):
    title: str
    colour: str  # of the dot; the word says the same
    word: str
    detail: str
    service: int | None = None  # whose page says more
    hint: bool = False  # nothing is watched here yet


def _add_services(live: Fragments, rights: frozenset[str], checks: dict[str, Any]) -> None:
    now = timezone.now()
    tally, by_category = glance.tallies()
    worst = glance.worst()
    groups = glance.groups(by_category)
    cards = [_overall(tally, checks), *(_card(title, group, checks) for title, group in groups.items())]
    live.add("cards", "overview.html#cards", {"cards": cards, "may_add": {ADD, ENTER_ADMIN} <= rights})
    live.add("tally", "overview.html#tally", {"tally": tally})
    live.add_list("problems", "overview.html#problem", _problems(worst, tally, may_check=CHECK in rights))
    live.add("more-problems", "overview.html#more_problems", {"more": max(tally.problems - PROBLEMS_SHOWN, 0)})
    drawn = zip(worst, glance.drawn(worst, now), strict=True)
    live.add_drawn("services", ((f"svc-{brief.pk}", card) for brief, card in drawn))
    context = {"tally": tally, "more": max(tally.total - len(worst), 0), "may_add": {ADD, ENTER_ADMIN} <= rights}
    live.add("more-services", "overview.html#more_services", context)
    changes = glance.changes(now - CHANGED_SINCE, containers=CONTAINERS in rights)
    listed: list[tuple[str, dict[str, Any]]] = [(change.key, {"change": change}) for change in changes]
    live.add_list("changes", "overview.html#change", listed or [("no-change", {"change": None})])


def _overall(tally: glance.Tally, checks: dict[str, Any]) -> Card:
    if not tally.total:
        ill = _ill(checks)
        word, healthy = "not ready" if ill else "ready", len(checks) - len(ill)
        return Card("Overall", "red" if ill else "green", word, f"Pharos itself: {healthy} of {len(checks)} parts")
    worst = tally.worst or Status.UNKNOWN
    bad = [f"{number} {Status(status).label}" for status, _, number in tally.parts() if status in glance.PROBLEMS]
    word = ", ".join(bad) or ("all healthy" if tally.healthy == tally.total else f"{tally.healthy} healthy")
    detail = f"{tally.healthy} of {tally.total} service{'s' * (tally.total != 1)} healthy"
    return Card("Overall", COLOURS[worst], word, detail)


def _card(title: str, group: glance.Group | None, checks: dict[str, Any]) -> Card:
    if group is None or group.worst is None:
        return _own(title, checks)
    worst, total = group.worst, group.tally.total
    latency = f" · {milliseconds(group.latency_us)}" if group.latency_us is not None else ""
    if worst.status in glance.PROBLEMS or total == 1:
        why = f" · {worst.reason}" if worst.status != Status.HEALTHY and worst.reason else latency
        return Card(title, worst.colour, str(Status(worst.status).label), worst.name + why, worst.pk)
    return Card(title, worst.colour, str(Status(worst.status).label), f"{group.tally.healthy} of {total}{latency}")


def _own(title: str, checks: dict[str, Any]) -> Card:
    check = checks.get(OWN_PARTS.get(title, ""))
    if check is None:
        return Card(title, "grey", "not watched", "", hint=True)
    return Card(title, _colour(check), check["status"], f"Pharos’ own: {check['detail']}", hint=True)


def _problems(worst: list[Brief], tally: glance.Tally, *, may_check: bool) -> list[tuple[str, dict[str, Any]]]:
    found = [
        (f"problem-{brief.pk}", {"service": brief, "may_check": may_check})
        for brief in worst
        if brief.status in glance.PROBLEMS
    ]
    return found[:PROBLEMS_SHOWN] or [("no-problem", {"service": None, "tally": tally})]


# --- Log lines ----------------------------------------------------------------------------------------------------


class SenderLines(NamedTuple):
    name: str
    colour: int
    lines: int
    share: int  # of the largest, in percent


class Figures(NamedTuple):
    """What was asked of the log store."""

    counted: dict[str, Any]
    chart: dict[str, Any]
    senders: list[SenderLines]
    errors: list[LogRecord]
    search: Search  # that found them


_figures: dict[Visible, tuple[float, Figures]] = {}


def _add_lines(live: Fragments) -> None:
    figures = _recent_figures()
    live.add("volume", "overview.html#volume", figures.counted)
    live.add("chart-data", "overview.html#chart_data", {"chart": figures.chart})
    live.add("senders", "overview.html#senders", {"senders": figures.senders})
    rows = render_rows(figures.errors, figures.search, timezone.get_current_timezone())
    live.add("newest-errors", "overview.html#errors", {"errors": rows})


def _recent_figures() -> Figures:
    visible = visibility.current()
    at, figures = _figures.get(visible, (0.0, None))
    if figures is None or at < time.monotonic() - FIGURES_KEPT:
        figures = _count()
        if len(_figures) >= FIGURES_MAX:
            _figures.clear()
        _figures[visible] = time.monotonic(), figures
    return figures


def _count() -> Figures:
    now = clock.now()
    store = log_stores["default"]
    hour = store.histogram(Everything(), start=now - clock.HOUR, end=now, step=clock.MINUTE, deadline=SECONDS)
    minute = store.histogram(Everything(), start=now - clock.MINUTE, end=now, step=clock.MINUTE, deadline=SECONDS)
    # The minute is asked later, and may have seen lines that were not stored before.
    whole = [max(pair) for pair in zip(hour.totals, minute.totals, strict=True)]
    errors = parse_search(QueryDict("level=error,fatal&from=-24h"), now=now)
    newest = store.search(errors.node, start=errors.start, limit=ERRORS_SHOWN, deadline=SECONDS)
    counted = {
        "by_level": [
            (level, last_minute, last_hour)
            for level, last_minute, last_hour in zip(LEVELS, minute.totals, whole, strict=True)
        ][::-1],
        "last_minute": sum(minute.totals),
        "last_hour": sum(whole),
    }
    chart = charts.data(hour, now - clock.HOUR, now, set(LEVELS))
    return Figures(counted, chart, _senders(now), list(newest.records), errors)


def _senders(now: int) -> list[SenderLines]:
    counted = (
        log_stores["default"]
        .values(Everything(), "service", start=now - clock.HOUR, end=now, limit=SENDERS_SHOWN, deadline=SECONDS)
        .counts
    )
    most = max((lines for _, lines in counted), default=1)
    return [SenderLines(name, colour_of(name), lines, max(lines * 100 // most, 1)) for name, lines in counted]


# --- Pharos itself --------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    title: str
    colour: str
    word: str
    detail: str


GRACE: Final = 30.0  # seconds after the start of this process: others may still be starting
STARTING: Final = "starting"
_SOON: Final = frozenset({"worker", "ingest"})
_PART_COLOURS: Final = {"healthy": "green", STARTING: "grey"}
_started = time.monotonic()


def _with_grace(checks: dict[str, Any]) -> dict[str, Any]:
    """After a start, what comes a few seconds later than the pages isn't away."""
    if time.monotonic() - _started > GRACE:
        return checks
    return {
        name: check | {"status": STARTING} if name in _SOON and check["status"] != "healthy" else check
        for name, check in checks.items()
    }


def _ill(checks: dict[str, Any]) -> list[str]:
    return [TITLES.get(name, name) for name, check in checks.items() if check["status"] not in _PART_COLOURS]


def _parts(checks: dict[str, Any]) -> list[Part]:
    return [
        Part(TITLES.get(name, name), _colour(check), check["status"], check["detail"]) for name, check in checks.items()
    ]


def _colour(check: dict[str, Any]) -> str:
    return _PART_COLOURS.get(check["status"], "red")


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
    """The banner of every page, asked for every ten seconds: what is wrong, or nothing. And the number of incidents."""
    if not (request.user.is_authenticated or settings.ANONYMOUS_READ):
        # 286 makes htmx stop asking. No redirect: it would take along what somebody was writing in a form.
        return render(request, "status.html", {"problems": ["You are logged out. Log in again."]}, status=286)
    wrong = problems(health.readiness(), timezone.now())
    if request.user.has_perm("alerts.view_channel"):
        wrong += channels.problems()
    answer = render(request, "status.html", {"problems": wrong})
    if request.user.has_perm(INCIDENTS):
        answer["HX-Trigger"] = json.dumps({"incidents-open": incident_list.open_count()})
    return answer


def problems(readiness: dict[str, Any], now: datetime) -> list[str]:
    checks = _with_grace(readiness["checks"])
    ill = {name: check for name, check in checks.items() if check["status"] not in _PART_COLOURS}
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
