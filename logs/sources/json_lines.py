"""The way in for JSON: one object, an array of objects, or an object per line (NDJSON)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from logs import shapes
from logs.sources.ways import Answer, Body, Parsed, Refused, Way

REJECTED_MAX: Final = 100  # reasons in an answer

_decode_array = msgspec.json.Decoder(list[Raw]).decode


class JsonLines(Way):
    """`POST /api/logs`."""

    name = "json"
    # curl's --data says x-www-form-urlencoded if it isn't told otherwise: the body decides.
    content_types = frozenset(
        {"", "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain",
         "application/x-www-form-urlencoded", "application/stream+json", "text/json", "application/json-seq"}
    )  # fmt: skip
    expected = "application/json or application/x-ndjson"

    def parse(self, body: Body) -> Parsed:
        parsed = parse(body.data, body.received)
        if not parsed.records:
            if not parsed.rejected:
                raise Refused(
                    400, "expected a JSON object, an array of objects or an object per line, got an empty body"
                )
            raise Refused(400, parsed.rejected[0][1], rejected=parsed.rejected)
        return parsed

    def taken(self, parsed: Parsed, content_type: str) -> Answer:
        return _answer(202, {"accepted": len(parsed.records), "rejected": _listed(parsed.rejected)})

    def refused(self, refused: Refused, content_type: str) -> Answer:
        more = {} if refused.rejected is None else {"accepted": 0, "rejected": _listed(refused.rejected)}
        return _answer(refused.status, {"error": refused.error, **more})


def _listed(rejected: Sequence[tuple[int, str]]) -> list[dict[str, object]]:
    return [{"line": line, "error": error} for line, error in rejected[:REJECTED_MAX]]


def _answer(status: int, answer: dict[str, object]) -> Answer:
    return Answer(status, "application/json", msgspec.json.encode(answer))


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
        except (msgspec.DecodeError, RecursionError):
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
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
