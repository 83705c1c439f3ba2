"""Which short pieces of text a block's columns hold: "certainly not here", for any text that is no shorter.

A word, a part of one, a phrase, an id, an address: each is a run of pieces of four or five bytes, so one filter serves
every search for text. A column's filter is a bitmap with one bit for the hash of each piece of its folded text. A
stranger's piece finds its bit set one time in three; a text of ten bytes has seven pieces, and all must be there.

Filters are made in the background (`BlockStore.maintain`), with numpy: 2 µs a line, where plain Python needs 25.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from logs.store.codec import Columns

BITS_MAX: Final = 1 << 16  # of one filter: 8 KB for some 2,000 lines of random ids
_BITS_MIN: Final = 1 << 6
_FULL: Final = 0.25  # a filter is halved as long as no more of its bits are set
_SPREAD: Final = 0x9E3779B1  # 2^32 divided by the golden ratio: neighbours land far apart (Knuth, TAOCP 6.4)
SEPARATORS: Final = b"\xfe\xff"  # what stands between fields and lines
# Metadata that reads differently from what it is: "\u0041", "\/", 1e3 for 1000, 0.99999999999999999 for 1; and spaces
# between a key and its value, which only metadata has that was never read on its way in.
_ESCAPES: Final = (b"\\u", b"\\/", b".9999", b'": ', b'" :')
_EXPONENT: Final = re.compile(rb'e[+-]?[0-9]{1,3}[,\]}\s"]')
_MANTISSA: Final = re.compile(rb'[:,\[\s"][+-]?[0-9]*\.?[0-9]*\Z')


class Column(StrEnum):
    TEXTS = "texts"
    IDS = "ids"
    METADATA = "metadata"


# Bytes of a piece. Ids are mostly hexadecimal, and half of all 65,536 pieces of four such digits are in a block.
LENGTHS: Final = {Column.TEXTS: 4, Column.IDS: 5, Column.METADATA: 4}


class Grams(msgspec.Struct, frozen=True):
    """The filters of one block, and what else is known of its text columns."""

    texts: bytes
    ids: bytes
    metadata: bytes
    letters: bytes  # each byte that is in the folded ids: hexadecimal digits mostly, and then no word needs a filter
    literal: bool  # the values in the metadata stand there letter by letter as they are read
    ascii: bool  # ids and metadata: folding them is one call

    def bitmap(self, column: Column) -> bytes:
        bits: bytes = getattr(self, column)
        return bits

    def may_hold(self, column: Column, text: bytes) -> bool:
        """False only if the (folded) text is nowhere in the column. A shorter one than a piece may be anywhere."""
        if column is Column.IDS and not spells(self.letters, text):
            return False
        return all_set(self.bitmap(column), places(text, LENGTHS[column]))


def spells(letters: bytes, text: bytes) -> bool:
    """Whether a text has no other letters."""
    return not text.translate(None, letters)


def make(columns: Columns) -> Grams:
    bitmaps = {column.value: bitmap(columns.folded(column), LENGTHS[column]) for column in Column}
    metadata = columns.folded(Column.METADATA)
    return Grams(
        **bitmaps,
        letters=bytes(sorted(set(columns.folded(Column.IDS)))),
        literal=not any(escape in metadata for escape in _ESCAPES) and not _has_exponent(metadata),
        ascii=is_ascii(columns.ids) and is_ascii(columns.metadata),
    )


def is_ascii(column: bytes) -> bool:
    """Whether the fields of a column have no other letters."""
    return column.translate(None, SEPARATORS).isascii()


def _has_exponent(metadata: bytes) -> bool:
    return any(
        _MANTISSA.search(metadata, max(found.start() - 50, 0), found.start()) for found in _EXPONENT.finditer(metadata)
    )


def bitmap(folded: bytes, length: int) -> bytes:
    """The filter of a column, for pieces of `length` bytes: a power of two of bits, no more than it needs."""
    import numpy as np

    data = np.frombuffer(folded, np.uint8)
    starts = max(len(data) - length + 1, 0)
    pieces = np.zeros(starts, np.uint32)
    inside = np.ones(starts, bool)
    for place in range(length):
        byte = data[place : place + starts]
        pieces = (pieces + byte) * np.uint32(_SPREAD)
        inside &= byte < SEPARATORS[0]
    bits = np.zeros(BITS_MAX, bool)
    bits[pieces[inside] >> np.uint32(16)] = True
    while len(bits) > _BITS_MIN:
        half = len(bits) // 2
        halved = bits[:half] | bits[half:]
        if halved.mean() > _FULL:
            break
        bits = halved
    return np.packbits(bits, bitorder="little").tobytes()


@lru_cache(maxsize=4_096)
def places(text: bytes, length: int) -> tuple[int, ...]:
    """Where the pieces of a text are in a filter of BITS_MAX; in a smaller one, the same modulo its size."""
    found: dict[int, None] = {}
    for start in range(len(text) - length + 1):
        piece = 0
        for byte in text[start : start + length]:
            piece = (piece + byte) * _SPREAD & 0xFFFFFFFF
        found[piece >> 16] = None
    return tuple(found)


def all_set(bitmap: bytes, wanted: tuple[int, ...]) -> bool:
    last = len(bitmap) * 8 - 1
    for place in wanted:
        at = place & last
        if not bitmap[at >> 3] >> (at & 7) & 1:
            return False
    return True
