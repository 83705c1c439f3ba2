"""Entries that came packed: read like others, and harmless whatever is in them."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from collections.abc import Callable

import pytest

from logs import stream
from logs.store.codec import Block
from logs.stream import UNPACKED_MAX, EntryError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKERS = pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
LINES = b'{"msg": "a", "service": "shop"}\n{"msg": "b", "n": 1}\n'

Pack = Callable[[bytes], bytes]


def read(value: bytes) -> list[str]:
    reading = stream.read([stream.Arrived("pharos:logs", [[b"1795228245123-0", [b"lines", value]]])])
    for _, error in reading.refused:
        raise error
    (taken,) = reading.taken
    assert not isinstance(taken.content, Block)
    return [record.message for record in taken.content]


@PACKERS
def test_packed_lines_are_the_lines(pack: Pack) -> None:
    assert read(pack(LINES)) == ["a", "b"]
    assert read(pack(b'{"msg": "alone"}')) == ["alone"]


def test_packed_parts_may_follow_each_other() -> None:
    assert read(gzip.compress(b'{"msg": "a"}\n') + gzip.compress(b'{"msg": "b"}\n')) == ["a", "b"]


@PACKERS
def test_what_ends_early_is_refused(pack: Pack) -> None:
    with pytest.raises(EntryError, match=r"expected (gzip|zstd), as its first bytes say"):
        read(pack(LINES)[:-5])


@PACKERS
def test_garbage_behind_the_first_bytes_is_refused(pack: Pack) -> None:
    with pytest.raises(EntryError, match=r"expected (gzip|zstd), as its first bytes say"):
        read(pack(LINES)[:4] + b"\xff garbage" * 20)


@PACKERS
def test_a_bomb_is_refused_and_never_unpacked(pack: Pack) -> None:
    bomb = pack(b"{" + b" " * (64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(EntryError, match="expected at most 8,388,608 bytes, unpacked"):
            read(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * UNPACKED_MAX


@PACKERS
def test_too_many_lines_are_counted_before_they_are_read(pack: Pack) -> None:
    with pytest.raises(EntryError, match=r"expected at most 1,024 lines in one entry, got 2,000,000"):
        read(pack(b"{}\n" * 2_000_000))


@PACKERS
def test_what_is_no_object_per_line_is_refused(pack: Pack) -> None:
    with pytest.raises(EntryError, match="expected an object per line"):
        read(pack(b'[{"msg": "a"}]'))
    with pytest.raises(EntryError, match="expected an object per line"):
        read(pack(b""))
    with pytest.raises(EntryError, match="line 2: expected JSON"):
        read(pack(b'{"msg": "a"}\n{"msg":'))
