"""A log record, and how every shape of it that services send becomes one.

Pure: bytes or fields in, a `LogRecord` out, or a `RecordError` that says what was expected and what came.
docs/records.md is the same for people; a test keeps the two together.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

import msgspec
from msgspec import Raw

from core import clock
from logs.sequence import received_at

LINE_MAX: Final = 1 << 20  # bytes of one line as it came
ID_MAX: Final = 200  # characters of a request, trace or span id
NAME_MAX: Final = 200  # characters of a service or a logger
INTEGER_DIGITS: Final = 4_000  # from as many on, Python converts none
FUTURE_MAX: Final = clock.DAY  # a line from further ahead gets the receive time
UNKNOWN_SERVICE: Final = "unknown"


class RecordError(ValueError):
    """A line that can't become a record. The message is for the sender."""


class Level(IntEnum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    FATAL = 5

    @property
    def label(self) -> str:
        return self.name.lower()


LEVELS: Final = tuple(level.label for level in Level)

LEVEL_MEANINGS: Final = {
    Level.TRACE: "every step, for the hour of a hard search; off otherwise",
    Level.DEBUG: "what a developer needs to follow one request; off in production",
    Level.INFO: "normal work: a request answered, a job done",
    Level.WARN: "unexpected, but handled: a retry, a limit reached",
    Level.ERROR: "something failed that somebody asked for",
    Level.FATAL: "the process can't go on and ends",
}

_LEVEL_WORDS: Final[dict[str, Level]] = {
    word: level
    for level, words in {
        Level.TRACE: "trace trc verbose finest finer silly all",
        Level.DEBUG: "debug dbg fine config",
        Level.INFO: "info inf information informational notice success ok log",
        Level.WARN: "warn wrn warning",
        Level.ERROR: "error err severe failure fail",
        Level.FATAL: "fatal ftl critical crit alert emergency emerg panic dpanic",
    }.items()
    for word in words.split()
}
_LEVEL_LETTERS: Final = {level.name[0].lower(): level for level in Level} | {
    "c": Level.FATAL,
    "v": Level.TRACE,
}
# RFC 5424, section 6.2.1: 0 emergency … 7 debug.
_SYSLOG: Final = (
    Level.FATAL, Level.FATAL, Level.FATAL, Level.ERROR, Level.WARN, Level.INFO, Level.INFO, Level.DEBUG,
)  # fmt: skip


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One line. Times are microseconds since the epoch, UTC.

    `sequence` is 0 until the line has its place in a stream (see `logs.sequence`); with it, `(timestamp, sequence)`
    is the record's identity and its place in every listing.
    """

    timestamp: int
    level: Level
    service: str
    message: str
    title: str = ""
    logger: str = ""
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    metadata: bytes = b"{}"  # one JSON object, compact, else as it came
    sequence: int = 0

    @property
    def id(self) -> str:
        return f"{self.timestamp}-{self.sequence}"

    @property
    def position(self) -> tuple[int, int]:
        return self.timestamp, self.sequence

    @property
    def received(self) -> int:
        """When the line reached Pharos, to the millisecond; its own time if it has no place in a stream yet."""
        return received_at(self.sequence) if self.sequence else self.timestamp

    def as_json(self) -> dict[str, Any]:
        """The record as the API, the SSE stream and an export show it."""
        return {
            "id": self.id,
            "timestamp": clock.iso(self.timestamp),
            "received": clock.iso(self.received),
            "level": self.level.label,
            "service": self.service,
            "logger": self.logger,
            "title": self.title,
            "message": self.message,
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "metadata": Raw(self.metadata),
        }


# --- Names ---------------------------------------------------------------------------------------------------------

# What services call a field. Names are compared without case, "-" and "_": correlationId, correlation-id and
# CORRELATION_ID are one name. A field's own name wins over an alias, an earlier alias over a later one; the loser
# stays in the metadata.
ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "timestamp": ("timestamp", "time", "ts", "@timestamp", "@t", "_time", "datetime", "date"),
    "level": ("level", "severity", "lvl", "loglevel", "log.level", "levelname", "severity_text", "@l"),
    "service": ("service", "source", "service.name", "service_name", "app", "application"),
    "logger": ("logger", "logger_name", "log.logger", "name", "category"),
    "title": ("title",),
    "message": ("message", "msg", "_msg", "event", "@m", "short_message", "text"),
    "request_id": (
        "request_id",
        "correlation_id",
        "x-request-id",
        "x-correlation-id",
        "req_id",
        "request.id",
    ),
    "trace_id": ("trace_id", "trace.id"),
    "span_id": ("span_id", "span.id"),
    "metadata": ("metadata",),
}


def _folded(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def alias_table(extra: Mapping[str, str] = {}) -> dict[str, tuple[str, int]]:
    """Folded name → (field, rank); `extra` is `{alias: field}` from the settings and comes last."""
    table: dict[str, tuple[str, int]] = {}
    for field, names in ALIASES.items():
        for rank, name in enumerate(names):
            table.setdefault(_folded(name), (field, rank))
    for alias, field in extra.items():
        if field not in ALIASES:
            raise ValueError(f"{field!r} is no field of a record: expected one of {', '.join(ALIASES)}")
        table[_folded(alias)] = (field, len(ALIASES[field]))
    return table


_table = alias_table()
generation = 0  # of the table: what was derived from an older one is out of date
# Services repeat a few hundred names; a sender that invents names doesn't fill the memory.
_seen: dict[str, tuple[str, int] | None] = {}
_SEEN_MAX = 4_096


def use_aliases(extra: Mapping[str, str]) -> None:
    """Adds the installation's own names (PHAROS_FIELD_ALIASES)."""
    global _table, generation
    _table = alias_table(extra)
    generation += 1
    _seen.clear()


def _field_of(name: str) -> tuple[str, int] | None:
    try:
        return _seen[name]
    except KeyError:
        found = _table.get(_folded(name))
        if len(_seen) < _SEEN_MAX:
            _seen[name] = found
        return found


def canonical_field(name: str) -> str | None:
    """The record field that `name` means, or None: then it is a key of the metadata."""
    found = _field_of(name)
    return found[0] if found else None


# --- Values --------------------------------------------------------------------------------------------------------


def parse_level(value: object) -> Level | None:
    """The level that a word, a letter or a number means; None if it means none.

    0 to 7 are syslog's severities (RFC 5424), 10 to 60 those of pino and bunyan, each band up to the next.
    """
    if isinstance(value, Level):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word.isascii() and word.isdigit():
            return parse_level(int(word))
        return _LEVEL_WORDS.get(word, _LEVEL_LETTERS.get(word))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    number = int(value)
    if 0 <= number < len(_SYSLOG):
        return _SYSLOG[number]
    return Level(min(number, 60) // 10 - 1) if 10 <= number <= 100 else None


EARLIEST: Final = clock.micros(datetime(1980, 1, 1, tzinfo=UTC))
_TIME_HELP: Final = "expected ISO 8601 or a number of seconds, milliseconds, microseconds or nanoseconds since 1970"


def parse_timestamp(value: object) -> int:
    """Microseconds since the epoch, from ISO 8601 (no offset means UTC) or an epoch number of any common unit.

    Raises RecordError if `value` is neither.
    """
    if isinstance(value, str):
        try:
            return _from_iso(value.strip())
        except ValueError:
            with suppress(ValueError):
                value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError(f"timestamp: {_TIME_HELP}, got {str(value)[:60]!r}")
    return _from_epoch(value)


def _from_iso(text: str) -> int:
    if len(text) < 10 or text.isdigit():
        raise ValueError(text)
    when = datetime.fromisoformat(text)
    return clock.micros(when if when.tzinfo else when.replace(tzinfo=UTC))


def is_plausible(timestamp: int, received: int) -> bool:
    """False for an unset clock and for one far ahead (all µs): then the time of receipt says more."""
    return EARLIEST <= timestamp <= received + FUTURE_MAX


def epoch_unit(number: int | float) -> int:
    """The microseconds in the unit that an epoch number of this size counts; 0 for nanoseconds."""
    size = abs(number)
    if size < 1e11:
        return clock.SECOND
    if size < 1e14:
        return 1_000
    return 1 if size < 1e17 else 0


def _from_epoch(number: int | float) -> int:
    unit = epoch_unit(number)
    return round(number * unit) if unit else int(number) // 1_000


# --- Whole records -------------------------------------------------------------------------------------------------

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_usual = msgspec.json.Decoder().decode
_encode = msgspec.json.encode
_NESTED_WORDS: Final = (b"request", b"correlation", b"trace", b"span")
_NESTED_ID = re.compile(rb'"(?:x[-_]?)?(?:request|correlation|trace|span)[-_]?id"')
ID_FIELDS: Final = ("request_id", "trace_id", "span_id")


def decode(data: bytes | Raw) -> Any:
    """A JSON value; a number beyond the range of a float (1e999) as its text.

    Raises msgspec.DecodeError or RecursionError.
    """
    try:
        return _decode_usual(data)
    except msgspec.ValidationError:
        try:
            return json.loads(bytes(data), parse_float=_float_or_text, parse_int=_int_or_text)
        except ValueError as error:
            raise msgspec.DecodeError(str(error)) from None


def _float_or_text(digits: str) -> float | str:
    return number if math.isfinite(number := float(digits)) else digits


def _int_or_text(digits: str) -> int | str:
    return int(digits) if len(digits) < INTEGER_DIGITS else digits


def from_json(line: bytes, received: int) -> LogRecord:
    """One JSON object as a record. `received` stands in for a missing timestamp.

    Raises RecordError when the line is no JSON object or a field can't be read.
    """
    return from_fields(fields_of(line), received)


def fields_of(line: bytes) -> dict[str, Raw]:
    """The names and values of one JSON object. Raises RecordError when the line is none."""
    if len(line) > LINE_MAX:
        raise RecordError(f"expected a line of at most {LINE_MAX:,} bytes, got {len(line):,}")
    try:
        return _decode_fields(line)
    except msgspec.ValidationError:
        raise RecordError(f"expected a JSON object, got {_shown(line)}") from None
    except msgspec.DecodeError as error:
        return _decode_fields(lenient(line, error))
    except RecursionError:
        raise RecordError(f"expected JSON that is not nested so deep: {_shown(line)}") from None


def names_of(line: bytes) -> tuple[str, ...]:
    """The names in a JSON object, in its order. Raises msgspec.DecodeError or RecursionError."""
    return tuple(_decode_fields(line))


def from_flat(pairs: Mapping[str, str], received: int) -> LogRecord:
    """A record from name/value pairs, as a stream entry has them: every value is text.

    Values of nested fields are JSON, so that both layouts of an entry give the same record.
    """
    return from_fields({name: _flat_value(name, value) for name, value in pairs.items()}, received)


def _flat_value(name: str, value: str) -> Raw:
    if value[:1] in ("{", "[") and canonical_field(name) in (None, "metadata"):
        data = value.encode("utf-8", "replace")
        try:
            decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return Raw(data)
    return Raw(_encode(_clean(value)))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _shown(line: bytes) -> str:
    text = line[:60].decode("utf-8", "replace")
    return repr(text + "…" if len(line) > 60 else text)


def lenient(line: bytes, error: Exception) -> bytes:
    """NaN, Infinity and half a surrogate pair are no JSON, but serializers write them: as text they lose nothing."""
    try:
        loaded = json.loads(line.decode("utf-8", "replace"), parse_constant=str)
    except (ValueError, RecursionError):
        raise RecordError(f"expected JSON, got {_shown(line)}: {error}") from None
    if not isinstance(loaded, dict):
        raise RecordError(f"expected a JSON object, got {_shown(line)}")
    return json.dumps(loaded, ensure_ascii=False).encode("utf-8", "replace")


def from_fields(fields: Mapping[str, Raw], received: int) -> LogRecord:
    """Fields as they came (name → JSON value) as a record. Raises RecordError."""
    found, rest = sorted_out(fields)
    if not found and not rest:
        raise RecordError("expected an object with at least a message, got an empty one")
    timestamp = _timestamp(found, rest, received)
    level = _level(found, rest)
    logger = _short(found, rest, "logger", NAME_MAX)
    service = _short(found, rest, "service", NAME_MAX) or logger or UNKNOWN_SERVICE
    ids = {name: _short(found, rest, name, ID_MAX) for name in ID_FIELDS}
    title, message = _text(found, "title"), _text(found, "message")
    metadata = _metadata(found, rest)
    if not all(ids.values()) and has_nested_id(metadata):
        lift(ids, metadata)
    return LogRecord(
        timestamp, level, service, message, title, logger, ids["request_id"], ids["trace_id"], ids["span_id"], metadata
    )


def sorted_out(fields: Mapping[str, Raw]) -> tuple[dict[str, tuple[str, Any]], dict[str, Any]]:
    """The record's own fields, as field → (name it came under, value), and the rest by name."""
    found: dict[str, tuple[str, Any]] = {}
    ranks: dict[str, int] = {}
    rest: dict[str, Any] = {}
    for name, raw in fields.items():
        if (target := _field_of(name)) is None:
            rest[name] = raw
            continue
        field, rank = target
        if field in found:
            if rank >= ranks[field]:
                rest[name] = raw
                continue
            loser, value = found[field]
            rest[loser] = value
        found[field] = (name, raw)
        ranks[field] = rank
    return found, rest


def _timestamp(found: dict[str, tuple[str, Any]], rest: dict[str, Any], received: int) -> int:
    name, raw = found.get("timestamp", ("", None))
    if raw is None or (value := decode(raw)) in (None, ""):
        return received
    timestamp = parse_timestamp(value)
    if is_plausible(timestamp, received):
        return timestamp
    # An unset clock (year 1, 1970) or one far ahead says nothing of when the line was written.
    rest[name] = raw
    return received


def _level(found: dict[str, tuple[str, Any]], rest: dict[str, Any]) -> Level:
    name, raw = found.get("level", ("", None))
    if raw is None:
        return Level.INFO
    level = parse_level(decode(raw))
    if level is None:
        rest[name] = raw
        return Level.INFO
    return level


def _short(found: dict[str, tuple[str, Any]], rest: dict[str, Any], field: str, longest: int) -> str:
    """A name or an id as text. What is no short text (an object, a novel) stays in the metadata."""
    name, raw = found.get(field, ("", None))
    if raw is None:
        return ""
    value = decode(raw)
    if value is None:
        return ""
    if isinstance(value, dict) and isinstance(value.get("name"), str):  # "service": {"name": …}
        rest[name] = raw
        value = value["name"]
    text = value.strip() if isinstance(value, str) else "" if isinstance(value, dict | list) else str(value)
    if text and len(text) <= longest:
        return text
    if value != "":
        rest[name] = raw
    return ""


def _text(found: dict[str, tuple[str, Any]], field: str) -> str:
    _, raw = found.get(field, ("", None))
    if raw is None:
        return ""
    value = decode(raw)
    if isinstance(value, str):
        return value
    return "" if value is None else bytes(raw).decode()


def _metadata(found: dict[str, tuple[str, Any]], rest: dict[str, Any]) -> bytes:
    base = b"{}"
    if "metadata" in found:
        name, raw = found["metadata"]
        base = bytes(raw)
        if not base.startswith(b"{"):
            base = _object_in_text(base) or b"{}"
            if base == b"{}" and bytes(raw) not in (b"null", b'""'):
                rest[name] = raw
    if rest:
        base = with_rest(base, rest)
    return compact(base)


def compact(metadata: bytes) -> bytes:
    return msgspec.json.format(metadata, indent=-1) if b" " in metadata or b"\n" in metadata else metadata


def _object_in_text(raw: bytes) -> bytes | None:
    """Metadata that was encoded twice: a JSON text that holds a JSON object."""
    value = decode(raw)
    if isinstance(value, str) and value.startswith("{"):
        try:
            return value.encode() if isinstance(decode(value.encode()), dict) else None
        except msgspec.DecodeError:
            return None
    return None


def with_rest(base: bytes, rest: Mapping[str, Any]) -> bytes:
    """The metadata object with further keys; a key that it has already gets "_2" behind its name."""
    taken = _decode_fields(base).keys() if base != b"{}" else ()
    pieces = [_encode(name + "_2" if name in taken else name) + b":" + bytes(raw) for name, raw in rest.items()]
    inner = base.strip()[1:-1].strip()
    return b"{" + b",".join([inner, *pieces] if inner else pieces) + b"}"


def has_nested_id(metadata: bytes) -> bool:
    folded = metadata.lower()  # four plain searches are cheaper than one regular expression
    return any(word in folded for word in _NESTED_WORDS) and _NESTED_ID.search(folded) is not None


def lift(ids: dict[str, str], metadata: bytes) -> None:
    """Fills missing ids from the top of the metadata and from its "context" object, where services put them."""
    top = decode(metadata)
    for place in (top, top.get("context")):
        for name, value in _scalars(place):
            field = canonical_field(name)
            if field in ids and not ids[field] and len(value) <= ID_MAX:
                ids[field] = value


def _scalars(place: object) -> Iterable[tuple[str, str]]:
    if isinstance(place, dict):
        for name, value in place.items():
            if isinstance(value, str | int) and not isinstance(value, bool):
                yield name, str(value)
