"""What is syntax in a query and what is text: what a person wrote in, tokens that luqum can't misread out.

The language is Lucene's, as Kibana's users know it, and luqum parses it. But people paste lines, paths, URLs, stack
frames and JSON into a search box, and nearly all of these are Lucene syntax by accident. So the reader goes first and
decides what is syntax; all else reaches luqum in quotes. Its rules, tried in this order where a term can start:

1.  `(` opens a group if its `)` is followed by a space, the end or another `)`, and there is something in between.
    A bracket inside a word is text: `int()`, `Foo.bar(Foo.java:12)`. A bracket without a partner is text as well,
    except in a query that has AND, OR or NOT, or a field right beside it: that is a `QueryError`.
2.  `AND`, `OR` and `NOT`, in capitals and on their own, are operators if there is something for them to join; else
    text. AND binds closer than OR, and terms side by side are joined by AND: `a OR b c` is `a OR (b AND c)`.
3.  `-` or `!` right before a term is NOT, `+` means nothing. `--flag`, `->` and `!=` are text.
4.  A JSON fragment (`{"`, `["`, `"key":` and what follows, closed or not) is one text, spaces and all.
5.  A quoted text is that text; in it `\\"` and `\\\\` are a quote and a backslash, and any other backslash is itself.
    A quote that is not closed, or that is glued to what follows (`"a.py",`), is text.
6.  `name:value` is a field if the name is a path of identifiers that starts with a letter, `_` or `@`, the value
    follows at once, and it isn't a URL, `std::vector` or one of `NOT_A_FIELD`: `C:\\x`, `worker.py:88`.
7.  Anything else up to the next space is text. `*` at its ends is dropped, for text is found inside words anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple, NoReturn, TypeAlias

from logs.query.metadata import STRING

LENGTH_MAX: Final = 2_000  # characters
TERMS_MAX: Final = 50
DEPTH_MAX: Final = 20


class QueryError(ValueError):
    """A query that can't be understood. `message` says where and what to write instead.

    `position` counts characters from 1, as the message does; None if it is about the query as a whole.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class _Kind(StrEnum):
    OPEN = "("
    CLOSE = ")"
    AND = "AND"
    OR = "OR"
    NOT = "NOT"
    NAME = "name:"
    TERM = "term"
    END = "end"


_JOINS: Final = frozenset({_Kind.AND, _Kind.OR})
_WORDS: Final = frozenset({_Kind.AND, _Kind.OR, _Kind.NOT})
_ENDS: Final = frozenset({_Kind.CLOSE, _Kind.END})
_OPERANDS: Final = frozenset({_Kind.TERM, _Kind.CLOSE})


class Token(NamedTuple):
    kind: _Kind
    at: int  # in what the person wrote, from 0
    lucene: str
    written: bool = True  # False for "-" and for the AND between two terms


_PHRASE: Final = re.compile(STRING, re.DOTALL)
_SPACE: Final = re.compile(r"\s*")
_REST: Final = re.compile(r"\S*")
# A quoted value in the middle of a word (err="timed out") belongs to it.
_WORD: Final = re.compile(rf"(?:={STRING}|\S)+", re.DOTALL)
_BRACKET: Final = re.compile(rf"(?<![^\s(:\-+!=<>{{\[,]){STRING}|[()]", re.DOTALL)
_OPERATOR: Final = re.compile(r"(AND|OR|NOT)(?=[\s(]|\Z)")
_PREFIX: Final = re.compile(r"""[-+!](?=[\w"(/\\@#$\[{*~.]|[^\x00-\x7f\s])""")
_COMPARISON: Final = re.compile(r"(>=|<=|>|<)\s*")
_BOUND: Final = rf"""({STRING}|[^\s"\]}}]+)"""
_RANGE: Final = re.compile(
    rf"([\[{{])\s*{_BOUND}\s+(?:TO|to)\s+{_BOUND}\s*([\]}}])(?=\s|\Z)", re.DOTALL
)  # fmt: skip

_JSON_START: Final = re.compile(
    rf"""[\[{{]\s*(?:"|[\[{{]\s*["\[{{])|{STRING}\s*:(?!:)""", re.DOTALL
)  # fmt: skip
_JSON_LEXEME: Final = re.compile(
    r"""\s*(?:
        (?P<value> "(?:[^"\\]|\\.)*(?:"|\\?\Z)  # the last string may be cut off
                 | -?[0-9][\w.+-]* | (?:true|false|null)\b )
      | (?P<open>[\[{]) | (?P<close>[\]}]) | (?P<mark>[:,]) )""",
    re.DOTALL | re.VERBOSE,
)

