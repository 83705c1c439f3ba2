"""From tokens to nodes: luqum parses what the reader let through, and each term becomes what its field asks for."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any, Final, NamedTuple

from luqum import thread as luqum
from luqum import tree
from luqum.exceptions import ParseError

from logs.query.nodes import (
    ON_NUMBERS,
    ORDERINGS,
    Everything,
    Field,
    Metadata,
    Node,
    Operator,
    Text,
    all_of,
    any_of,
    level_in,
    negate,
)
from logs.query.reader import QueryError, Token, read, unquoted
from logs.records import LEVELS, canonical_field, parse_level
from logs.records import Level as RecordLevel

_PROSE: Final = frozenset({"title", "message"})
_EXISTS_NAMES: Final = frozenset({"exists", "_exists_"})


class _Name(NamedTuple):
    text: str
    position: int  # from 1, as all positions that people are told


class _Term(NamedTuple):
    field: _Name
    operator: Operator
    value: str
    position: int

    @property
    def name(self) -> str:
        return self.field.text


def parse(text: str) -> Node:
    """The tree of a query; `Everything()` for none. Raises `QueryError` and nothing else."""
    tokens = read(text)
    return _Compiler(tokens).compile() if tokens else Everything()


def field_exists(name: str) -> Node:
    """That a record has a field, or a key in its metadata; `Everything` for its level. Raises `QueryError`."""
    node = _exists(_Term(_Name("exists", 1), Operator.EQUALS, name, 1))
    if _record_field(name) in ("timestamp", "id"):
        raise QueryError(f"{name}: has another value in each line; ask for a field like service or metadata.user_id")
    return node


class _Compiler:
    def __init__(self, tokens: list[Token]) -> None:
        self.lucene = " ".join(token.lucene for token in tokens)
        self.written = [token.at for token in tokens]
        self.starts: list[int] = []
        start = 0
        for token in tokens:
            self.starts.append(start)
            start += len(token.lucene) + 1

    def compile(self) -> Node:
        try:
            found = luqum.parse(self.lucene)
        except ParseError as error:  # the reader lets nothing through that luqum can't read; should it once, say so
            raise QueryError(f"The query can't be read ({error}); put text in quotes") from error
        return self._node(found, None)

    def _position(self, item: Any) -> int:
        """Where an item of luqum's stands in what the person wrote, from 1."""
        return self.written[bisect_right(self.starts, item.pos) - 1] + 1

    def _node(self, item: Any, name: _Name | None) -> Node:
        match item:
            case tree.AndOperation():
                return all_of(*(self._node(child, name) for child in item.operands))
            case tree.OrOperation():
                return any_of(*(self._node(child, name) for child in item.operands))
            case tree.Not():
                return negate(self._node(item.a, name))
            case tree.BaseGroup():
                return self._node(item.expr, name)
            case tree.SearchField():
                return self._node(item.expr, _Name(_unescaped(item.name), self._position(item)))
        if name:
            return self._field(item, name)
        text = _value_of(item)
        return Text(text) if text else Everything()

    def _field(self, item: Any, name: _Name) -> Node:
        if isinstance(item, tree.Range):
            return all_of(*map(_on_field, self._bounds(item, name)))
        return _on_field(_Term(name, *_operator_and_value(item), self._position(item)))

    def _bounds(self, item: Any, name: _Name) -> list[_Term]:
        """`[a TO b]` as two comparisons, `[a TO *]` as one, `[* TO *]` as EXISTS."""
        low, high = _value_of(item.low), _value_of(item.high)
        position = self._position(item)
        terms = []
        if low != "*":
            terms.append(_Term(name, Operator.GTE if item.include_low else Operator.GT, low, position))
        if high != "*":
            terms.append(_Term(name, Operator.LTE if item.include_high else Operator.LT, high, position))
        return terms or [_Term(name, Operator.EXISTS, "", position)]


def _unescaped(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)


def _value_of(item: Any) -> str:
    return unquoted(item.value) if isinstance(item, tree.Phrase) else _unescaped(item.value)


def _operator_and_value(item: Any) -> tuple[Operator, str]:
    match item:
        case tree.From():
            return (Operator.GTE if item.include else Operator.GT), _value_of(item.a)
        case tree.To():
            return (Operator.LTE if item.include else Operator.LT), _value_of(item.a)
        case tree.Phrase():
            return Operator.EQUALS, _value_of(item)
    if item.value == "*":
        return Operator.EXISTS, ""
    value = _unescaped(item.value.strip("*"))
    return (Operator.CONTAINS if item.value[0] == "*" else Operator.PREFIX), value


def _on_field(term: _Term) -> Node:
    if term.name.casefold() in _EXISTS_NAMES:
        return _exists(term)
    match _record_field(term.name):
        case "timestamp":
            raise QueryError(
                f"{term.name}: at position {term.field.position} can't be searched for; choose a time range instead "
                f'(from and to), or put text that reads like this in quotes: "{term.name}:x"',
                term.field.position,
            )
        case "level":
            return _level(term)
        case "metadata":
            raise QueryError(
                f"metadata: at position {term.field.position} needs a key; write metadata.user_id:42, "
                'or put text that reads like this in quotes: "metadata:x"',
                term.field.position,
            )
        case None:
            return Metadata(_path(term.name), term.operator, term.value.casefold())
        case name:
            return _text_field(name, term)


def _record_field(name: str) -> str | None:
    return "id" if name.casefold() == "id" else canonical_field(name)


def _path(name: str) -> tuple[str, ...]:
    keys = name.split(".")
    return tuple(keys[1:] if len(keys) > 1 and keys[0].casefold() == "metadata" else keys)


def _exists(term: _Term) -> Node:
    path = _path(term.value)
    if term.operator is not Operator.EQUALS or not all(path) or _record_field(term.value) == "metadata":
        raise QueryError(
            f"{term.name}: needs the name of a field at position {term.position}; "
            "write exists:trace_id or exists:metadata.user_id",
            term.position,
        )
    match _record_field(term.value):
        case None:
            return Metadata(path, Operator.EXISTS, "")
        case "timestamp" | "level" | "id":  # every record has them
            return Everything()
        case name:
            return Field(name, Operator.EXISTS, "")


def _text_field(name: str, term: _Term) -> Node:
    if term.operator in ORDERINGS:
        raise QueryError(
            f"{term.name}: can't be compared by size, as at position {term.position}; "
            f"write {term.name}:value or {term.name}:start*",
            term.position,
        )
    value = term.value.casefold()
    if term.operator is Operator.EXISTS or not value:
        found = Field(name, Operator.EXISTS, "")
        if name == "id":
            return Everything() if term.operator is Operator.EXISTS else negate(Everything())
        return found if term.operator is Operator.EXISTS else negate(found)
    return Field(name, Operator.CONTAINS if name in _PROSE else term.operator, value)


def _level(term: _Term) -> Node:
    level = parse_level(term.value)
    match term.operator:
        case Operator.EXISTS:
            return Everything()
        case Operator.PREFIX | Operator.CONTAINS:
            found = {each for each in RecordLevel if each is level or each.label.startswith(term.value.casefold())}
        case _:
            compares = ON_NUMBERS[term.operator]
            found = {each for each in RecordLevel if level is not None and compares(each, level)}
    if level is None and not found:
        raise QueryError(
            f'"{term.value}" at position {term.position} is not a level; write one of {", ".join(LEVELS)}, '
            'or put text that reads like this in quotes: "level:x"',
            term.position,
        )
    return level_in(frozenset(found))
