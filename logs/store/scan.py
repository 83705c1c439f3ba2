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

from logs.query import And, Everything, Field, Level, Metadata, Node, Not, Operator, Or, Text
from logs.records import Level as RecordLevel
from logs.records import LogRecord
from logs.store.codec import LINE_END, Columns, Header
from logs.store.grams import Column, Grams

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


def levels_of(selection: Selection, columns: Columns) -> list[int]:
    """How many of the selected lines have each level."""
    levels = columns.levels
    return [
        (selection & int.from_bytes(levels.translate(_level_table([level])), "little")).bit_count()
        if selection and columns.header.level_mask >> level & 1
        else 0
        for level in RecordLevel
    ]


def may_match(node: Node, header: Header, grams: Grams | None = None) -> bool:
    """False only if no line of the block can match."""
    match node:
        case And(children=children):
            return all(may_match(child, header, grams) for child in children)
        case Or(children=children):
            return any(may_match(child, header, grams) for child in children)
        case Level(levels=levels):
            return any(header.level_mask >> level & 1 for level in levels)
        case Field(name="service"):
            return any(map(node.matches_value, header.services))
        case Field(name="logger"):
            return any(map(node.matches_value, header.loggers))
        case Text(folded=folded):
            names = (*header.services, *header.loggers)
            return bool(_columns_with(node, grams)) or any(folded in name.casefold() for name in names)
        case Field() | Metadata():
            return bool(_columns_with(node, grams))
        case _:
            return True


def asks_grams(node: Node) -> bool:
    """Whether the filters of a block can tell anything about this query."""
    match node:
        case And(children=children) | Or(children=children):
            return any(map(asks_grams, children))
        case Field(name="service" | "logger" | "id"):
            return False
        case Text() | Field() | Metadata():
            return True
        case _:
            return False


def columns_for(node: Node, header: Header, grams: Grams | None) -> frozenset[str]:
    """The columns that `select` will open."""
    match node:
        case And(children=children) | Or(children=children):
            return frozenset().union(*(columns_for(child, header, grams) for child in children))
        case Not(child=child):
            return columns_for(child, header, grams)
        case Level() | Field(name="service" | "logger"):
            return frozenset({"labels"})
        case Field(name="id"):
            return frozenset({"times", "sequences"})
        case Text() | Field() | Metadata():
            return frozenset(_columns_with(node, grams))
        case _:
            return frozenset()


def _columns_with(node: Text | Field | Metadata, grams: Grams | None) -> list[Column]:
    """The text columns in which a node may find what it looks for."""
    match node:
        case Text(folded=folded, metadata_needles=in_metadata):
            text = _encoded(folded)
            asked = {Column.TEXTS: (text,), Column.IDS: (text,), Column.METADATA: in_metadata}
            return [column for column, needles in asked.items() if _any_held(column, needles, grams)]
        case Field(name=name, value=value):
            column = _column_of(name)
            return [column] if _any_held(column, (_encoded(value),), grams) else []
        case Metadata(key_needles=keys, value_needle=value):
            by_value = not grams or not grams.literal or grams.may_hold(Column.METADATA, value)
            return [Column.METADATA] if by_value and _any_held(Column.METADATA, keys, grams) else []


def _any_held(column: Column, needles: Iterable[bytes], grams: Grams | None) -> bool:
    return grams is None or any(grams.may_hold(column, needle) for needle in needles)


def _column_of(name: str) -> Column:
    return Column.TEXTS if name in ("title", "message") else Column.IDS


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


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


def pairs_of(node: Node, header: Header) -> set[int]:
    """The pairs of service and level whose lines match a node that reads labels only."""
    return {
        pair
        for pair in header.pairs
        if node.matches(LogRecord(0, RecordLevel(pair & 7), header.services[pair >> 3], ""))
    }


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
    if node.name == "service":
        return _label_lines([*map(node.matches_value, columns.header.services)], columns.services, columns.lines)
    return _label_lines([*map(node.matches_value, columns.header.loggers)], columns.loggers, columns.lines)


def _text(node: Text, columns: Columns) -> Selection:
    needle = _encoded(node.folded)
    found: set[int] = set()
    for column in _columns_with(node, columns.grams):
        for text in node.metadata_needles if column is Column.METADATA else (needle,):
            found.update(_lines_with(columns.folded(column), text))
    selection = _marks(found, columns.lines)
    for name, values in (("service", columns.header.services), ("logger", columns.header.loggers)):
        if any(node.folded in value.casefold() for value in values):
            selection |= _label(Field(name, Operator.CONTAINS, node.folded), columns)
    return selection


def _field(node: Field, columns: Columns) -> Selection:
    if node.operator is Operator.EXISTS:
        candidates: Iterable[int] = range(columns.lines)
    elif column := _columns_with(node, columns.grams):
        candidates = _lines_with(columns.folded(column[0]), _encoded(node.value))
    else:
        candidates = ()
    return _marks((line for line in candidates if node.matches_value(columns.field(node.name, line))), columns.lines)


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
    if not _columns_with(node, columns.grams):
        return 0
    folded = columns.folded(Column.METADATA)
    candidates = {line for needle in node.key_needles for line in _lines_with(folded, needle)}
    if node.value_needle and columns.grams and columns.grams.literal:
        candidates.intersection_update(_lines_with(folded, node.value_needle))
    lines = columns.metadata_lines
    return _marks((line for line in candidates if node.found_in(lines[line])), columns.lines)
