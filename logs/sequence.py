"""The sequence of a line: where it stood in the log stream, as one integer that sorts by arrival.

It is made from the stream entry's id and the line's place in the entry, so an entry that is delivered twice gives
the same identities twice, and it fits a signed 64-bit column:

    40 bits  milliseconds of the entry's id, since 2020-01-01 (until November 2054)
    10 bits  the entry's number within its millisecond
    10 bits  the line's place in the entry
     3 bits  the stream: its place in PHAROS_LOG_STREAM, and for others a hash of the name

Two lines share an identity only if their streams share the number, their entries the id, and the lines the place and
the timestamp to the microsecond. A Redis whose clock was set back numbers more than 1,024 entries in one
millisecond: the surplus is carried into the next millisecond, and of those the entries' ids may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Final
from zlib import crc32

EPOCH_MS: Final = 1_577_836_800_000  # 2020-01-01T00:00:00Z
LINES_MAX: Final = 1 << 10  # lines in one entry
STREAMS_MAX: Final = 1 << 3
STEP: Final = STREAMS_MAX  # between two lines of an entry
_ENTRY: Final = LINES_MAX * STREAMS_MAX
_MILLISECOND: Final = _ENTRY << 10
_LAST_ENTRY: Final = (1 << 63) - _ENTRY
_CARRY_FREE: Final = EPOCH_MS + (_LAST_ENTRY // _MILLISECOND) - (1 << 10)  # before it the surplus finds room


def parse_entry_id(entry_id: str) -> tuple[int, int]:
    """`"1700000000000-3"` → `(1700000000000, 3)`."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def parse_entry_ids(entry_ids: Sequence[bytes]) -> list[tuple[int, int]]:
    """`parse_entry_id` for many, as Redis writes them: always with both numbers."""
    numbers = list(map(int, b"-".join(entry_ids).split(b"-")))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def stream_number(stream: str, named: Sequence[str]) -> int:
    """The number of a stream where PHAROS_LOG_STREAM has `named`; the same in each process and after each start."""
    return named.index(stream) if stream in named else crc32(stream.encode()) % STREAMS_MAX


def sequence_of(entry_id: str, stream: int, place: int = 0) -> int:
    return sequence_at(*parse_entry_id(entry_id), stream) + place * STEP


def sequence_at(milliseconds: int, number: int, stream: int) -> int:
    """The sequence of the first line of an entry."""
    since = max(milliseconds - EPOCH_MS, 0)
    # Whoever adds an entry may give it any id, one beyond 2054 as well.
    entry = min(since * _MILLISECOND + number * _ENTRY, _LAST_ENTRY)
    return entry + stream % STREAMS_MAX


def sequences_at(keys: Sequence[tuple[int, int]], stream: int) -> list[int]:
    """`sequence_at` for many, some at least."""
    oldest, newest = min(keys)[0], max(keys)[0]
    if oldest < EPOCH_MS or newest >= _CARRY_FREE or max(map(itemgetter(1), keys)) >= 1 << 20:
        return [sequence_at(milliseconds, number, stream) for milliseconds, number in keys]
    base = stream % STREAMS_MAX - EPOCH_MS * _MILLISECOND
    return [milliseconds * _MILLISECOND + number * _ENTRY + base for milliseconds, number in keys]


def received_at(sequence: int) -> int:
    """When the line reached the stream, in microseconds since the epoch, to the millisecond."""
    return (sequence // _MILLISECOND + EPOCH_MS) * 1_000
