"""Log lines of the tests, as they would be in the store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from core import clock
from logs.records import LogRecord, parse_level
from logs.sequence import sequence_of
from logs.store import Incoming, log_stores

_entries = count(1)


def line(at: datetime, message: str = "hello", *, level: str = "info", service: str = "api", **more: Any) -> LogRecord:
    """`more` is its metadata."""
    known = parse_level(level)
    assert known is not None
    return LogRecord(clock.micros(at), known, service, message, metadata=json.dumps(more).encode())


def store(*lines: LogRecord) -> None:
    """In one commit, as ingest stores those that came together."""
    entry_id = f"{next(_entries)}-0"
    placed = [
        msgspec.structs.replace(each, sequence=sequence_of(entry_id, 0, place)) for place, each in enumerate(lines)
    ]
    log_stores["default"].append([Incoming("pharos:logs", entry_id, placed)])


def spread(start: datetime, seconds: float, number: int, message: str = "hello", **more: Any) -> Iterable[LogRecord]:
    """So many lines, evenly apart."""
    return [line(start + timedelta(seconds=seconds * each / number), message, **more) for each in range(number)]
