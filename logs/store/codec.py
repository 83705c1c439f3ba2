"""The block: some thousand lines as compressed columns. Pure: records in, bytes out, and back.

Lines of a block are sorted by position. In the text columns, lines end at the byte 0xFF and fields at 0xFE, which
UTF-8 never uses: nothing needs escaping, and one `bytes.find` searches all lines at once. A block is written once,
by whoever parsed its lines; on its way through the log stream it only gets its `base`, the sequence of its place.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from operator import or_, sub
from typing import Final

import msgspec

from core import clock
from logs.lines import Lines
from logs.records import Level, LogRecord
from logs.store.grams import Column, Grams, is_ascii

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LINE_END: Final = b"\xff"
FIELD_END: Final = b"\xfe"
BLOCK_LINES: Final = 2_048
SMALL: Final = BLOCK_LINES * 3 // 4  # lines; smaller blocks are merged
SPAN_MAX: Final = clock.HOUR  # of one block, so that a late line doesn't stretch a block over days
# Where a text field is: its column, and its place in the line.
FIELDS: Final = {
    "title": (Column.TEXTS, 0), "message": (Column.TEXTS, 1),
    "request_id": (Column.IDS, 0), "trace_id": (Column.IDS, 1), "span_id": (Column.IDS, 2),
}  # fmt: skip
_LEVELS: Final = tuple(Level)
# A checksum in each column: flipped bytes are found when it is opened, and never shown as somebody's line.
_OPTIONS: Final[Mapping[int, int]] = {
    int(zstd.CompressionParameter.compression_level): 1,
    int(zstd.CompressionParameter.checksum_flag): 1,
}


class DamagedError(ValueError):
    """Bytes that were a block once."""


class Header(msgspec.Struct, array_like=True):
    """What tells a search that it needn't open the block."""

    lines: int
    first: int  # timestamp of the oldest line, µs
    last: int
    services: list[str]
    loggers: list[str]
    pairs: list[int]  # service index * 8 + level, each pair that occurs
    counts: msgspec.Raw  # [(minute since the epoch, pair, lines)], opened by `by_minute` when somebody asks
    ascii: bool  # case folding is then one call

    @property
    def level_mask(self) -> int:
        mask = 0
        for pair in self.pairs:
            mask |= 1 << (pair & 7)
        return mask

    @property
    def by_minute(self) -> list[tuple[int, int, int]]:
        """(minute since the epoch, pair, lines), ascending."""
        return _counts_decoder.decode(self.counts)


class Block(msgspec.Struct, array_like=True):
    """A header and its columns. `base` is added to the `sequences` column."""

    header: Header
    times: bytes
    sequences: bytes
    labels: bytes  # level, service index, logger index: one byte each, or two for the indexes
    texts: bytes  # title, message
    ids: bytes  # request, trace, span
    metadata: bytes
    base: int = 0

    @property
    def size(self) -> int:
        """Bytes of the columns."""
        columns = (self.times, self.sequences, self.labels, self.texts, self.ids, self.metadata)
        return sum(map(len, columns))


def encode(records: Iterable[LogRecord]) -> list[Block]:
    """Records as blocks: at most BLOCK_LINES lines and SPAN_MAX of time in each, and none reaches past midnight UTC.

    Sequences are kept as they are.
    """
    lines = _in_order(Lines.of(records))
    times = lines.timestamp
    blocks = []
    begin = 0
    while begin < len(lines):
        end = min(begin + BLOCK_LINES, bisect_right(times, latest(times[begin])))
        blocks.append(_encode(lines[begin:end]))
        begin = end
    return blocks


def latest(first: int) -> int:
    """The latest time that shares a block with `first`: days are archived, and each line is in one of them."""
    return min(first + SPAN_MAX, first - first % clock.DAY + clock.DAY - 1)


def _in_order(lines: Lines) -> Lines:
    times, sequences = lines.timestamp, lines.sequence
    if times == sorted(times) and (isinstance(sequences, range) or sequences == sorted(sequences)):
        return lines
    positions = list(zip(times, sequences, strict=True))
    return lines.picked(sorted(range(len(lines)), key=positions.__getitem__))


