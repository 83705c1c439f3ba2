"""The trail as a file, CSV or NDJSON: newest first, and never more of it in memory than a page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
from asgiref.sync import sync_to_async
from auditlog.models import LogEntry
from django.db import close_old_connections

from accounts.trail.finding import ID_MAX, Wanted, entries
from accounts.trail.shown import VERBS, who
from core.spreadsheets import encoded, safe

PAGE: Final = 500

COLUMNS: Final = ("id", "time", "who", "via", "address", "action", "kind", "thing_id", "thing", "request_id", "changes")


class Format(NamedTuple):
    content_type: str
    head: bytes
    encode: Callable[[Iterable[LogEntry]], bytes]


def _ndjson(rows: Iterable[LogEntry]) -> bytes:
    return b"".join(msgspec.json.encode(as_json(row)) + b"\n" for row in rows)


def _csv(rows: Iterable[LogEntry]) -> bytes:
    return encoded([[safe(_cell(value)) for value in as_json(row).values()] for row in rows])


def _cell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def as_json(entry: LogEntry) -> dict[str, Any]:
    """In the order of COLUMNS."""
    told = dict(entry.additional_data or {})
    via, event = told.pop("via", ""), told.pop("event", "")
    told.pop("by", None)
    return {
        "id": entry.pk,
        "time": entry.timestamp.isoformat(),
        "who": who(entry),
        "via": via,
        "address": entry.remote_addr or "",
        "action": event or VERBS.get(entry.action, ""),
        "kind": f"{entry.content_type.app_label}.{entry.content_type.model}",
        "thing_id": entry.object_pk,
        "thing": entry.object_repr,
        "request_id": entry.cid or "",
        "changes": {**(entry.changes or {}), **told},
    }


FORMATS: Final = {
    "csv": Format("text/csv; charset=utf-8; header=present", encoded([COLUMNS]), _csv),
    "ndjson": Format("application/x-ndjson", b"", _ndjson),
}


async def parts(wanted: Wanted, chosen: Format) -> AsyncIterator[bytes]:
    read = sync_to_async(_part, thread_sensitive=False)
    if chosen.head:
        yield chosen.head
    before = ID_MAX
    while True:
        part, before = await read(wanted, before, chosen)
        if not part:
            return
        yield part


def _part(wanted: Wanted, before: int, chosen: Format) -> tuple[bytes, int]:
    close_old_connections()  # threads outlive requests, and nobody else looks after their connections
    try:
        rows = list(entries(wanted, before)[:PAGE])
        return (chosen.encode(rows), rows[-1].pk) if rows else (b"", 0)
    finally:
        close_old_connections()
