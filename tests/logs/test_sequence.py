from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from logs.sequence import LINES_MAX, parse_entry_ids, received_at, sequence_at, sequence_of, sequences_at


def test_sequences_sort_by_entry_and_then_by_place() -> None:
    ids = ["1700000000000-0", "1700000000000-1", "1700000000000-1023", "1700000000001-0"]
    sequences = [sequence_of(entry, 0, place) for entry in ids for place in (0, 1, LINES_MAX - 1)]
    assert sequences == sorted(set(sequences))


def test_two_streams_never_share_a_sequence() -> None:
    assert len({sequence_of("1700000000000-0", stream, place) for stream in range(8) for place in range(9)}) == 72


def test_it_says_when_the_line_was_received() -> None:
    assert received_at(sequence_of("1700000000123-7", 3, 5)) == 1_700_000_000_123_000


def test_it_fits_a_signed_column_until_2054() -> None:
    assert sequence_of("2676000000000-1023", 7, LINES_MAX - 1) < 1 << 63


@example(keys=[(1_700_000_000_000 + n // 3, n % 3) for n in range(100)], stream=5)
@given(st.lists(st.tuples(st.integers(0, 1 << 50), st.integers(0, 1 << 21)), min_size=1), st.integers(0, 7))
def test_many_entries_at_once_get_the_sequences_that_they_get_one_by_one(
    keys: list[tuple[int, int]], stream: int
) -> None:
    ids = [f"{milliseconds}-{number}".encode() for milliseconds, number in keys]
    assert parse_entry_ids(ids) == keys
    assert sequences_at(keys, stream) == [sequence_at(*key, stream) for key in keys]
