"""The way in for JSON: one object, an array of objects, or an object per line (NDJSON)."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from logs.records import LogRecord, RecordError, from_json

_decode_array = msgspec.json.Decoder(list[Raw]).decode


class Parsed(msgspec.Struct):
    """What a body held. Rejected lines are (number from 1, reason)."""

    records: list[LogRecord]
    rejected: list[tuple[int, str]]


def parse(body: bytes, received: int) -> Parsed:
    """Never raises: what can't be read is in `rejected`, and the rest is not held up by it."""
    parsed = Parsed([], [])
    for number, line in enumerate(_lines(body), 1):
        if not line.strip():
            continue
        try:
            parsed.records.append(from_json(line, received))
        except RecordError as error:
            parsed.rejected.append((number, str(error)))
    return parsed


def _lines(body: bytes) -> list[bytes]:
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode("utf-8", "replace").encode()
    start = body.lstrip()[:1]
    if start == b"[":
        try:
            return [bytes(raw) for raw in _decode_array(body)]
        except msgspec.DecodeError:
            return [body.strip()]
    lines = body.split(b"\n")
    if start == b"{" and len(lines) > 1 and _is_one_object(lines[0], body):
        return [body]
    return lines


def _is_one_object(first: bytes, body: bytes) -> bool:
    """Pretty-printed JSON has line ends within one object; NDJSON's first line is whole."""
    if first.rstrip().endswith(b"}"):
        return False
    try:
        msgspec.json.decode(body, type=dict[str, Raw])
    except msgspec.DecodeError:
        return False
    return True