_NAME: Final = r"[A-Za-z_@][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_@-]+)*"
# With its prefix, a key of the metadata may have any letter and sign that doesn't end it.
_METADATA_NAME: Final = r"""(?i:metadata)(?:\.[^\s:."()\\/*]+)+"""
_FIELD: Final = re.compile(rf"({_METADATA_NAME}|{_NAME}):(?![\s:=,;)|\]}}]|//|\Z)")
NOT_A_FIELD: Final = re.compile(
    r"""(?!(?i:metadata)\.)(?:                                         # with that prefix, it is meant as a field
      [A-Za-z]:[\\/]                                                    # C:\Users, C:/Users
    | (?:mailto|urn|arn|jdbc):(?!")                                     # schemes that do without //
    | node:internal/                                                    # a frame of Node.js
    | (?:sha[0-9]+|md5):[0-9a-fA-F]{12}                                 # the digest of an image
    | (?:[0-9A-Fa-f]{1,4}:){3,}[0-9A-Fa-f]{1,4}(?![\w.:-])              # a MAC or an IPv6 address
    | (?:localhost|[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|local|localhost|internal|lan|example))
      :[0-9]{1,5}(?![\w.:])                                             # a host and its port
    | (?:[\w-]+\.)+(?:py|pyi|pyx|js|jsx|mjs|cjs|ts|tsx|vue|svelte|java|kt|kts|scala|groovy|clj|go|rs|rb|php|cs|fs|vb
        |c|cc|cpp|cxx|h|hh|hpp|m|mm|swift|dart|lua|pl|pm|ex|exs|erl|hs|ml|jl|zig|sql|sh|bash|ps1|html|css|xml|yaml
        |yml|json|toml|ini|cfg|conf|log|txt|md):[0-9]{1,6}(?![0-9A-Za-z_.-])   # a line of a file
    | (?:Dockerfile|Makefile):[0-9]
    )
    """,
    re.VERBOSE,
)


def read(text: str) -> list[Token]:
    """The tokens of a query, none if there is nothing in it. Raises `QueryError`."""
    if len(text) > LENGTH_MAX:
        raise QueryError(
            f"The query has {len(text):,} characters and may have {LENGTH_MAX:,}; search for a part of the text"
        )
    # A lone surrogate is no text that a record could hold, and no UTF-8.
    reader = _Reader(re.sub(r"[\ud800-\udfff]", "\ufffd", text))
    tokens = _resolved(reader.read())
    if any(token.kind in _WORDS and token.written for token in tokens):
        reader.reject_stray_brackets()
    return tokens


def names_field(name: str) -> bool:
    return re.fullmatch(f"{_METADATA_NAME}|{_NAME}", name) is not None


