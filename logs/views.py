"""The Logs page, its fragments, and the page of a single line. Thin: the store finds, `rows` and `details` show."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core import clock
from core.pages import is_fragment, requires, shell
from logs import charts, query, saved
from logs.details import details_of
from logs.records import LEVEL_MEANINGS, LEVELS, Level, LogRecord
from logs.rows import render_rows, request_span
from logs.search import PERIOD, Search, SearchError, parse_position, parse_search
from logs.store import log_stores
from logs.store.base import BaseLogStore, Page, Position

READ: Final = "logs.read_records"
PAGE_ROWS: Final = 200
ROWS_MAX: Final = 5_000  # in one page; from there on a link begins a new one
CONTEXT_ROWS: Final = 50
SEARCH_SECONDS: Final = 2.0
COUNT_SECONDS: Final = 1.5
VALUES_SHOWN: Final = 8  # of a field, under an opened line
PARAMETERS: Final = ("q", "level", "service", "from", "to")

PERIODS: Final = {
    "-5m": "5 minutes",
    "-15m": "15 minutes",
    "-1h": "hour",
    "-6h": "6 hours",
    "-24h": "24 hours",
    "-7d": "7 days",
    "-30d": "30 days",
}
# Each can be clicked; tests/logs/test_pages.py parses them all.
EXAMPLES: Final = (
    ("timeout", "this text anywhere, also inside a word and in metadata"),
    ('"connection refused"', "these words as they stand"),
    ("level:>=warn service:worker", "both"),
    ("service:(api OR worker) -healthz", "either service, without a text"),
    ("service:api*", "a value that begins so"),
    ("request_id:r-1", "one request over all services"),
    ("metadata.user_id:42", "a key of the metadata"),
    ("duration_ms:>500", "a number above 500"),
    ("exists:trace_id", "lines that have it"),
)
# What <input type="datetime-local"> sends: a time without a zone, the reader's.
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")


def _store() -> BaseLogStore:
    return log_stores["default"]


# --- The page ------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(READ)
def page(request: HttpRequest) -> HttpResponse:
    zoned = _with_zone(request.GET)
    if zoned is not None:
        return redirect(f"{reverse('logs:page')}?{zoned.urlencode()}")
    try:
        search = parse_search(request.GET, now=clock.now())
        after = _cursor(request.GET.get("after", ""))
    except SearchError as error:
        return _page(request, _refused(request, error), status=400)
    return _page(request, _found(request, search, after))


def _page(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    if is_fragment(request):
        return render(request, "logs/page.html#view", context, status=status)
    return render(request, "logs/page.html", shell(request, "Logs") | context, status=status)


def _found(request: HttpRequest, search: Search, after: Position | None) -> dict[str, Any]:
    store = _store()
    # Before the search: what is committed meanwhile comes through the socket, twice rather than never.
    commit = store.last_commit()
    began = time.perf_counter()
    found = store.search(
        search.node, start=search.start, end=search.end, limit=PAGE_ROWS, after=after, deadline=SEARCH_SECONDS
    )
    took = time.perf_counter() - began
    return _controls(request, search) | {
        "commit": commit,
        "live": search.end is None and after is None,
        "page": found,
        "rows": render_rows(found.records, search, timezone.get_current_timezone()),
        "older": _older_url(request, found, len(found.records)),
        "took_ms": round(took * 1000),
        "searched_to": clock.moment(max(found.searched_to, 0)),
        "nothing_stored": not found.records and not store.stats()["lines"],
    }


def _refused(request: HttpRequest, error: SearchError) -> dict[str, Any]:
    """The page for a search that can't be read: all there but the lines."""
    kept = QueryDict(mutable=True)
    for name in PARAMETERS:
        if name != error.field and name in request.GET:
            kept.setlist(name, request.GET.getlist(name))
    kept.pop("q", None)
    try:
        search = parse_search(kept, now=clock.now())
    except SearchError:
        search = parse_search(QueryDict(), now=clock.now())
    return _controls(request, search) | {"text": request.GET.get("q", ""), "error": error}


