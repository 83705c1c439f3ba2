"""Executes a query on a block: which lines match, without making records of the others.

A selection is one integer with a byte per line, 1 where the line matches, so that AND, OR and NOT are single
operations on 2,048 lines. Text is found in a whole column at once; what a column can't decide is asked of the node's
own predicate, for the lines that may match only. The two executions of a query are compared in the tests.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, reduce
from itertools import accumulate
from operator import attrgetter, or_
from typing import TYPE_CHECKING, Final

from logs.query import (
    ON_NUMBERS,
    ORDERINGS,
    And,
    Everything,
    Field,
    Level,
    Metadata,
    Node,
    Not,
    Operator,
    Or,
    Text,
    ValueForms,
)
from logs.records import Level as RecordLevel
from logs.records import LogRecord
from logs.store.codec import FIELDS, LINE_END, Columns
from logs.store.grams import LENGTHS, Column, Grams, all_set, places, spells

if TYPE_CHECKING:
    from logs.store.shelf import Known

Selection = int


def select(node: Node, columns: Columns, within: Selection | None = None) -> Selection:
    """The lines that match. `within` says that no others are of interest: what is said of them may be wrong."""
    match node:
        case Everything():
            return _all(columns)
        case And(children=children):
            return _all_of(children, columns, _all(columns) if within is None else within)
        case Or(children=children):
            return reduce(or_, (select(child, columns, within) for child in children))
        case Not(child=child):
            return _all(columns) ^ select(child, columns, within)
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
            return _metadata(node, columns, within)
        case _:
            raise TypeError(f"no scan for {type(node).__name__}")


def lines_of(selection: Selection, lines: int, *, descending: bool = False) -> Iterator[int]:
    """The numbers of the selected lines."""
    marks = selection.to_bytes(lines, "little")
    if descending:
        at = marks.rfind(1)
        while at >= 0:
            yield at
            at = marks.rfind(1, 0, at)
    else:
        at = marks.find(1)
        while at >= 0:
            yield at
            at = marks.find(1, at + 1)


def levels_of(selection: Selection, columns: Columns) -> list[int]:
    """How many of the selected lines have each level."""
    levels = columns.levels
    return [
        (selection & int.from_bytes(levels.translate(_level_table([level])), "little")).bit_count()
        if selection and columns.header.level_mask >> level & 1
        else 0
        for level in RecordLevel
    ]


Sieve = Callable[["Known"], bool]


def sieve(node: Node) -> Sieve:
    """A test that is False only for blocks of which no line can match. Made once, asked of thousands of blocks."""
    match node:
        case And(children=children):
            every = [sieve(child) for child in children]
            return lambda known: all(may(known) for may in every)
        case Or(children=children):
            either = [sieve(child) for child in children]
            return lambda known: any(may(known) for may in either)
        case Level(mask=mask):
            return lambda known: bool(known.level_mask & mask)
        case Field(name="service"):
            return lambda known: any(map(node.matches_value, known.header.services))
        case Field(name="logger"):
            return lambda known: any(map(node.matches_value, known.header.loggers))
        case Text():
            return _text_held(node)
        case Metadata():
            has_value = _value_held(node)
            return lambda known: known.grams is None or has_value(known.grams)
        case Field(name=name) if name != "id":
            return _field_held(node)
        case _:
            return lambda known: True


def _sought(node: Text | Field | Metadata) -> list[tuple[Column, tuple[bytes, ...]]]:
    """In which columns a node looks for what: any one of the texts."""
    match node:
        case Text(folded=folded, metadata_needles=in_metadata):
            text = (_encoded(folded),)
            return [(Column.TEXTS, text), (Column.IDS, text), (Column.METADATA, in_metadata)]
        case Field(name=name, value=value):
            return [(FIELDS[name][0], (_encoded(value),))]
        case Metadata(key_needles=keys):
            return [(Column.METADATA, keys)]


def _text_held(node: Text) -> Sieve:
    text, folded = _encoded(node.folded), node.folded
    in_texts, in_ids = places(text, LENGTHS[Column.TEXTS]), places(text, LENGTHS[Column.IDS])
    in_metadata = [places(needle, LENGTHS[Column.METADATA]) for needle in node.metadata_needles]
    spelled = _spelled(text)

    def may(known: Known) -> bool:
        grams = known.grams
        return (
            grams is None
            or all_set(grams.texts, in_texts)
            or _any_set(grams.metadata, in_metadata)
            or (spelled(grams.letters) and all_set(grams.ids, in_ids))
            or folded in known.names
        )

    return may


def _field_held(node: Field) -> Sieve:
    ((column, (text,)),) = _sought(node)
    wanted, bitmap = places(text, LENGTHS[column]), attrgetter(column.value)
    spelled = _spelled(text) if column is Column.IDS else lambda letters: True

    def may(known: Known) -> bool:
        grams = known.grams
        return grams is None or (spelled(grams.letters) and all_set(bitmap(grams), wanted))

    return may


def _spelled(text: bytes) -> Callable[[bytes], bool]:
    """Whether ids with these letters may have a text. Most blocks have the same letters."""
    return lru_cache(maxsize=64)(lambda letters: spells(letters, text))


def _value_held(node: Metadata) -> Callable[[Grams], bool]:
    """The same for a key with its value; of each key, what its forms have more is asked when the key has passed."""
    length = LENGTHS[Column.METADATA]
    forms = node.value_forms or ValueForms((b"",), b"", ())
    asked = []
    for needle in node.key_needles:
        key = places(needle, length)
        after_key, elsewhere = (
            [tuple(place for place in places(needle + form, length) if place not in key) for form in some]
            for some in (forms.after_key, forms.elsewhere)
        )
        asked.append((key, after_key, elsewhere))
    text = places(forms.text, length)

    def held(grams: Grams) -> bool:
        bitmap = grams.metadata
        for key, after_key, elsewhere in asked:
            if all_set(bitmap, key) and (
                not grams.literal
                or _any_set(bitmap, after_key)
                or (all_set(bitmap, text) and _any_set(bitmap, elsewhere))
            ):
                return True
        return False

    return held


def _any_set(bitmap: bytes, asked: Iterable[tuple[int, ...]]) -> bool:
    for each in asked:  # a loop, for a generator costs as much as the question  # noqa: SIM110
        if all_set(bitmap, each):
            return True
    return False


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


def columns_for(node: Node, grams: Grams | None) -> frozenset[str]:
    """The columns that `select` will open."""
    match node:
        case And(children=children) | Or(children=children):
            return frozenset().union(*(columns_for(child, grams) for child in children))
        case Not(child=child):
            return columns_for(child, grams)
        case Level() | Field(name="service" | "logger"):
            return frozenset({"labels"})
        case Field(name="id"):
            return frozenset({"times", "sequences"})
        case Text() | Field() | Metadata():
            return frozenset(column for column, _needles in _to_search(node, grams))
        case _:
            return frozenset()


def _to_search(node: Text | Field | Metadata, grams: Grams | None) -> Iterator[tuple[Column, list[bytes]]]:
    """What to look for in which columns, less what the filters deny."""
    for column, needles in _sought(node):
        if isinstance(node, Metadata) and node.value_forms and grams and grams.literal:
            forms = node.value_forms.after_key
            if grams.may_hold(column, node.value_forms.text):
                forms += node.value_forms.elsewhere
            needles = tuple(key + form for key in needles for form in forms)
        if held := [needle for needle in needles if grams is None or grams.may_hold(column, needle)]:
            yield column, held


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


class Pairs:
    """Which pairs of service and level match a node that reads labels only. The same pairs come in every block."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.all = node == Everything()
        self._known: dict[tuple[str, int], bool] = {}

    def matches(self, service: str, level: int) -> bool:
        known = self._known.get((service, level))
        if known is None:
            known = self._node.matches(LogRecord(0, RecordLevel(level), service, ""))
            self._known[service, level] = known
        return known