def _encode(lines: Lines) -> Block:
    times = lines.timestamp
    services, service_indexes = _dictionary(lines.service)
    loggers, logger_indexes = _dictionary(lines.logger)
    levels = bytes(lines.level)
    base, sequences = _offsets(lines.sequence)
    pairs = list(map(or_, map((8).__mul__, service_indexes), levels))
    header = Header(
        lines=len(lines),
        first=times[0],
        last=times[-1],
        services=services,
        loggers=loggers,
        pairs=sorted(set(pairs)),
        counts=_counts(times, pairs),
        ascii=_are_ascii(lines.title, lines.message),
    )
    return Block(
        header,
        times=pack([times[0], *map(sub, times[1:], times)]),
        sequences=sequences,
        labels=compress(levels + _indexes(service_indexes, services) + _indexes(logger_indexes, loggers)),
        texts=_join(lines.title, lines.message),
        ids=_join(lines.request_id, lines.trace_id, lines.span_id),
        metadata=compress(LINE_END.join(lines.metadata)),
        base=base,
    )


def _are_ascii(*fields: list[str]) -> bool:
    return all(all(map(str.isascii, texts)) for texts in fields)


def _join(*fields: list[str]) -> bytes:
    """The column of fields that are found together."""
    if _are_ascii(*fields):
        # Latin-1 has the bytes of the two ends as characters, so all lines become bytes at once.
        return compress("\xff".join(map("\xfe".join, zip(*fields, strict=True))).encode("latin-1"))
    encoded = [[text.encode("utf-8", "replace") for text in texts] for texts in fields]
    return compress(LINE_END.join(map(FIELD_END.join, zip(*encoded, strict=True))))


def _offsets(sequences: Sequence[int]) -> tuple[int, bytes]:
    """The lowest sequence, and how far the others are above it."""
    if isinstance(sequences, range):
        return sequences.start, _pack_even(len(sequences), sequences.step)
    base = min(sequences)
    return base, pack([sequence - base for sequence in sequences])


def _counts(times: list[int], pairs: list[int]) -> msgspec.Raw:
    """How many lines each minute has of each pair."""
    counts = []
    begin = 0
    while begin < len(times):
        minute = times[begin] // clock.MINUTE
        end = bisect_left(times, (minute + 1) * clock.MINUTE)
        counts += [(minute, pair, lines) for pair, lines in sorted(Counter(pairs[begin:end]).items())]
        begin = end
    return msgspec.Raw(_encoder.encode(counts))


def _dictionary(values: list[str]) -> tuple[list[str], list[int]]:
    """Distinct values, and for each line the index of its value."""
    index = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return list(index), list(map(index.__getitem__, values))


def _indexes(indexes: list[int], values: list[str]) -> bytes:
    return bytes(indexes) if len(values) <= 256 else _little_endian(array("H", indexes)).tobytes()


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def compress(data: bytes) -> bytes:
    return zstd.compress(data, options=_OPTIONS)


def decompress(data: bytes) -> bytes:
    """Raises DamagedError."""
    try:
        return zstd.decompress(data)
    except zstd.ZstdError as error:
        raise DamagedError(str(error)) from None


def pack(numbers: Iterable[int]) -> bytes:
    return compress(_little_endian(array("q", numbers)).tobytes())


@lru_cache(maxsize=64)
def _pack_even(lines: int, step: int) -> bytes:
    """Sequences that are evenly apart, as those of all chunks are."""
    return pack(range(0, lines * step, step))


def unpack(data: bytes) -> array[int]:
    numbers = array("q")
    numbers.frombytes(decompress(data))
    return _little_endian(numbers)