def _controls(request: HttpRequest, search: Search) -> dict[str, Any]:
    now = clock.now()
    view = _parameters(request.GET)
    return {
        **_saved_menu(request, view),
        "search": search,
        "text": search.text,
        "parameters": view.urlencode(),
        "exported": _exported(view),
        "hidden": [(name, value) for name in PARAMETERS[1:] for value in request.GET.getlist(name) if value],
        "chips": _chips(search),
        "services_shown": _services_shown(search.services),
        "period": _period(search),
        "periods": PERIODS,
        "from_time": clock.moment(search.start if search.start is not None else now - clock.HOUR),
        "to_time": clock.moment(search.end if search.end is not None else now),
        "now": clock.moment(now).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "frozen_from": clock.iso(search.start) if search.start is not None else "",
        "examples": EXAMPLES,
        "zone": timezone.get_current_timezone_name(),
        "meanings": [(level.label, LEVEL_MEANINGS[level]) for level in reversed(Level)],
    }


def _exported(view: QueryDict) -> str:
    """The parameters of this view's export, which has no period of its own."""
    parameters = view.copy()
    parameters.setdefault("from", PERIOD)
    return parameters.urlencode()


def _chips(search: Search) -> list[dict[str, Any]]:
    shown = set(search.levels) or set(LEVELS)
    chips = []
    for level in reversed(Level):
        toggled = shown ^ {level.label}
        chips.append(
            {
                "level": level.label,
                "meaning": LEVEL_MEANINGS[level],
                "shown": level.label in shown,
                "alone": shown == {level.label},
                # No level and every level are the same page.
                "toggled": ",".join(name for name in LEVELS if name in toggled) if len(toggled) < len(LEVELS) else "",
            }
        )
    return chips


def _services_shown(services: tuple[str, ...]) -> str:
    if len(services) <= 1:
        return services[0] if services else "all services"
    return f"{len(services)} services"


def _period(search: Search) -> str:
    if search.period in PERIODS:
        return f"Last {PERIODS[search.period]}"
    return f"Last {search.period.removeprefix('-')}" if search.period else ""


# --- Fragments -----------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(READ)
def older(request: HttpRequest) -> HttpResponse:
    """The rows after a cursor, and what comes after those."""
    if not is_fragment(request):
        return redirect(f"{reverse('logs:page')}?{request.GET.urlencode()}")
    try:
        search = parse_search(request.GET, now=clock.now())
        after = _cursor(request.GET.get("after", ""))
    except SearchError as error:
        return _bad_request(error)
    found = _store().search(
        search.node, start=search.start, end=search.end, limit=PAGE_ROWS, after=after, deadline=SEARCH_SECONDS
    )
    shown = _integer(request.GET.get("shown", "")) + len(found.records)
    context = {
        "rows": render_rows(found.records, search, timezone.get_current_timezone()),
        "page": found,
        "older": _older_url(request, found, shown),
        "full": shown >= ROWS_MAX,
        "searched_to": clock.moment(max(found.searched_to, 0)),
    }
    return render(request, "logs/page.html#older", context)


@require_safe
@never_cache
@requires(READ)
def chart(request: HttpRequest) -> HttpResponse:
    """The numbers behind the histogram and the level chips: all levels, counted once."""
    parameters = _parameters(request.GET)
    try:
        shown = set(parse_search(parameters, now=clock.now()).levels) or set(LEVELS)
        parameters.pop("level", None)
        search = parse_search(parameters, now=clock.now())
    except SearchError as error:
        return _bad_request(error)
    end = search.end if search.end is not None else clock.now()
    start = search.start if search.start is not None else _store().stats()["oldest"] or end - clock.HOUR
    step = charts.step_of(end - start)
    counted = _store().histogram(search.node, start=start, end=end, step=step, deadline=COUNT_SECONDS)
    totals = dict(zip(LEVELS, counted.totals, strict=True))
    context = {
        "totals": [(level, totals[level], level in shown) for level in reversed(LEVELS)],
        "total": sum(totals[level] for level in shown),
        "complete": counted.complete,
        "step": step // clock.SECOND,
        "chart": charts.data(counted, start, end, shown),
        "numbers": charts.table(counted),
    }
    return render(request, "logs/page.html#chart", context)


