"""A line of text that a program wrote, as a record: JSON, logfmt, or words with a beginning that `logs.formats` knows.

The level is taken from where formats have it and from nowhere else; where none is, the transport's counts, else it is
`info`. docs/records.md is the same for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from core import clock
from logs import formats, multiline, records
from logs.records import EARLIEST, FUTURE_MAX, LINE_MAX, NAME_MAX, UNKNOWN_SERVICE, Level, LogRecord, RecordError
from logs.terminal import clean

PAIRS_MAX: Final = 1_000  # of a logfmt line
SAME_TIME: Final = 2 * clock.SECOND  # µs: a clock without a zone that is so near tells nothing new

_encode = msgspec.json.encode
_PAIR: Final = r'([A-Za-z_@][\w.@/-]*+)=(?:"((?:[^"\\]|\\.)*+)"|([^\s"]*+))(?: ++|$)'
_PAIRS = re.compile(f"(?:{_PAIR}){{2,{PAIRS_MAX}}}".replace("((?:", "(?:(?:"), re.ASCII)
_each_pair = re.compile(_PAIR, re.ASCII).findall
_OF_LOGFMT: Final = frozenset({"level", "message", "timestamp"})
_NOTHING: Final = {"message": Raw(b'""')}
_ZONELESS = re.compile(rb'"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?"')


def read(
    text: str,
    received: int,
    *,
    timestamp: int | None = None,
    service: str = "",
    labels: Mapping[str, str] = {},
    level: Level | None = None,
) -> LogRecord:
    """One line, or a group of lines joined by \\n, as a record. Never raises: what can't be read is the message.

    `timestamp` (µs) is what the transport knows. It goes before a time of the line that does not say its zone;
    `received` when there is neither. `service` and `level` are the transport's, too: those of the line go before
    them. `labels` go into the metadata; a key that the line has keeps the line's value.
    """
    text = clean(text)
    if (fields := _fields(text)) is None:
        return _from_words(text, received, timestamp, service, labels, level)
    record = _from_fields(fields, received, timestamp, service, level)
    return replace(record, metadata=_labelled(record.metadata, labels)) if labels else record


def _labelled(metadata: bytes, labels: Mapping[str, str]) -> bytes:
    if metadata == b"{}":
        return _encode(dict(labels))
    taken = records.names_of(metadata)
    return records.with_rest(metadata, {name: _encode(labels[name]) for name in labels if name not in taken})


# --- JSON and logfmt -----------------------------------------------------------------------------------------------


def _fields(text: str) -> dict[str, Raw] | None:
    """The names and values of a line that is a JSON object or logfmt."""
    if text[:1] == "{" and text[-1:] == "}":
        try:
            return records.fields_of(text.encode()) or None
        except RecordError:
            return None
    return _logfmt(text)


def _logfmt(text: str) -> dict[str, Raw] | None:
    """The pairs of a line that is nothing but pairs, and has a level, a message or a time among them."""
    if not _PAIRS.fullmatch(text):
        return None
    pairs: dict[str, Raw] = {}
    for name, quoted, bare in _each_pair(text):
        while name in pairs:
            name += "_2"
        pairs[name] = Raw(_encode(_unquoted(quoted) or bare))
    kinds = set(map(records.canonical_field, pairs))
    if "t" in pairs and "timestamp" not in kinds:
        pairs["time"] = pairs.pop("t")  # Grafana's
    return pairs if kinds & _OF_LOGFMT else None


def _unquoted(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return msgspec.json.decode(f'"{text}"'.encode(), type=str)
    except msgspec.DecodeError:
        return text.replace('\\"', '"').replace("\\\\", "\\")


def _from_fields(
    fields: dict[str, Raw], received: int, timestamp: int | None, service: str, level: Level | None
) -> LogRecord:
    kinds = {name: records.canonical_field(name) for name in fields}
    aside: dict[str, Raw] = {}  # times that are not the record's
    if timestamp is not None:
        for name, kind in kinds.items():
            if kind == "timestamp" and _ZONELESS.fullmatch(fields[name]):
                aside |= _local_time(fields.pop(name), timestamp)
    known = received if timestamp is None else timestamp
    try:
        record = records.from_fields(fields or _NOTHING, known)
    except RecordError:
        aside |= {name: fields.pop(name) for name in list(fields) if kinds[name] == "timestamp"}
        record = records.from_fields(fields or _NOTHING, known)
    if aside:
        record = replace(record, metadata=records.with_rest(record.metadata, aside))
    if service and "service" not in kinds.values():
        record = replace(record, service=service[:NAME_MAX])
    if level is not None and "level" not in kinds.values():
        record = replace(record, level=level)
    if not record.message.isprintable():
        record = replace(record, message=clean(record.message))
    return record


def _local_time(raw: Raw, timestamp: int) -> dict[str, Raw]:
    """A time without a zone, to be kept if it tells something that `timestamp` doesn't."""
    try:
        own = records.parse_timestamp(records.decode(raw))
    except RecordError:
        return {"local_time": raw}
    return {"local_time": raw} if abs(own - timestamp) > SAME_TIME else {}


# --- Words ---------------------------------------------------------------------------------------------------------


def _from_words(
    text: str, received: int, timestamp: int | None, service: str, labels: Mapping[str, str], level: Level | None
) -> LogRecord:
    whole = text[:LINE_MAX]
    first, line_end, more = whole.partition("\n")
    head = formats.read_head(first, received)
    message, metadata = _without_object(head.message, {**labels, **head.metadata})
    level = level if head.level is None else head.level
    if line_end and multiline.is_trace(whole):
        metadata["stack_trace"] = whole
        message = multiline.error_of(whole) or message
        if level is None and multiline.begins_trace(first):
            level = Level.ERROR
    elif line_end:
        message = f"{message}\n{more}" if message else more.strip()
    if len(text) > len(whole):
        metadata["characters_cut"] = len(text) - len(whole)
    time = _time(head, received, timestamp, metadata)
    logger = head.logger
    if len(logger) > NAME_MAX:
        metadata["logger"], logger = logger, ""
    return LogRecord(
        time,
        Level.INFO if level is None else level,
        service[:NAME_MAX] or logger or UNKNOWN_SERVICE,
        message,
        logger=logger,
        metadata=_encode(metadata) if metadata else b"{}",
    )


def _time(head: formats.Head, received: int, timestamp: int | None, metadata: dict[str, Any]) -> int:
    """The line's if it says its zone or nothing else is known, and if a clock that is set can have said it."""
    known = received if timestamp is None else timestamp
    if head.time is None or not EARLIEST <= head.time <= received + FUTURE_MAX:
        return known
    if head.zoned or timestamp is None:
        return head.time
    if abs(head.time - timestamp) > SAME_TIME:
        metadata["local_time"] = clock.iso(head.time).removesuffix("Z")
    return known


def _without_object(message: str, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """zap and its like end a line with a tab and a JSON object."""
    text, tab, tail = message.partition("\t{")
    if tab and tail.endswith("}"):
        try:
            more = msgspec.json.decode("{" + tail, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return text, metadata | more
    return message, metadata