class Columns:
    """A block, opened column by column as they are asked for."""

    grams: Grams | None = None  # filters of its text columns, if somebody made them

    def __init__(self, block: Block) -> None:
        self._block = block
        self.header = block.header
        self.lines = block.header.lines

    def column(self, name: str) -> bytes:
        """As it is in the block: compressed."""
        data: bytes = getattr(self._block, name)
        return data

    @cached_property
    def base(self) -> int:
        return self._block.base

    @cached_property
    def times(self) -> list[int]:
        return list(accumulate(unpack(self.column("times"))))

    @property
    def sequences(self) -> list[int]:
        base = self.base
        return [base + offset for offset in self._offsets]

    def sequence(self, line: int) -> int:
        return self.base + self._offsets[line]

    @cached_property
    def _offsets(self) -> array[int]:
        return unpack(self.column("sequences"))

    @cached_property
    def _labels(self) -> bytes:
        return decompress(self.column("labels"))

    @cached_property
    def levels(self) -> bytes:
        return self._labels[: self.lines]

    @cached_property
    def services(self) -> Sequence[int]:
        return self._index_column(self.lines, self.header.services)

    @cached_property
    def loggers(self) -> Sequence[int]:
        wide = 1 + (len(self.header.services) > 256)
        return self._index_column(self.lines * (1 + wide), self.header.loggers)

    def _index_column(self, begin: int, values: list[str]) -> Sequence[int]:
        if len(values) <= 256:
            return self._labels[begin : begin + self.lines]
        numbers = array("H")
        numbers.frombytes(self._labels[begin : begin + 2 * self.lines])
        return _little_endian(numbers)

    @cached_property
    def texts(self) -> bytes:
        return decompress(self.column("texts"))

    @cached_property
    def ids(self) -> bytes:
        return decompress(self.column("ids"))

    @cached_property
    def metadata(self) -> bytes:
        return decompress(self.column("metadata"))

    def folded(self, column: Column) -> bytes:
        """A text column without regard to case."""
        if column not in self._folded:
            data: bytes = getattr(self, column)
            known = self.header.ascii if column is Column.TEXTS else self.grams is not None and self.grams.ascii
            self._folded[column] = data.lower() if known else fold(data)
        return self._folded[column]

    @cached_property
    def _folded(self) -> dict[Column, bytes]:
        return {}

    def line(self, column: Column, number: int) -> bytes:
        """One line of a text column."""
        return self._lines(column)[number]

    def _lines(self, column: Column) -> list[bytes]:
        """All of them: to find out where a few begin takes longer."""
        if column not in self._split:
            data: bytes = getattr(self, column)
            self._split[column] = data.split(LINE_END)
        return self._split[column]

    @cached_property
    def _split(self) -> dict[Column, list[bytes]]:
        return {}

    def record(self, line: int) -> LogRecord:
        return self.records([line])[0]

    def records(self, lines: Sequence[int] | None = None) -> list[LogRecord]:
        """Of these lines, or all."""
        lines = range(self.lines) if lines is None else lines
        texts, ids, metadata = [list(map(self._lines(column).__getitem__, lines)) for column in Column]
        times, base, offsets, levels = self.times, self.base, self._offsets, self.levels
        services, service_of = self.header.services, self.services
        loggers, logger_of = self.header.loggers, self.loggers
        decode = bytes.decode
        return [
            LogRecord(
                times[line],
                _LEVELS[levels[line]],
                services[service_of[line]],
                decode(message),
                decode(title),
                loggers[logger_of[line]],
                decode(request_id),
                decode(trace_id),
                decode(span_id),
                more,
                base + offsets[line],
            )
            for line, (title, message), (request_id, trace_id, span_id), more in zip(
                lines, _fields_of(texts), _fields_of(ids), metadata, strict=True
            )
        ]

    def field(self, name: str, line: int) -> str:
        """One text field of a line: title, message, or one of the ids."""
        column, place = FIELDS[name]
        return self.line(column, line).split(FIELD_END)[place].decode()

    @property
    def positions(self) -> list[tuple[int, int]]:
        return list(zip(self.times, self.sequences, strict=True))

    def service(self, line: int) -> str:
        return self.header.services[self.services[line]]

    def logger(self, line: int) -> str:
        return self.header.loggers[self.loggers[line]]

    def as_lines(self) -> Lines:
        """All lines, column by column: several times as fast as all records."""
        services, loggers = self.header.services, self.header.loggers
        titles, messages = self._fields(Column.TEXTS)
        return Lines(
            self.times,
            list(map(Level, self.levels)),
            [services[index] for index in self.services],
            messages,
            titles,
            [loggers[index] for index in self.loggers],
            *self._fields(Column.IDS),
            self.metadata.split(LINE_END),
            self.sequences,
        )

    def _fields(self, column: Column) -> list[list[str]]:
        data: bytes = getattr(self, column)
        rows = [line.split(FIELD_END) for line in data.split(LINE_END)]
        return [list(map(bytes.decode, field)) for field in zip(*rows, strict=True)]


def _fields_of(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    return (line.split(FIELD_END) for line in lines)


def fold(data: bytes) -> bytes:
    """Casefolded text, separators kept. Folding goes character by character, so folding many lines is folding each."""
    if is_ascii(data):
        return data.lower()
    return data.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Block)
_header_decoder = msgspec.msgpack.Decoder(Header)
_counts_decoder = msgspec.msgpack.Decoder(list[tuple[int, int, int]])


def dump(block: Block) -> bytes:
    return _encoder.encode(block)


def dump_header(header: Header) -> bytes:
    return compress(_encoder.encode(header))


def load_header(data: bytes) -> Header:
    """Raises DamagedError."""
    return _header_decoder.decode(decompress(data))


def load(data: bytes) -> Block:
    """Raises msgspec.DecodeError when `data` is no block."""
    return _decoder.decode(data)
