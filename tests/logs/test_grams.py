"""The filters of a block: they may say "perhaps" too often, and never "no" wrongly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs.query import Metadata, Operator
from logs.records import Level, LogRecord
from logs.store import codec, grams
from logs.store.grams import Column

WORDS = st.text(st.sampled_from('abcdef0123456789 -./:"\\{}[],_éßİ日'), max_size=12)


def columns(*records: LogRecord) -> codec.Columns:
    (block,) = codec.encode(records)
    return codec.Columns(block)


def line(message: str = "", metadata: bytes = b"{}", request_id: str = "", trace_id: str = "") -> LogRecord:
    return LogRecord(
        1_790_000_000_000_000, Level.INFO, "api", message, request_id=request_id, trace_id=trace_id, metadata=metadata
    )


@settings(deadline=None)  # the first filter imports numpy
@given(st.lists(WORDS, min_size=1, max_size=30), st.data())
def test_what_a_column_holds_is_never_denied(texts: list[str], data: st.DataObject) -> None:
    opened = columns(*(line(text, request_id=text[:8]) for text in texts))
    filters = grams.make(opened)
    for column in (Column.TEXTS, Column.IDS):
        for part in opened.folded(column).replace(codec.FIELD_END, codec.LINE_END).split(codec.LINE_END):
            begin = data.draw(st.integers(0, len(part)))
            end = data.draw(st.integers(begin, len(part)))
            assert filters.may_hold(column, part[begin:end])


def test_strangers_are_mostly_denied() -> None:
    opened = columns(
        *(line(f"order {n} of customer {n * 7} was sent", trace_id=f"{n * 7919:032x}") for n in range(2_000))
    )
    filters = grams.make(opened)
    strangers = [b"refused by gateway %d" % n for n in range(500)]
    assert sum(filters.may_hold(Column.TEXTS, text) for text in strangers) == 0
    assert len(filters.texts) <= grams.BITS_MAX // 8
    ids = [b"%032x" % (n * 104_729 << 64) for n in range(1, 500)]
    assert sum(filters.may_hold(Column.IDS, text) for text in ids) < 10


def test_a_text_with_a_letter_that_no_id_has_is_denied() -> None:
    filters = grams.make(columns(*(line(trace_id=f"{n * 7919:032x}") for n in range(2_000))))
    assert filters.may_hold(Column.IDS, b"000")
    assert not filters.may_hold(Column.IDS, b"zzz")


@pytest.mark.parametrize(
    ("request_id", "metadata", "ascii_"),
    [("r-1", b"{}", True), ("r-\u212a", b"{}", False), ("r-1", '{"a":"gr\u00fcn"}'.encode(), False)],
)
def test_letters_that_fold_otherwise_are_known(request_id: str, metadata: bytes, ascii_: bool) -> None:
    opened = columns(line(request_id=request_id, metadata=metadata))
    opened.grams = grams.make(opened)
    assert opened.grams.ascii is ascii_
    fresh = columns(line(request_id=request_id, metadata=metadata))
    fresh.grams = opened.grams
    assert fresh.folded(Column.IDS) == codec.fold(fresh.ids)
    assert fresh.folded(Column.METADATA) == codec.fold(fresh.metadata)


def test_a_text_shorter_than_a_piece_may_be_anywhere() -> None:
    filters = grams.make(columns(line("x")))
    assert filters.may_hold(Column.TEXTS, b"abc")
    assert not filters.may_hold(Column.TEXTS, b"abcd")


def test_a_piece_never_reaches_into_the_next_line() -> None:
    filters = grams.make(columns(line("it ends with one"), line("two begins")))
    assert not filters.may_hold(Column.TEXTS, b"onetwo")


@pytest.mark.parametrize(
    ("metadata", "literal"),
    [
        (b'{"a":"plain","n":42.5,"hash":"7e3a91e5"}', True),
        (b'{"time":"1e"}', True),
        (b'{"a":"gr\\u00fcn"}', False),
        (b'{"path":"a\\/b"}', False),
        (b'{"n": 3}', False),
        (b'{"n":1e3}', False),
        (b'{"n":[2,1.5E+3]}', False),
        (b'{"n":"-.5e2"}', False),
        (b'{"n":41.99999999999999999}', False),
    ],
)
def test_metadata_that_reads_otherwise_than_it_is_written_is_marked(metadata: bytes, literal: bool) -> None:
    assert grams.make(columns(line(metadata=metadata))).literal is literal


VALUES = st.one_of(
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(st.sampled_from('aA1e.+-0"/\\ éſK'), max_size=6),
    st.sampled_from(["042", "+42", "-042", "42.", "42.0", "-0", ".0", "00", "true", "4e1"]),
    st.lists(st.integers(-50, 50), max_size=3),
)


@given(VALUES, st.one_of(st.integers(-60, 60).map(str), VALUES.map(str)), st.sampled_from(Operator))
def test_a_value_that_matches_stands_after_its_key_in_one_of_its_forms(
    value: object, asked: str, operator: Operator
) -> None:
    """As far as the filters say that values are written as they are read."""
    node = Metadata(("key",), operator, asked.casefold())
    for ascii_only in (True, False):
        metadata = json.dumps({"key": value}, ensure_ascii=ascii_only, separators=(",", ":"))
        record = line(metadata=metadata.encode())
        opened = columns(record)
        if node.value_forms and node.matches(record) and grams.make(opened).literal:
            written = opened.folded(Column.METADATA)
            forms = node.value_forms
            assert any(b'"key"' + form in written for form in forms.after_key) or (
                forms.text in written and any(b'"key"' + form in written for form in forms.elsewhere)
            )