def _all(columns: Columns) -> Selection:
    return int.from_bytes(b"\x01" * columns.lines, "little")


# Cheap questions first: when they leave no line, the expensive columns stay closed.
_COST: Final = {Level: 0, Field: 1, Text: 2, Metadata: 3}


def _all_of(children: Iterable[Node], columns: Columns, so_far: Selection) -> Selection:
    for child in sorted(children, key=lambda child: _COST.get(type(child), 4)):
        so_far &= select(child, columns, so_far)
        if not so_far:
            break
    return so_far


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
    """The lines of a text column that hold `needle`, each as often as it does."""
    *before, _rest = column.split(needle)
    return accumulate(part.count(LINE_END) for part in before)


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
    found: set[int] = set()
    for column, needles in _to_search(node, columns.grams):
        for needle in needles:
            found.update(_lines_with(columns.folded(column), needle))
    selection = _marks(found, columns.lines)
    for name, values in (("service", columns.header.services), ("logger", columns.header.loggers)):
        if any(node.folded in value.casefold() for value in values):
            selection |= _label(Field(name, Operator.CONTAINS, node.folded), columns)
    return selection


def _field(node: Field, columns: Columns) -> Selection:
    found: list[int] = []
    for column, needles in _to_search(node, columns.grams):
        exists = node.operator is Operator.EXISTS
        candidates = range(columns.lines) if exists else _lines_with(columns.folded(column), needles[0])
        found += [line for line in candidates if node.matches_value(columns.field(node.name, line))]
    return _marks(found, columns.lines)


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
    return [line for line in same_time if columns.sequence(line) == wanted]


def _metadata(node: Metadata, columns: Columns, within: Selection | None) -> Selection:
    candidates: set[int] = set()
    for column, keys in _to_search(node, columns.grams):
        folded = columns.folded(column)
        if node.number is not None and node.operator in ORDERINGS:
            candidates.update(_lines_with_number(node, keys, folded))
        else:
            candidates.update(line for key in keys for line in _lines_with(folded, key))
    if within is not None:
        candidates.intersection_update(lines_of(within, columns.lines))
    return _marks((line for line in candidates if node.found_in(columns.line(Column.METADATA, line))), columns.lines)


def _lines_with_number(node: Metadata, keys: Iterable[bytes], folded: bytes) -> Iterator[int]:
    """The lines in which a key has a number that compares as asked, or something that has to be read properly."""
    assert node.number is not None
    compares, wanted = ON_NUMBERS[node.operator], node.number
    fits = lru_cache(maxsize=1_024)(lambda digits: not digits or compares(float(digits), wanted))
    pattern = _number_after(tuple(keys))
    if not any(map(fits, set(pattern.findall(folded)))):
        return
    line = begin = 0
    for found in pattern.finditer(folded):
        if fits(found[1] or b""):
            line += folded.count(LINE_END, begin, found.start())
            begin = found.start()
            yield line


@lru_cache(maxsize=256)
def _number_after(keys: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """A key with its number, if that is a plain one: up to 15 digits, which a float keeps."""
    return re.compile(
        rb"(?:" + b"|".join(map(re.escape, keys)) + rb")(?:\s*:\s*(-?[0-9]{1,12}(?:\.[0-9]{1,3})?)(?=[,}\s]))?"
    )
