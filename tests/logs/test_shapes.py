"""Many lines at once give what each of them gives alone."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs import shapes
from logs.records import ALIASES, LogRecord, RecordError, from_json, use_aliases
from logs.sources import json_lines

NOW = 1_800_000_000_000_000  # 2027-01-15T08:00:00Z

USUAL = {
    "timestamp": "2025-01-15T10:30:45.123Z",
    "level": "ERROR",
    "source": "worker",
    "title": "OCR Service Timeout",
    "message": "Failed to extract text from receipt after 30s",
    "correlationId": "550e8400-e29b-41d4-a716-446655440000",
    "metadata": {"receiptId": "abc-123", "tags": ["a b", "ü"]},
}
PINO = {"level": 30, "time": 1_705_314_645_123, "msg": "Login", "userId": "u-1", "request_id": "r-1", "100%": 1.0}
NESTED = {"level": "info", "message": "x", "ts": 1.7e9, "context": {"requestId": "r-3", "userId": "u"}, "endpoint": "/"}


def one_by_one(lines: list[bytes]) -> tuple[list[LogRecord], list[tuple[int, str]]]:
    """What `json_lines.parse` must give of these lines."""
    records, rejected = [], []
    for place, line in enumerate(lines):
        try:
            records.append(from_json(line, NOW))
        except RecordError as error:
            rejected.append((place + 1, str(error)))
    return records, rejected


def in_one_order(record: LogRecord) -> LogRecord:
    """Lines with the same names in another order may give metadata in another order."""
    metadata = msgspec.json.encode(msgspec.json.decode(record.metadata), order="sorted")
    return msgspec.structs.replace(record, metadata=metadata, sequence=0)


def assert_the_same(lines: list[bytes]) -> None:
    records, rejected = one_by_one(lines)
    for parsed in (json_lines.parse(b"\n".join(lines), NOW), json_lines.parse_each(lines, [NOW] * len(lines))):
        assert parsed.rejected == rejected
        assert list(map(in_one_order, parsed.records)) == list(map(in_one_order, records))
        bad = {number - 1 for number, _ in rejected}
        assert list(parsed.records.sequence) == [place for place in range(len(lines)) if place not in bad]


# --- Lines of every kind -------------------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2_000_000_000_000_000), st.floats(allow_nan=False, allow_infinity=False),
    text,
)  # fmt: skip
odd = st.sampled_from(
    ["error", "30", "2024-01-15T10:30:45Z", "0001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", " api ", "  ", "x" * 201,
     "\u2003r-1", "", "\x1e\x1f", 2_000_000_000, 4_000_000_000_000, 10**25, [1, {"a": " b"}], {"name": "api"}, "\ud83d"]
)  # fmt: skip
nested = st.dictionaries(
    st.sampled_from(["userId", "request_id", "traceId", "a b", "context", "span-id"]),
    st.one_of(scalars, st.dictionaries(st.sampled_from(["requestId", "a"]), scalars, max_size=2)),
    max_size=3,
)
names = st.sampled_from(
    [*(name for aliases in ALIASES.values() for name in aliases), "correlationId", "requestId", "userId", "context",
     "ünï", "a%d", 'a"b', ""]
)  # fmt: skip
objects = st.one_of(
    st.dictionaries(names, st.one_of(scalars, odd, nested), max_size=8),
    *[
        # A sender's lines: the same names, mostly with the same kind of values.
        st.builds(lambda base, change: {**base, **change}, st.just(base),
                  st.dictionaries(st.sampled_from(list(base)), st.one_of(scalars, odd, nested), max_size=1))
        for base in (USUAL, PINO, NESTED)
    ],
)  # fmt: skip
lines = st.one_of(
    st.builds(
        lambda fields, spaced, ascii_only: json.dumps(
            fields, ensure_ascii=ascii_only, separators=(", ", ": ") if spaced else (",", ":")
        ).encode("utf-8", "replace"),
        objects, st.booleans(), st.booleans(),
    ),
    st.sampled_from([b"hello", b"7", b'{"a": ', b'{"message":"x"}{"message":"y"}', b'{"msg":NaN}', b'\t{"msg":1} ']),
)  # fmt: skip


@given(st.lists(lines, min_size=1, max_size=8))
@settings(deadline=None, max_examples=600)
def test_many_lines_give_what_each_gives_alone(sent: list[bytes]) -> None:
    assert_the_same(sent)


@given(st.sampled_from([USUAL, PINO, NESTED]), st.data())
@settings(deadline=None, max_examples=200)
def test_an_odd_value_in_a_line_changes_nothing_for_the_others(base: dict[str, Any], data: st.DataObject) -> None:
    sent = [dict(base) for _ in range(9)]
    sent[data.draw(st.integers(0, 8))][data.draw(st.sampled_from(list(base)))] = data.draw(st.one_of(scalars, odd))
    assert_the_same([json.dumps(fields).encode() for fields in sent])


@pytest.mark.parametrize("base", [USUAL, PINO, NESTED])
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_usual_lines_are_read_together(base: dict[str, Any], separators: tuple[str, str]) -> None:
    sent = [json.dumps(base, separators=separators).encode()] * 5
    assert shapes.read_whole(b"\n".join(sent), [NOW] * 5) is not None
    assert_the_same(sent)


def test_only_lines_are_read_together() -> None:
    assert shapes.read_whole(b'{"message":\n"a"}', [NOW] * 2) is None
    assert shapes.read_whole(b'{"message":"a"}{"message":"b"}', [NOW]) is None


def test_new_names_make_new_shapes() -> None:
    sent = b'{"message":"x","X-Korrelation":"k-1"}'
    assert json_lines.parse(sent, NOW).records[0].request_id == ""
    try:
        use_aliases({"x-korrelation": "request_id"})
        assert json_lines.parse(sent, NOW).records[0].request_id == "k-1"
    finally:
        use_aliases({})


def test_a_line_has_the_time_at_which_it_was_received() -> None:
    sent = [b'{"message":"a"}', b'{"message":"b"}']
    assert json_lines.parse_each(sent, [NOW, NOW + 1]).records.timestamp == [NOW, NOW + 1]


def test_bytes_that_are_no_text_are_replaced() -> None:
    sent = [b'{"message":"\xff","metadata":{"a":"\xfe"}}', b'{"message":"ok"}']
    first, second = json_lines.parse_each(sent, [NOW, NOW]).records
    assert (first.message, first.metadata) == ("\ufffd", '{"a":"\ufffd"}'.encode())
    assert second.message == "ok"
