"""The tree of a query: its nodes, the predicate of each, and how nodes are put together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from logs.query.metadata import MISSING, any_in, fold_metadata, key_needles, lookup, metadata_needles
from logs.records import Level as RecordLevel
from logs.records import LogRecord, decode


class Operator(StrEnum):
    EQUALS = "equals"
    PREFIX = "prefix"
    CONTAINS = "contains"
    EXISTS = "exists"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


ORDERINGS: Final = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})


# --- The tree ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Everything:
    def matches(self, record: LogRecord) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class And:
    children: tuple[Node, ...]

    def matches(self, record: LogRecord) -> bool:
        for child in self.children:  # a loop, for a generator costs as much as a cheap child  # noqa: SIM110
            if not child.matches(record):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Or:
    children: tuple[Node, ...]

    def matches(self, record: LogRecord) -> bool:
        for child in self.children:  # noqa: SIM110
            if child.matches(record):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Not:
    child: Node

    def matches(self, record: LogRecord) -> bool:
        return not self.child.matches(record)


@dataclass(frozen=True, slots=True)
class Text:
    """Text anywhere in the record, without regard to case.

    `folded` is for the text fields, `metadata_needles` for the metadata as `fold_metadata` gives it: any one of them
    is enough. Those are the text as JSON writes it in a string and, for a fragment of JSON, as it stands there.
    """

    needle: str
    folded: str = field(init=False, repr=False, compare=False)
    metadata_needles: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folded", self.needle.casefold())
        object.__setattr__(self, "metadata_needles", metadata_needles(self.needle))

    def matches(self, record: LogRecord) -> bool:
        folded = self.folded
        return (
            folded in record.message.casefold()
            or folded in record.title.casefold()
            or folded in record.service.casefold()
            or folded in record.logger.casefold()
            or folded in record.request_id.casefold()
            or folded in record.trace_id.casefold()
            or folded in record.span_id.casefold()
            or self.found_in(record.metadata)
        )

    def found_in(self, metadata: bytes) -> bool:
        return any_in(self.metadata_needles, fold_metadata(metadata))


@dataclass(frozen=True, slots=True)
class Level:
    """One of these levels. `mask` has bit `1 << level` set for each."""

    levels: frozenset[RecordLevel]
    mask: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", sum(1 << level for level in self.levels))

    def matches(self, record: LogRecord) -> bool:
        return bool(self.mask >> record.level & 1)


@dataclass(frozen=True, slots=True)
class Field:
    """A text field of the record, or its id, against a casefolded value ("" for EXISTS).

    The operators are EQUALS, PREFIX, CONTAINS and EXISTS.
    """

    name: str
    operator: Operator
    value: str

    def matches(self, record: LogRecord) -> bool:
        return self.matches_value(getattr(record, self.name))

    def matches_value(self, text: str) -> bool:
        if self.operator is Operator.EXISTS:
            return bool(text)
        return _ON_TEXT[self.operator](text.casefold(), self.value)


class ValueForms(NamedTuple):
    """How a value may stand in metadata: right after its key, or as `text` somewhere after one of `elsewhere`."""

    after_key: tuple[bytes, ...]
    text: bytes
    elsewhere: tuple[bytes, ...]  # and these follow the key


@dataclass(frozen=True, slots=True)
class Metadata:
    """A key of the metadata, by its path, against a casefolded value ("" for EXISTS). Every operator.

    `number` is the value as a number, if it is one. Whatever the operator, metadata that matches holds one of
    `key_needles`, as `fold_metadata` gives it. If it is written as it is read (see `logs.store.grams`), `value_forms`
    tell how the value stands there.
    """

    path: tuple[str, ...]
    operator: Operator
    value: str
    number: int | float | None = field(init=False, repr=False, compare=False)
    key_needles: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    value_forms: ValueForms | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", _number(self.value))
        object.__setattr__(self, "key_needles", key_needles(self.path))
        object.__setattr__(self, "value_forms", self._value_forms())

    def _value_forms(self) -> ValueForms | None:
        if self.operator is Operator.EQUALS and isinstance(self.number, int):
            return _whole_number_forms(self.number) if abs(self.number) < EXACT_MAX else None
        if self.operator not in (Operator.EQUALS, Operator.PREFIX) or not _PLAIN_VALUE.fullmatch(self.value):
            return None
        end = '"' if self.operator is Operator.EQUALS else ""
        after_key = [f':"{self.value}{end}']
        if any(word.startswith(self.value) for word in ("true", "false", "null")):
            after_key.append(f":{self.value}")
        return ValueForms(_encoded(after_key), self.value.encode(), (b":[",))

    def matches(self, record: LogRecord) -> bool:
        return self.found_in(record.metadata)

    def found_in(self, metadata: bytes) -> bool:
        """Whether the metadata, as stored, matches. Decodes it only if the key seems to be there."""
        if not any_in(self.key_needles, fold_metadata(metadata)):
            return False
        try:
            return self.matches_value(lookup(decode(metadata), self.path))
        except (ValueError, RecursionError):  # kept as it came, it may be broken, or lists a thousand deep
            return False

    def texts_in(self, metadata: bytes) -> Iterator[str]:
        """The values at the path, as text: one, or those of a list."""
        try:
            found = lookup(decode(metadata), self.path)
        except (ValueError, RecursionError):
            return
        for value in found if isinstance(found, list) else [found]:
            if isinstance(value, str):
                yield value
            elif isinstance(value, int | float):
                yield json.dumps(value)

    def matches_value(self, value: object) -> bool:
        """Whether a value from the metadata, or any item of a list, matches."""
        if isinstance(value, list):
            return any(self.matches_value(item) for item in value)
        if value is MISSING:
            return False
        if self.operator is Operator.EXISTS:
            return value is not None
        if isinstance(value, dict):
            return False
        return self._compares(value)

    def _compares(self, value: object) -> bool:
        number = _number_in(value)
        if number is not None and self.number is not None and self.operator in ON_NUMBERS:
            return ON_NUMBERS[self.operator](number, self.number)
        if self.operator in ORDERINGS and not _both_words(value, number, self.number):
            return False
        return _ON_TEXT[self.operator](_as_text(value), self.value)


Node: TypeAlias = Everything | And | Or | Not | Text | Level | Field | Metadata


# --- Comparing -----------------------------------------------------------------------------------------------------

ON_NUMBERS: Final[dict[Operator, Callable[[float, float], bool]]] = {
    Operator.EQUALS: lambda found, wanted: found == wanted,
    Operator.GT: lambda found, wanted: found > wanted,
    Operator.GTE: lambda found, wanted: found >= wanted,
    Operator.LT: lambda found, wanted: found < wanted,
    Operator.LTE: lambda found, wanted: found <= wanted,
}
_ON_TEXT: Final[dict[Operator, Callable[[str, str], bool]]] = {
    Operator.EQUALS: lambda found, wanted: found == wanted,
    Operator.PREFIX: lambda found, wanted: found.startswith(wanted),
    Operator.CONTAINS: lambda found, wanted: wanted in found,
    Operator.GT: lambda found, wanted: found > wanted,
    Operator.GTE: lambda found, wanted: found >= wanted,
    Operator.LT: lambda found, wanted: found < wanted,
    Operator.LTE: lambda found, wanted: found <= wanted,
}


def _whole_number_forms(number: int) -> ValueForms:
    """42 may stand there as 42, 42.0 and "42", as "042" and "+42", and in a list."""
    after_key = [f":{number}{end}" for end in (",", "}", ".")] + [f':"{number}{end}' for end in ('"', ".")]
    elsewhere = [":[", ':"0', ':"+', ':"-0'] + ([":-0", ':".', ':"-'] if number == 0 else [])
    return ValueForms(_encoded(after_key), str(abs(number)).encode(), _encoded(elsewhere))


def _encoded(forms: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(form.encode() for form in forms)


EXACT_MAX: Final = 10**15  # a float keeps the digits of whole numbers up to here
# A word that no number reads like, without anything that JSON escapes.
_PLAIN_VALUE: Final = re.compile(r"(?=.*[a-df-z_])[ !#-\[\]-~]+")
# Not what float() takes: "nan", "inf" and "1_000" are words here. The limits keep int() cheap.
_NUMBER: Final = re.compile(
    r"[+-]?(?:(?P<whole>[0-9]{1,40})|[0-9]{0,40}\.[0-9]{1,40}|[0-9]{1,40}\.)(?P<exponent>[eE][+-]?[0-9]{1,3})?"
)


def _number(text: str) -> int | float | None:
    """The number that a text is; an int if it is whole, for ids have more digits than a float keeps."""
    number = _NUMBER.fullmatch(text)
    if number is None:
        return None
    return int(text) if number["whole"] and not number["exponent"] else float(text)


def _number_in(value: object) -> float | None:
    if isinstance(value, str):
        return _number(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _both_words(value: object, number: float | None, wanted: float | None) -> bool:
    """Whether two values have an order as text, as two dates have. A word and a number have none."""
    return isinstance(value, str) and number is None and wanted is None


def _as_text(value: object) -> str:
    return value.casefold() if isinstance(value, str) else json.dumps(value)


# --- Putting nodes together ----------------------------------------------------------------------------------------


def all_of(*nodes: Node) -> Node:
    """AND, simplified: flat, without repetitions, with one `Level` at most."""
    children, levels = _sorted_out(And, nodes)
    if levels:
        children.insert(0, level_in(frozenset.intersection(*levels)))
    return _joined(And, [child for child in children if child != Everything()]) or Everything()


def any_of(*nodes: Node) -> Node:
    """OR, simplified likewise. OR of nothing matches nothing."""
    children, levels = _sorted_out(Or, nodes)
    if levels:
        children.insert(0, level_in(frozenset.union(*levels)))
    return Everything() if Everything() in children else _joined(Or, children) or Not(Everything())


def negate(node: Node) -> Node:
    match node:
        case Not(child):
            return child
        case Level(levels):
            return level_in(frozenset(RecordLevel) - levels)
        case _:
            return Not(node)


def _sorted_out(kind: type[And] | type[Or], nodes: Iterable[Node]) -> tuple[list[Node], list[frozenset[RecordLevel]]]:
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.children if isinstance(node, kind) else (node,))
    unique = list(dict.fromkeys(flat))
    levels = [node.levels for node in unique if isinstance(node, Level)]
    return [node for node in unique if not isinstance(node, Level)], levels


def _joined(kind: type[And] | type[Or], children: list[Node]) -> Node | None:
    if not children:
        return None
    return children[0] if len(children) == 1 else kind(tuple(children))


def level_in(levels: frozenset[RecordLevel]) -> Node:
    """One of these levels; `Everything` if these are all."""
    return Everything() if len(levels) == len(RecordLevel) else Level(levels)