def _pairs(text: str) -> tuple[dict[int, int], set[int]]:
    """The place of each "(" and of its ")", and the places of those without a partner; quoted ones don't count."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    alone: list[int] = []
    for found in _BRACKET.finditer(text):
        if found[0] == "(":
            opened.append(found.start())
        elif found[0] == ")":
            if opened:
                pairs[opened.pop()] = found.start()
            else:
                alone.append(found.start())
    return pairs, {*alone, *opened}


class _Reader:
    """Reads a query into tokens, each with what luqum is to see of it. The rules are in the module's docstring.

    Each rule is given where it stands, where its group ends and how deep that is, and returns where the next term
    starts, or None if it doesn't apply.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.pairs, self.alone = _pairs(text)
        self.tokens: list[Token] = []
        self.terms = 0
        self.rules: tuple[_Rule, ...] = (
            self._group,
            self._operator,
            self._prefix,
            self._json,
            self._phrase,
            self._field,
            self._word,
        )

    def read(self) -> list[Token]:
        self._read(0, len(self.text), 0)
        return self.tokens

    def _read(self, at: int, end: int, depth: int) -> None:
        while (at := _match(_SPACE, self.text, at, end).end()) < end:
            at = next(after for rule in self.rules if (after := rule(at, end, depth)) is not None)

    def _add(self, kind: _Kind, at: int, lucene: str, *, written: bool = True) -> None:
        self.tokens.append(Token(kind, at, lucene, written))

    def _term(self, at: int, lucene: str) -> None:
        self.terms += 1
        if self.terms > TERMS_MAX:
            raise QueryError(
                f"The query has more than {TERMS_MAX} terms, the next one at position {at + 1}; "
                'put text that belongs together in quotes: "a whole line"',
                at + 1,
            )
        self._add(_Kind.TERM, at, lucene)

    # Rules of the query

    def _group(self, at: int, end: int, depth: int) -> int | None:
        if not self._opens_group(at, end):
            return None
        if depth == DEPTH_MAX:
            raise QueryError(
                f'The "(" at position {at + 1} is nested deeper than {DEPTH_MAX} brackets; write the query flatter',
                at + 1,
            )
        close = self.pairs[at]
        self._add(_Kind.OPEN, at, "(")
        self._read(at + 1, close, depth + 1)
        self._add(_Kind.CLOSE, close, ")")
        return close + 1

    def _is_bracket(self, at: int, end: int) -> bool:
        return self.text.startswith("(", at, end)

    def _opens_group(self, at: int, end: int) -> bool:
        close = self.pairs.get(at)
        if close is None or not self.text[at + 1 : close].strip():
            return False
        if close + 1 == end or self.text[close + 1].isspace():
            return True
        if re.search(r"\s", self.text[at:close]):
            self.alone.add(at)  # (a OR b)c groups nothing, though somebody may think so
        return False

    def _operator(self, at: int, end: int, depth: int) -> int | None:
        found = _OPERATOR.match(self.text, at, end)
        if not found or (self._is_bracket(found.end(), end) and not self._opens_group(found.end(), end)):
            return None
        self._add(_Kind(found[1]), at, found[1])
        return found.end()

    def _prefix(self, at: int, end: int, depth: int) -> int | None:
        found = _PREFIX.match(self.text, at, end)
        if not found or (self._is_bracket(at + 1, end) and not self._opens_group(at + 1, end)):
            return None
        if found[0] != "+":
            self._add(_Kind.NOT, at, "NOT", written=False)
        return at + 1

    def _json(self, at: int, end: int, depth: int) -> int | None:
        if not _JSON_START.match(self.text, at, end):
            return None
        after = self._rest(_json_end(self.text, at, end), end)
        self._term(at, quoted(self.text[at:after].rstrip()))
        return after

    def _phrase(self, at: int, end: int, depth: int) -> int | None:
        found = _PHRASE.match(self.text, at, end)
        if not found:
            return None
        after = self._rest(found.end(), end)
        glued = after > found.end()
        self._term(at, quoted(self.text[at:after] if glued else unquoted(found[0])))
        return after

    def _field(self, at: int, end: int, depth: int) -> int | None:
        found = self._field_name(at, end)
        if not found:
            return None
        value = found.end()
        if self.text[value] in "[{" and not _RANGE.match(self.text, value, end):
            return None  # a list or an object, but no range
        self._add(_Kind.NAME, at, _escaped(found[1]) + ":")
        if self.text[value] != "(":
            return self._value(value, end, depth)
        if not self._opens_group(value, end):
            self._reject_bracket(value)
        return self._values(value, end, depth)

    def _field_name(self, at: int, end: int) -> re.Match[str] | None:
        return None if NOT_A_FIELD.match(self.text, at, end) else _FIELD.match(self.text, at, end)

    def _word(self, at: int, end: int, depth: int) -> int:
        found = _match(_WORD, self.text, at, end)
        inner = at + len(found[0]) - len(found[0].lstrip("("))
        if at in self.alone and self._field_name(inner, end):
            self._reject_bracket(at)
        self._term(at, quoted(found[0].strip("*") or found[0]))
        return found.end()

    def _rest(self, at: int, end: int) -> int:
        return _match(_REST, self.text, at, end).end()

    # Rules of a field's values

    def _values(self, at: int, end: int, depth: int) -> int | None:
        outer = self.rules
        self.rules = (self._group, self._operator, self._prefix, self._value)
        after = self._group(at, end, depth)
        self.rules = outer
        return after

    def _value(self, at: int, end: int, depth: int) -> int:
        found = _RANGE.match(self.text, at, end)
        if found:
            low, high = (bound if bound == "*" else _bare_or_quoted(bound) for bound in found.group(2, 3))
            self._term(at, f"{found[1]}{low} TO {high}{found[4]}")
            return found.end()
        sign = _COMPARISON.match(self.text, at, end)
        start = sign.end() if sign else at
        after = self._value_end(start, end)
        value = self.text[start:after]
        if sign:
            self._term(at, sign[1] + _bare_or_quoted(value))
        else:
            self._term(at, quoted(unquoted(value)) if value[0] == '"' else _with_wildcards(value))
        return after

    def _value_end(self, at: int, end: int) -> int:
        after = self._rest(at, end)
        if after == at:
            raise QueryError(f"A value is missing at position {at + 1}; write one: duration_ms:>500", at + 1)
        if self.text[at] == '"':
            return self._quoted_value_end(at, end)
        for bracket in self.alone.intersection(range(at, after)):
            self._reject_bracket(bracket)
        return after

    def _quoted_value_end(self, at: int, end: int) -> int:
        found = _PHRASE.match(self.text, at, end)
        if not found:
            raise QueryError(
                f"The quote at position {at + 1} is not closed; close it, "
                'or write \\" in a quoted text for the quote itself',
                at + 1,
            )
        if self._rest(found.end(), end) > found.end():
            raise QueryError(
                f"The quote at position {found.end()} ends the value, but more text follows; put a space there, "
                'or write \\" for a quote inside the value',
                found.end(),
            )
        return found.end()

    # Brackets

    def reject_stray_brackets(self) -> None:
        """In a query with operators a bracket is meant to group, so one without its partner is a mistake."""
        if self.alone:
            self._reject_bracket(min(self.alone))

    def _reject_bracket(self, at: int) -> NoReturn:
        partner = 'no "(" before it' if self.text[at] == ")" else 'no ")" with a space or the end after it'
        raise QueryError(
            f'The "{self.text[at]}" at position {at + 1} has {partner}; '
            'put text that contains brackets in quotes: "f(x)"',
            at + 1,
        )


