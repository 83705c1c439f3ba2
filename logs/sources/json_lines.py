"""The way in for JSON: one object, an array of objects, or an object per line (NDJSON)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from logs import shapes
from logs.lines import Lines

_decode_array = msgspec.json.Decoder(list[Raw]).decode


class Parsed(msgspec.Struct):
    """What a body held, with the lines' places as sequences. Rejected lines are (number from 1, reason)."""

    records: Lines
    rejected: list[tuple[int, str]]


def parse(body: bytes, received: int) -> Parsed:
    """Never raises: what can't be read is in `rejected`, and the rest is not held up by it."""
    body = _valid(body)
    if body.startswith(b"{"):
        text = body.rstrip()
        whole = shapes.read_whole(text, [received] * (text.count(b"\n") + 1))
        if whole is not None:
            return Parsed(whole, [])
    numbered = [(number, line) for number, line in enumerate(_lines(body), 1) if line.strip()]
    records, rejected = shapes.read([line for _, line in numbered], [received] * len(numbered))
    return Parsed(records, [(numbered[place][0], reason) for place, reason in rejected])


def parse_each(lines: Sequence[bytes], received: Sequence[int]) -> Parsed:
    """Objects that came one by one, each without a line end in it; `received` has the time of each."""
    body = b"\n".join(lines)
    valid = _valid(body)
    whole = shapes.read_whole(valid, received)
    if whole is not None:
        return Parsed(whole, [])
    records, rejected = shapes.read(lines if valid is body else valid.split(b"\n"), received)
    return Parsed(records, [(place + 1, reason) for place, reason in rejected])


def _valid(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode()
    return body


def _lines(body: bytes) -> list[bytes]:
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
