"""A block gives back what was put into it, whatever that is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import clock
from logs.records import Level, LogRecord
from logs.store import codec
from logs.store.codec import Columns
from tests.logs.corpus import START, corpus

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
records = st.builds(
    LogRecord,
    timestamp=st.integers(START, START + clock.HOUR),
    level=st.sampled_from(Level),
    service=texts,
    message=texts,
    title=texts,
    logger=texts,
    request_id=texts,
    trace_id=texts,
    span_id=texts,
    metadata=st.dictionaries(texts, texts, max_size=3).map(msgspec.json.encode),
    sequence=st.integers(0, (1 << 63) - 1),
)


def decoded(blocks: list[codec.Block]) -> list[LogRecord]:
    return [record for block in blocks for record in Columns(codec.load(codec.dump(block))).records()]


@given(st.lists(records, min_size=1, max_size=20))
@settings(deadline=None, max_examples=150)
def test_what_goes_in_comes_out_in_order(lines: list[LogRecord]) -> None:
    assert decoded(codec.encode(lines)) == sorted(lines, key=lambda record: record.position)


@given(st.lists(texts, min_size=1, max_size=10))
def test_folding_a_column_is_folding_each_of_its_lines(lines: list[str]) -> None:
    column = codec.LINE_END.join(line.encode() for line in lines)
    assert codec.fold(column).split(codec.LINE_END) == [line.casefold().encode() for line in lines]


def test_more_services_than_a_byte_can_count_are_no_trouble() -> None:
    lines = [
        LogRecord(START + n, Level.INFO, f"service-{n % 700}", "x", logger=f"logger-{n % 300}") for n in range(1_400)
    ]
    assert [(r.service, r.logger) for r in decoded(codec.encode(lines))] == [(r.service, r.logger) for r in lines]


def test_a_block_is_bounded_in_lines_and_in_time() -> None:
    many = [LogRecord(START + n, Level.INFO, "a", "x") for n in range(codec.BLOCK_LINES * 2 + 1)]
    assert [block.header.lines for block in codec.encode(many)] == [codec.BLOCK_LINES, codec.BLOCK_LINES, 1]
    apart = [LogRecord(START + n * clock.HOUR, Level.INFO, "a", "x") for n in range(4)]
    assert [block.header.lines for block in codec.encode(apart)] == [2, 2]


def test_the_header_tells_what_is_inside() -> None:
    lines = corpus(500)
    (block,) = codec.encode(lines)
    header = block.header
    assert header.lines == 500
    assert (header.first, header.last) == (min(r.timestamp for r in lines), max(r.timestamp for r in lines))
    assert set(header.services) == {r.service for r in lines}
    assert header.level_mask == sum(1 << level for level in {r.level for r in lines})
    assert sum(lines for _minute, _pair, lines in header.by_minute) == 500
    assert block.size == sum(
        map(len, (block.times, block.sequences, block.labels, block.texts, block.ids, block.metadata))
    )


@pytest.mark.parametrize("data", [b"", b"nonsense", codec.dump(codec.encode(corpus(3))[0])[:-20]])
def test_what_is_no_block_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        codec.load(data)


def test_nothing_makes_no_block() -> None:
    assert codec.encode([]) == []


@given(st.lists(records, min_size=1, max_size=20))
def test_the_lines_of_a_block_are_its_records(lines: list[LogRecord]) -> None:
    for block in codec.encode(lines):
        assert list(Columns(block).as_lines()) == Columns(block).records()
