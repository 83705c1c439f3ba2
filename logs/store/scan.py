"""Executes a query on a block: which lines match, without making records of the others.

A selection is one integer with a byte per line, 1 where the line matches, so that AND, OR and NOT are single
operations on 2,048 lines. Text is found in a whole column at once; what a column can't decide is asked of the node's
own predicate, for the lines that may match only. The two executions of a query are compared in the tests.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_, or_
from typing import Final

from core import clock
from logs.query import And, Everything, Field, Level, Metadata, Node, Not, Operator, Or, Text
from logs.records import Level as RecordLevel
from logs.records import LogRecord
from logs.store.codec import LINE_END, Columns, Header

Selection = int


def select(node: Node, columns: Columns) -> Selection:
    match node:
        case Everything():
            return _all(columns)
        case And(children=children):
            return reduce(and_, _until_empty(children, columns))
        case Or(children=children):
            return reduce(or_, (select(child, columns) for child in children))
        case Not(child=child):
            return _all(columns) ^ select(child, columns)
        case Level(levels=levels):
            return int.from_bytes(columns.levels.translate(_level_table(levels)), "little")
        case Text():
            return _text(node, columns)
        case Field(name="service" | "logger"):
            return _label(node, columns)
        case Field(name="id"):
            return _id(node, columns)
        case Field():
            return _field(node, columns)
        case Metadata():
            return _metadata(node, columns)
        case _:
            raise TypeError(f"no scan for {type(node).__name__}")


def lines_of(selection: Selection, lines: int) -> list[int]:
    """The numbers of the selected lines, ascending."""
    marks = selection.to_bytes(lines, "little")
    found = []
    at = marks.find(1)
    while at >= 0:
        found.append(at)
        at = marks.find(1, at + 1)
    return found


def may_match(node: Node, header: Header) -> bool:
    """False only if no line of the block can match."""
    match node:
        case And(children=children):
            return all(may_match(child, header) for child in children)
        case Or(children=children):
            return any(may_match(child, header) for child in children)
        case Level(levels=levels):
            return any(header.level_mask >> level & 1 for level in levels)
        case Field(name="service"):
            return any(map(node.matches_value, header.services))
        case Field(name="logger"):
            return any(map(node.matches_value, header.loggers))
        case _:
            return True


def reads_labels_only(node: Node) -> bool:
    """Whether level and service decide: then a block's counts answer, and nothing is opened."""
    match node:
        case And(children=children) | Or(children=children):
            return all(map(reads_labels_only, children))
        case Not(child=child):
            return reads_labels_only(child)
        case Everything() | Level() | Field(name="service"):
            return True
        case _:
            return False


def counted(node: Node, header: Header) -> Iterator[tuple[int, str, int, int]]:
    """(minute in µs, service, level, lines) of the lines that match a node that reads labels only."""
    wanted = {}
    for pair in header.pairs:
        service, level = header.services[pair >> 3], RecordLevel(pair & 7)
        if node.matches(LogRecord(0, level, service, "")):
            wanted[pair] = (service, level)
    for minute, pair, lines in header.by_minute:
        if pair in wanted:
            yield minute * clock.MINUTE, *wanted[pair], lines


def _all(columns: Columns) -> Selection:
    return int.from_bytes(b"\x01" * columns.lines, "little")


# Cheap questions first: when they leave no line, the expensive columns stay closed.
_COST: Final = {Level: 0, Field: 1, Text: 2, Metadata: 3}


def _until_empty(children: Iterable[Node], columns: Columns) -> Iterator[Selection]:
    so_far = _all(columns)
    for child in sorted(children, key=lambda child: _COST.get(type(child), 4)):
        so_far &= select(child, columns)
        yield so_far
        if not so_far:
            return


def _level_table(levels: Iterable[RecordLevel]) -> bytes:
    table = bytearray(256)
    for level in levels:
        table[level] = 1
    return bytes(table)


def _marks(found: Iterable[int], lines: int) -> Selection:
    marks = bytearray(lines)
    for line in found:
        marks[line] = 1
    return int.from_bytes(marks, "little")


def _lines_with(column: bytes, needle: bytes) -> Iterator[int]:
    """The lines of a text column that hold `needle`."""
    line = begin = 0
    at = column.find(needle)
    while at >= 0:
        line += column.count(LINE_END, begin, at)
        yield line
        begin = column.find(LINE_END, at)
        if begin < 0:
            return
        at = column.find(needle, begin)


def _label_lines(wanted: list[bool], indexes: Sequence[int], lines: int) -> Selection:
    """The lines whose index into a block's dictionary is wanted."""
    if isinstance(indexes, bytes):
        return int.from_bytes(indexes.translate(bytes(wanted).ljust(256, b"\0")), "little")
    return _marks((line for line, index in enumerate(indexes) if wanted[index]), lines)


def _label(node: Field, columns: Columns) -> Selection:
    service = node.name == "service"
    names, indexes = (
        (columns.header.services, columns.services) if service else (columns.header.loggers, columns.loggers)
    )
    return _label_lines([node.matches_value(name) for name in names], indexes, columns.lines)


def _text(node: Text, columns: Columns) -> Selection:
    needle = node.folded.encode("utf-8", "replace")
    found = _marks(_lines_with(columns.folded_texts, needle), columns.lines)
    found |= _marks(_lines_with(columns.folded_ids, needle), columns.lines)
    for metadata_needle in node.metadata_needles:
        found |= _marks(_lines_with(columns.folded_metadata, metadata_needle), columns.lines)
    for names, indexes in ((columns.header.services, columns.services), (columns.header.loggers, columns.loggers)):
        holding = [node.folded in name.casefold() for name in names]
        if any(holding):
            found |= _label_lines(holding, indexes, columns.lines)
    return found


def _field(node: Field, columns: Columns) -> Selection:
    if node.operator is Operator.EXISTS:
        candidates: Iterable[int] = range(columns.lines)
    else:
        column = columns.folded_texts if node.name in ("title", "message") else columns.folded_ids
        candidates = _lines_with(column, node.value.encode("utf-8", "replace"))
    return _marks((line for line in candidates if node.matches(columns.record(line))), columns.lines)


def _id(node: Field, columns: Columns) -> Selection:
    """The id is in no text column: it is the line's position."""
    if node.operator is Operator.EQUALS:
        candidates: Iterable[int] = _lines_at(node.value, columns)
    else:
        candidates = range(columns.lines)
    return _marks((line for line in candidates if node.matches(columns.record(line))), columns.lines)


def _lines_at(record_id: str, columns: Columns) -> list[int]:
    """The lines at the position that an id names; the sequences stay closed if no line has its time."""
    time, _, sequence = record_id.rpartition("-")
    try:
        timestamp, wanted = int(time), int(sequence)
    except ValueError:
        return []
    same_time = range(bisect_left(columns.times, timestamp), bisect_right(columns.times, timestamp))
    return [line for line in same_time if columns.sequences[line] == wanted]


def _metadata(node: Metadata, columns: Columns) -> Selection:
    candidates = {line for needle in node.key_needles for line in _lines_with(columns.folded_metadata, needle)}
    lines = columns.metadata_lines
    return _marks((line for line in candidates if node.found_in(lines[line])), columns.lines)
