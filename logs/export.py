"""The lines of a search as a file of any size, NDJSON or CSV: newest first, and never more of it in memory than a page.

A search that fails in the middle raises, so that the connection breaks off: neither format has a way to say that the
rest is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, NamedTuple

import msgspec
from asgiref.sync import sync_to_async
from django.db import close_old_connections

from core import clock
from core.spreadsheets import encoded, safe
from logs.records import LogRecord
from logs.search import Search
from logs.store import log_stores
from logs.store.base import Position

PAGE: Final = 1_000  # lines
SECONDS: Final = 5.0  # for a page; a rare match may need many of them, and a client that left is noticed in between

COLUMNS: Final = (
    "timestamp", "level", "service", "logger", "title", "message", "request_id", "trace_id", "span_id", "metadata",
)  # fmt: skip


class Format(NamedTuple):
    content_type: str
    head: bytes
    encode: Callable[[Iterable[LogRecord]], bytes]


def _ndjson(records: Iterable[LogRecord]) -> bytes:
    lines = (msgspec.json.encode(record.as_json()) for record in records)
    # Metadata is kept as it came, and JSON may have line breaks between its marks.
    return b"".join(line.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n" for line in lines)


def _csv(records: Iterable[LogRecord]) -> bytes:
    return encoded([_cells(record) for record in records])


def _cells(record: LogRecord) -> list[str]:
    values = (
        clock.iso(record.timestamp), record.level.label, record.service, record.logger, record.title, record.message,
        record.request_id, record.trace_id, record.span_id, record.metadata.decode("utf-8", "replace"),
    )  # fmt: skip
    return [safe(value) for value in values]


FORMATS: Final = {
    "ndjson": Format("application/x-ndjson", b"", _ndjson),
    "csv": Format("text/csv; charset=utf-8; header=present", encoded([COLUMNS]), _csv),
}


def filename(name: str, start: int | None, end: int) -> str:
    since = f"{clock.moment(start):%Y%m%dT%H%M%SZ}" if start else "begin"
    return f"pharos-logs_{since}_{clock.moment(end):%Y%m%dT%H%M%SZ}.{name}"


async def parts(search: Search, end: int, chosen: Format) -> AsyncIterator[bytes]:
    """The file, a page of the store after the other. Lines from `end` on don't belong to it, whenever they come."""
    # In a thread of its own: nobody else's request waits for a search.
    read = sync_to_async(_part, thread_sensitive=False)
    if chosen.head:
        yield chosen.head
    after: Position | None = None
    while True:
        part, after = await read(search, end, after, chosen)
        if part:
            yield part
        if after is None:
            return


def _part(search: Search, end: int, after: Position | None, chosen: Format) -> tuple[bytes, Position | None]:
    close_old_connections()  # threads outlive requests, and nobody else looks after their connections
    try:
        page = log_stores["default"].search(
            search.node, start=search.start, end=end, limit=PAGE, after=after, deadline=SECONDS
        )
        return chosen.encode(page.records), page.next
    finally:
        close_old_connections()