_Rule: TypeAlias = Callable[[int, int, int], int | None]


def _match(pattern: re.Pattern[str], text: str, at: int, end: int) -> re.Match[str]:
    """For a pattern that matches anywhere it is tried."""
    found = pattern.match(text, at, end)
    assert found
    return found


def _json_end(text: str, at: int, end: int) -> int:
    """Where a fragment of JSON ends: after its last bracket, or at what can't follow in JSON."""
    depth, after_value = 0, False
    while lexeme := _JSON_LEXEME.match(text, at, end):
        kind = lexeme.lastgroup
        if after_value and kind in ("value", "open"):
            break
        at = lexeme.end()
        depth += (kind == "open") - (kind == "close")
        after_value = kind in ("value", "close")
        if kind == "close" and depth <= 0 and text[at : at + 1] not in (",", "]", "}"):
            break
    return at


# What luqum is given: a quoted text, or a word in which only the wildcards are not escaped.


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(phrase: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", phrase[1:-1])


def _bare_or_quoted(value: str) -> str:
    return quoted(unquoted(value)) if _PHRASE.fullmatch(value) else quoted(value)


def _escaped(word: str) -> str:
    """A word as luqum's own; the first letter is escaped as well, for AND and TO are names, too."""
    return "\\" + word[0] + re.sub(r"([^A-Za-z0-9_])", r"\\\1", word[1:])


def _with_wildcards(value: str) -> str:
    core = value.strip("*")
    if core == value:
        return quoted(value)
    if not core:
        return "*"
    return f"{'*' if value[0] == '*' else ''}{_escaped(core)}{'*' if value[-1] == '*' else ''}"


def _resolved(tokens: list[Token]) -> list[Token]:
    """The tokens with every AND written out, and operators that join nothing made text."""
    resolved: list[Token] = []
    before = _Kind.OPEN
    for token, following in zip(tokens, [*(each.kind for each in tokens[1:]), _Kind.END], strict=False):
        if token.kind in _WORDS and not _operates(token.kind, before, following):
            token = token._replace(kind=_Kind.TERM, lucene=quoted(token.lucene))
        if before in _OPERANDS and token.kind not in _JOINS | _ENDS:
            resolved.append(Token(_Kind.AND, token.at, "AND", written=False))
        if token.kind is before is _Kind.NOT:
            resolved.pop()  # NOT NOT x is x, however many there are
            before = resolved[-1].kind if resolved else _Kind.OPEN
        else:
            resolved.append(token)
            before = token.kind
    return resolved


def _operates(kind: _Kind, before: _Kind, following: _Kind) -> bool:
    return following not in _ENDS and (kind is _Kind.NOT or before in _OPERANDS)