@require_safe
@never_cache
@requires(READ)
def services(request: HttpRequest) -> HttpResponse:
    """The checkboxes of the service menu: every service with lines in the time range."""
    if not is_fragment(request):
        return redirect(f"{reverse('logs:page')}?{request.GET.urlencode()}")
    parameters = _parameters(request.GET)
    for name in ("q", "level"):
        parameters.pop(name, None)
    try:
        chosen = parse_search(parameters, now=clock.now()).services
        parameters.pop("service", None)
        search = parse_search(parameters, now=clock.now())
    except SearchError as error:
        return _bad_request(error)
    counted = (
        _store()
        .values(search.node, "service", start=search.start, end=search.end, limit=200, deadline=COUNT_SECONDS)
        .counts
    )
    known = dict(counted)
    missing = [(name, 0) for name in chosen if name not in known]
    return render(request, "logs/page.html#services", {"found": [*counted, *missing], "chosen": chosen})


@require_safe
@never_cache
@requires(READ)
def values(request: HttpRequest) -> HttpResponse:
    """The most frequent values of a field in the view, under an opened line."""
    field = request.GET.get("field", "")
    parameters = _parameters(request.GET)
    if not is_fragment(request):
        return redirect(f"{reverse('logs:page')}?{parameters.urlencode()}")
    try:
        search = parse_search(parameters, now=clock.now())
        counted = _store().values(
            search.node, field, start=search.start, end=search.end, limit=VALUES_SHOWN, deadline=COUNT_SECONDS
        )
    except SearchError as error:
        return _bad_request(error)
    except query.QueryError as error:
        return _bad_request(SearchError("field", str(error)))
    found = [{"text": value, "lines": lines, "term": query.term(field, value)} for value, lines in counted.counts]
    context = {
        "field": field,
        "found": found,
        "most": counted.counts[0][1] if counted.counts else 1,
        "complete": counted.complete,
        "parameters": parameters.urlencode(),
    }
    return render(request, "logs/line.html#values", context)


# --- Saved queries -------------------------------------------------------------------------------------------------


@require_POST
@never_cache
@requires(saved.ADD)
def save(request: HttpRequest) -> HttpResponse:
    """Keeps the view whose parameters came along, under a name."""
    view = _parameters(request.POST)
    try:
        kept = saved.save(request.user, request.POST.get("name", ""), shared="shared" in request.POST, view=view)
    except ValidationError as error:
        return _saved(request, view, wrong=" ".join(error.messages))
    return _saved(request, view, note=f"Saved as “{kept.name}”.")


@require_POST
@never_cache
@requires(READ)
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    saved.remove(pk, by=request.user)
    return _saved(request, _parameters(request.POST), note="Removed.")


def _saved(request: HttpRequest, view: QueryDict, *, note: str = "", wrong: str = "") -> HttpResponse:
    """The menu anew, open; without script the view again, and a message."""
    if is_fragment(request):
        context = _saved_menu(request, view) | {"saved_open": True, "note": note, "wrong": wrong}
        return render(request, "logs/_saved.html", context, status=400 if wrong else 200)
    messages.add_message(request, messages.ERROR if wrong else messages.SUCCESS, wrong or note)
    return redirect(f"{reverse('logs:page')}?{view.urlencode()}")


def _saved_menu(request: HttpRequest, view: QueryDict) -> dict[str, Any]:
    return {
        "saved": saved.menu(request.user),
        "may_save": request.user.has_perm(saved.ADD),
        "view": [(name, value) for name, values in view.lists() for value in values],
        "address": f"{reverse('logs:page')}?{view.urlencode()}",
        "user_activity": saved.USER_ACTIVITY,
    }


@require_safe
@never_cache
@requires(READ)
def user(request: HttpRequest) -> HttpResponse:
    """Every line of one user over all services: the view, for a form that knows no query."""
    q = saved.user_lines(request.GET.get("user", "").strip())
    return redirect(f"{reverse('logs:page')}?{urlencode({'q': q, 'from': saved.USER_PERIOD})}")


