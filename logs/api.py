"""The reading half of the HTTP API: search, histogram, export, one record, its surroundings, the live stream (SSE).

Sending is `logs.edge`. Everything needs a session with the right to read logs, or a key with the scope "read".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from accounts import api, visibility
from accounts.api import bad_parameter, json_response, wrong_method
from accounts.trail import recording
from core import clock
from core.parameters import number
from logs import export as exports
from logs import live
from logs.models import LogBlock
from logs.query import Everything, QueryError
from logs.records import LEVELS, LogRecord
from logs.search import Search, SearchError, parse_position, parse_search
from logs.store import log_stores

DEADLINE: Final = 5.0  # seconds that one question may take
LIMIT_MAX: Final = 1_000
BUCKETS_MAX: Final = 2_000
KEEP_ALIVE: Final = 15.0
VISIBLE_FOR: Final = 10.0  # as logs.consumers
READ: Final = "logs.read_records"

for_readers = api.for_readers(READ, "read logs")


def refusal(request: HttpRequest, user: Any) -> HttpResponse | None:
    """The answer for somebody who may not read logs; None for somebody who may."""
    return api.refusal(request, user, READ, "read logs")


@for_readers
def search(request: HttpRequest) -> HttpResponse:
    found = parse_search(request.GET, now=clock.now(), period="")
    limit = number(request.GET, "limit", default=100, low=1, high=LIMIT_MAX)
    after = request.GET.get("after", "")
    page = log_stores["default"].search(
        found.node,
        start=found.start,
        end=found.end,
        limit=limit,
        after=parse_position("after", after) if after else None,
        deadline=DEADLINE,
    )
    return json_response(
        {
            "records": [record.as_json() for record in page.records],
            "next": "{}-{}".format(*page.next) if page.next else None,
            "complete": page.complete,
            "searched_to": clock.iso(max(page.searched_to, 0)),
        }
    )


@for_readers
def histogram(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    found = parse_search(request.GET, now=now)
    start, end = found.start or 0, found.end or now
    step = _step(request, start, end)
    result = log_stores["default"].histogram(found.node, start=start, end=end, step=step, deadline=DEADLINE)
    buckets = [
        {"time": clock.iso(time), "counts": {LEVELS[level]: lines for level, lines in enumerate(counts) if lines}}
        for time, counts in sorted(result.buckets.items())
    ]
    return json_response({"step": step // clock.SECOND, "buckets": buckets, "complete": result.complete})


@for_readers
def values(request: HttpRequest) -> HttpResponse:
    """The most frequent values of a field in what a search finds."""
    now = clock.now()
    found = parse_search(request.GET, now=now)
    limit = number(request.GET, "limit", default=10, low=1, high=LIMIT_MAX)
    field = request.GET.get("field", "")
    if not field:
        raise SearchError("field", "expected the name of a field: service, logger, level or metadata.user_id")
    try:
        counted = log_stores["default"].values(
            found.node,
            field,
            start=found.start,
            end=found.end,
            prefix=request.GET.get("prefix", ""),
            limit=limit,
            deadline=DEADLINE,
        )
    except QueryError as error:
        raise SearchError("field", str(error)) from None
    rows = [{"value": value, "count": lines} for value, lines in counted.counts]
    return json_response({"field": field, "values": rows, "complete": counted.complete})


def _step(request: HttpRequest, start: int, end: int) -> int:
    """The bucket's width: as asked for in seconds, or one that gives about sixty."""
    span = max(end - start, clock.SECOND)
    if request.GET.get("step"):
        step = number(request.GET, "step", default=60, low=1, high=366 * 86_400) * clock.SECOND
    else:
        step = next((width for width in STEPS if span / width <= 60), STEPS[-1])
        step = max(step, -(-span // BUCKETS_MAX // clock.SECOND) * clock.SECOND)
    if span / step > BUCKETS_MAX:
        raise SearchError("step", f"{span // step:,} buckets are more than {BUCKETS_MAX:,}: make the step wider")
    return step


STEPS: Final = tuple(
    seconds * clock.SECOND
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800)
)


@for_readers
def export(request: HttpRequest) -> HttpResponseBase:
    """`/api/logs/export`, and `/logs/export` for the page: a file, see `logs.export`."""
    now = clock.now()
    found = parse_search(request.GET, now=now, period="")
    name = request.GET.get("format", "").strip() or "ndjson"
    if name not in exports.FORMATS:
        raise SearchError("format", f"expected one of {', '.join(exports.FORMATS)}, got {name[:40]!r}")
    chosen = exports.FORMATS[name]
    end = now if found.end is None else found.end  # fixed, so that a live range has an end
    response: HttpResponseBase = HttpResponse()
    if request.method == "GET":
        recording.event("log_export", LogBlock, "log lines", format=name, view=request.GET.urlencode()[:1_000])
        response = StreamingHttpResponse(exports.parts(found, end, chosen))
    response["Content-Type"] = chosen.content_type
    response["Content-Disposition"] = f'attachment; filename="{exports.filename(name, found.start, end)}"'
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would write it to its disk first
    return response


@for_readers
def record(request: HttpRequest, record_id: str) -> HttpResponse:
    found = log_stores["default"].get(parse_position("id", record_id))
    return json_response(found.as_json()) if found else not_found(record_id)


@for_readers
def context(request: HttpRequest, record_id: str) -> HttpResponse:
    position = parse_position("id", record_id)
    before = number(request.GET, "before", default=50, low=0, high=500)
    after = number(request.GET, "after", default=50, low=0, high=500)
    records = log_stores["default"].context(position, node=Everything(), before=before, after=after)
    if not any(found.position == position for found in records):
        return not_found(record_id)
    return json_response({"records": [found.as_json() for found in records]})


def not_found(record_id: str) -> HttpResponse:
    return json_response({"error": f"there is no record {record_id}: it was never stored, or its time is over"}, 404)


# --- The live stream -----------------------------------------------------------------------------------------------


@csrf_exempt
async def stream(request: HttpRequest) -> HttpResponseBase:
    """Server-sent events: one record each, with an id from which a client that was cut off goes on."""
    if request.method != "GET":
        return wrong_method("GET")
    if answer := await sync_to_async(_turned_away)(request, await request.auser()):
        return answer
    try:
        found = parse_search(request.GET, now=clock.now(), period="")
        resume = _event_id(request.headers.get("last-event-id") or request.GET.get("last_event_id", ""))
    except SearchError as error:
        return bad_parameter(error)
    response = StreamingHttpResponse(events(found, resume, _still(request)), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"  # nginx would hold lines back
    return response


def _turned_away(request: HttpRequest, user: Any) -> HttpResponse | None:
    answer = refusal(request, user)
    visibility.current()  # here, for it may take a query
    return answer


Resume = tuple[int, tuple[int, int]]  # commit, position in it
Still = Callable[[], Awaitable[bool]]


def _event_id(value: str) -> Resume | None:
    if not value:
        return None
    commit, _, position = value.partition(":")
    if not commit.isdigit() or len(commit) > 18:
        raise SearchError("Last-Event-ID", f"expected the id of an event, got {value[:60]!r}")
    return int(commit), parse_position("Last-Event-ID", position)


def _still(request: HttpRequest) -> Still:
    """Asks whether the viewer sees the same services as when he came."""
    before = visibility.current()

    def same() -> bool:
        access = api.access_of(request)
        if access is None and api.key_given(request):
            return False
        return (visibility.of_key(access) if access else visibility.of(request.user)) == before

    return sync_to_async(same)


async def _always() -> bool:
    return True


async def events(search: Search, resume: Resume | None, still: Still = _always) -> AsyncIterator[bytes]:
    """Ends when `still` says so, which is asked now and then: the client comes again, with what it may see now."""
    looked = asyncio.get_running_loop().time()
    commit, position = resume or (await live.feed().newest(), (0, 0))
    yield b": connected\n\n"
    silent_since = asyncio.get_running_loop().time()
    # A cut can fall inside a commit: its lines up to `position` have been seen.
    commit = commit - 1 if resume else commit
    async with aclosing(live.feed().follow(commit)) as news:
        async for seen in news:
            if asyncio.get_running_loop().time() - looked > VISIBLE_FOR:
                looked = asyncio.get_running_loop().time()
                if not await still():
                    return
            lines = [
                _event(number_, found)
                for number_, found in zip(seen.commits, seen.records, strict=True)
                if not (resume and number_ == resume[0] and found.position <= position)
                and search.node.matches(found)
                and search.holds(found.timestamp)
            ]
            if seen.skipped:
                lines.insert(0, b'event: skipped\ndata: {"lines":%d}\n\n' % seen.skipped)
            now = asyncio.get_running_loop().time()
            if lines:
                silent_since = now
                yield b"".join(lines)
            elif now - silent_since > KEEP_ALIVE:
                silent_since = now
                yield b": still here\n\n"


def _event(commit: int, record: LogRecord) -> bytes:
    return b"id: %d:%s\ndata: %s\n\n" % (commit, record.id.encode(), msgspec.json.encode(record.as_json()))
