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

from logs import formats, multiline, records
from logs.records import EARLIEST, FUTURE_MAX, LINE_MAX, NAME_MAX, UNKNOWN_SERVICE, Level, LogRecord, RecordError
from logs.terminal import clean

PAIRS_MAX: Final = 1_000  # of a logfmt line

_encode = msgspec.json.encode
_PAIR = re.compile(r'([A-Za-z_@][\w.@/-]*)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))(?: +|$)', re.ASCII)
_OF_LOGFMT: Final = frozenset({"level", "message", "timestamp"})
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
    if (fields := _fields(text)) is not None:
        record = _from_fields(fields, received, timestamp, service, level)
    else:
        record = _from_words(text, received, timestamp, service, level)
    return replace(record, metadata=_labelled(record.metadata, labels)) if labels else record


def _labelled(metadata: bytes, labels: Mapping[str, str]) -> bytes:
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
    """The pairs of a line that is nothing but pairs, and has a level, a message or a time among two or more."""
    if not _PAIR.match(text):
        return None
    pairs: dict[str, Raw] = {}
    place = 0
    while place < len(text):
        if (found := _PAIR.match(text, place)) is None or len(pairs) >= PAIRS_MAX:
            return None
        name, quoted, bare = found.groups()
        while name in pairs:
            name += "_2"
        pairs[name] = Raw(_encode(bare if quoted is None else _unquoted(quoted)))
        place = found.end()
    if "t" in pairs and not any(records.canonical_field(name) == "timestamp" for name in pairs):
        pairs["time"] = pairs.pop("t")  # Grafana's
    return pairs if len(pairs) > 1 and _OF_LOGFMT & {records.canonical_field(name) for name in pairs} else None


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
    found, _ = records.sorted_out(fields)
    known = received if timestamp is None else timestamp
    if timestamp is not None and "timestamp" in found and _ZONELESS.fullmatch(found["timestamp"][1]):
        fields = _without(fields, found["timestamp"][0], "transport_time")
    try:
        record = records.from_fields(fields, known)
    except RecordError:  # a time that nobody can read stays as it is, in the metadata
        fields = _without(fields, found["timestamp"][0], "unread_time")
        record = records.from_fields(fields, known)
    if service and "service" not in found:
        record = replace(record, service=service[:NAME_MAX])
    if level is not None and "level" not in found:
        record = replace(record, level=level)
    if not record.message.isprintable():
        record = replace(record, message=clean(record.message))
    return record


def _without(fields: dict[str, Raw], name: str, instead: str) -> dict[str, Raw]:
    """The same fields with a name that means none of the record's."""
    return {instead if key == name else key: value for key, value in fields.items()}


# --- Words ---------------------------------------------------------------------------------------------------------


def _from_words(text: str, received: int, timestamp: int | None, service: str, level: Level | None) -> LogRecord:
    first, line_end, more = text[:LINE_MAX].partition("\n")
    head = formats.read_head(first, received)
    message, metadata = _without_object(head.message, head.metadata)
    if line_end and multiline.is_trace(text):
        metadata["stack_trace"] = text
        message = multiline.error_of(text) or message
        level = head.level or level or (Level.ERROR if multiline.begins_trace(first) else None)
    elif line_end:
        message = f"{message}\n{more}".strip()
    if len(text) > LINE_MAX:
        metadata["characters_cut"] = len(text) - LINE_MAX
    found = head.level if head.level is not None else level
    logger = head.logger
    if len(logger) > NAME_MAX:
        metadata["logger"], logger = logger, ""
    return LogRecord(
        _time(head, received, timestamp),
        Level.INFO if found is None else found,
        service[:NAME_MAX] or logger or UNKNOWN_SERVICE,
        message,
        logger=logger,
        metadata=_encode(metadata) if metadata else b"{}",
    )


def _time(head: formats.Head, received: int, timestamp: int | None) -> int:
    """The line's if it says its zone or nothing else is known, and if a clock that is set can have said it."""
    known = received if timestamp is None else timestamp
    if head.time is None or not (head.zoned or timestamp is None):
        return known
    return head.time if EARLIEST <= head.time <= received + FUTURE_MAX else known


def _without_object(message: str, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """zap and its like end a line with a tab and a JSON object."""
    text, tab, tail = message.partition("\t{")
    if tab and tail.endswith("}"):
        try:
            more = msgspec.json.decode("{" + tail, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return text, more | metadata
    return message, dict(metadata)