# --- One line ------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(READ)
def row(request: HttpRequest, position: Position) -> HttpResponse:
    """An opened line: a fragment under its row, or a page with the lines around it."""
    record = _store().get(position)
    if record is None:
        return _gone(request)
    details = details_of(record)
    context = {
        "details": details,
        "request_lines": _request_lines(record),
        "user_lines": _user_lines(record, details.user),
        # What its links narrow: the view the line was opened in; on its own page, the days around it.
        "parameters": _parameters(request.GET).urlencode() or request_span(record.timestamp),
    }
    if is_fragment(request):
        return render(request, "logs/line.html#details", context)
    return render(request, "logs/line.html", shell(request, "Log line") | context | _around(request, record))


def _around(request: HttpRequest, record: LogRecord) -> dict[str, Any]:
    one_service = request.GET.get("around") == "service"
    node = query.parse(query.term("service", record.service) if one_service else "")
    records = _store().context(record.position, node=node, before=CONTEXT_ROWS, after=CONTEXT_ROWS)
    search = parse_search(QueryDict(), now=clock.now())
    return {
        "rows": render_rows(records, search, timezone.get_current_timezone(), marked=record.id),
        "one_service": one_service,
        "lines_around": len(records) - 1,
    }


def _request_lines(record: LogRecord) -> dict[str, Any] | None:
    """How many lines the line's request has in how many services, and where to see them."""
    if not record.request_id:
        return None
    term = query.term("request_id", record.request_id)
    parameters = QueryDict(request_span(record.timestamp), mutable=True)
    parameters["q"] = term
    search = parse_search(parameters, now=clock.now())
    counted = _store().values(search.node, "service", start=search.start, end=search.end, deadline=0.5).counts
    return {
        "url": f"{reverse('logs:page')}?{parameters.urlencode()}",
        "lines": sum(lines for _, lines in counted),
        "services": len(counted),
    }


def _user_lines(record: LogRecord, user: str) -> str:
    """Where all lines of the line's user are: around its own time, which may be long ago."""
    if not user:
        return ""
    parameters = QueryDict(request_span(record.timestamp), mutable=True)
    parameters["q"] = saved.user_lines(user)
    return f"{reverse('logs:page')}?{parameters.urlencode()}"


def _gone(request: HttpRequest) -> HttpResponse:
    if is_fragment(request):
        return render(request, "logs/line.html#gone", status=404)
    return render(request, "logs/line.html", shell(request, "Log line"), status=404)


# --- Parameters ----------------------------------------------------------------------------------------------------


def _bad_request(error: SearchError) -> HttpResponse:
    return HttpResponse(error.message, status=400, content_type="text/plain; charset=utf-8")


def _parameters(given: QueryDict) -> QueryDict:
    """Those of `given` that make the view, and nothing that is empty."""
    kept = QueryDict(mutable=True)
    for name in PARAMETERS:
        if values := [value for value in given.getlist(name) if value]:
            kept.setlist(name, values)
    return kept


def _with_zone(given: QueryDict) -> QueryDict | None:
    """`given` with times of the reader's zone as UTC; None if it holds none. A link means the same to everyone."""
    local = [name for name in ("from", "to") if _LOCAL_TIME.fullmatch(given.get(name, ""))]
    if not local:
        return None
    zoned = given.copy()
    for name in local:
        try:
            moment = datetime.fromisoformat(given.get(name, "")).replace(tzinfo=timezone.get_current_timezone())
        except ValueError:
            return None  # the thirtieth of February: parse_search says so
        zoned[name] = clock.iso(clock.micros(moment))
    return zoned


def _cursor(text: str) -> Position | None:
    return parse_position("after", text) if text else None


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 8 else 0


def _older_url(request: HttpRequest, found: Page, shown: int) -> str:
    """The parameters of the rows that come next; the last row's id goes in by script when rows were dropped."""
    parameters = _parameters(request.GET)
    after = found.next or (found.records[-1].position if found.records else None)
    if after is None:
        return ""
    parameters["after"] = f"{after[0]}-{after[1]}"
    parameters["shown"] = str(shown)
    return parameters.urlencode()
