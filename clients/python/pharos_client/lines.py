"""One line: a mapping with the fields of docs/records.md, and its JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from pharos_client import values
from pharos_client.values import Cleaner

LINE_MAX: Final = 256 << 10  # bytes; Pharos takes 1 MiB
KEPT: Final = 10_000  # characters of the message of a line that is too long
LEVELS: Final = ("trace", "debug", "info", "warn", "error", "fatal")
_SYNONYMS: Final = {"warning": "warn", "critical": "fatal", "exception": "error", "err": "error", "notset": "trace"}
_FIELDS: Final = ("title", "request_id", "trace_id", "span_id")

Line = dict[str, Any]


class Maker(Protocol):
    """Makes a line when there is time."""

    def size_of(self, fields: Mapping[str, Any], args: tuple[Any, ...], around: Mapping[str, Any], /) -> int:
        """About how many bytes of memory it takes until then."""

    def line_of(self, fields: Mapping[str, Any], args: tuple[Any, ...], around: Mapping[str, Any], /) -> Line: ...


Recipe = tuple[Maker, Mapping[str, Any], tuple[Any, ...], Mapping[str, Any]]  # of values that can't change


def now() -> int:
    """µs since 1970."""
    return time.time_ns() // 1_000


def level_named(name: str) -> str:
    """One of LEVELS; `info` for a name that nobody knows."""
    low = name.lower()
    low = _SYNONYMS.get(low, low)
    return low if low in LEVELS else "info"


def make(
    cleaner: Cleaner,
    *,
    level: str,
    service: str,
    message: object,
    logger: str = "",
    more: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    at: float | None = None,
) -> Line:
    """`more` is the metadata; what is named like a field of the line becomes that field. `at` is in seconds."""
    metadata = cleaner.clean(more or {})
    line: Line = {
        "timestamp": now() if at is None else int(at * 1e6),
        "level": level,
        "service": service,
    }
    if logger:
        line["logger"] = logger
    for name in _FIELDS:
        value = metadata.pop(name, None)
        if value not in (None, ""):
            line[name] = value if type(value) is str else values.text(value)
    line["message"] = values.text(message)
    if error:
        line["error"] = error
    if metadata:
        line["metadata"] = metadata
    return line


def made(recipe: Recipe) -> Line:
    maker, fields, args, around = recipe
    return maker.line_of(fields, args, around)


def unmade(service: str, error: Exception) -> Line:
    """Instead of a line that could not be made."""
    return {
        "timestamp": now(),
        "level": "error",
        "service": service,
        "title": "A line could not be made",
        "message": f"{type(error).__name__}: {error}",
    }


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def encoded(line: Line) -> bytes:
    """One line of NDJSON, without the line end. A lone surrogate, which UTF-8 can't hold, becomes `?`."""
    data = _encode(line).encode("utf-8", "replace")
    if len(data) <= LINE_MAX:
        return data
    # Rare enough to be done twice.
    kept = {name: line[name] for name in ("timestamp", "level", "service")}
    note = f"the rest was left out: the line had {len(data):,} bytes"
    short = {"message": line["message"][:KEPT], "metadata": {"pharos_client": note}}
    return _encode({**kept, **short}).encode("utf-8", "replace")
