"""Secrets go before a line is stored: the rules, and what they make of a text, of JSON and of many lines at once.

Pure. One pattern that matches wherever there may be a secret is searched for in whole columns (see
benchmarks/redaction.py for what that costs); only the cells where it is found are looked at closely. To redact twice
changes nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec

from logs.detectors import DETECTORS, Span, compiled
from logs.lines import FIELDS, Lines
from logs.pairs import MARK, NAME_MAX, Names, Pair, folded, is_nothing

KEY, PATTERN, DETECTOR = "key", "pattern", "detector"
REDACTED: Final = b"[redacted]"
TEXTS: Final = ("title", "message", "service", "logger", "request_id", "trace_id", "span_id")
FIRST: Final = "private-key"
RANDOM: Final = ("trace_id", "span_id")
ROUNDS_MAX: Final = 20
PATTERN_MAX: Final = 500  # characters of an own pattern
_ESCAPED: Final = rb"\\u00[2-7]"  # a letter of ASCII, as JSON may have it

Hits = Counter["Rule"]


class Rule(NamedTuple):
    """What is removed: the value of a name, what matches a pattern, what a detector finds."""

    kind: str
    value: str


class Redacted(NamedTuple):
    lines: Lines
    places: frozenset[int]  # of the lines in which there was something
    hits: Hits


KEYS: Final = (
    "password", "passwd", "pwd", "passphrase", "password_hash", "password_confirm", "password_confirmation",
    "passwords", "db_pass", "user_pass", "smtp_pass", "passwort",
    "token", "secret", "secret_key", "api_key", "access_key", "private_key", "signing_key", "encryption_key",
    "authorization", "credential", "credentials", "cookie", "set_cookie", "cookies", "session_id", "connect.sid",
    "cvv", "cvc",
)  # fmt: skip
BY_CHOICE: Final = frozenset({Rule(DETECTOR, "email"), Rule(DETECTOR, "iban")})
BUILT_IN: Final = (*(Rule(KEY, key) for key in KEYS), *(Rule(DETECTOR, name) for name in DETECTORS))
DEFAULTS: Final = tuple(rule for rule in BUILT_IN if rule not in BY_CHOICE)


class RuleError(ValueError):
    """A rule that can't be used, with the reason for people."""


def check(rule: Rule) -> None:
    """Raises RuleError."""
    if rule.kind == DETECTOR and rule.value not in DETECTORS:
        raise RuleError(f"expected one of {', '.join(DETECTORS)}, got {rule.value!r}")
    if rule.kind == KEY and not 0 < len(folded(rule.value)) <= NAME_MAX:
        raise RuleError(f"expected a name with 1 to {NAME_MAX} letters and digits, got {rule.value[:80]!r}")
    if rule.kind == PATTERN:
        _check_pattern(rule.value)


def _check_pattern(pattern: str) -> None:
    if len(pattern) > PATTERN_MAX:
        raise RuleError(f"expected at most {PATTERN_MAX} characters, got {len(pattern)}")
    try:
        found = compiled(pattern.encode(), text=True)
    except ValueError as error:
        raise RuleError(f"expected a regular expression of RE2: {error}") from None
    if found.search(b"") is not None:
        raise RuleError("the pattern matches the empty text, and so everything: write what has to be there")
    if found.groups > 1:
        raise RuleError(f"expected one group at most, the part to remove, got {found.groups}: write (?:…) for others")


class Redactor:
    """Some rules, ready. Threads may share one. Rules that can't be used are left out."""

    def __init__(self, rules: Iterable[Rule] = DEFAULTS) -> None:
        usable = [rule for rule in dict.fromkeys(rules) if _is_usable(rule)]
        keys = {rule.value: rule for rule in usable if rule.kind == KEY}
        self._keys = keys
        self._names = Names(keys)
        wanted = {rule.value: rule for rule in usable if rule.kind == DETECTOR}
        self._detectors = [(rule, DETECTORS[name]) for name in DETECTORS if (rule := wanted.get(name))]
        self._own = [(rule, compiled(rule.value.encode(), text=True)) for rule in usable if rule.kind == PATTERN]
        hints = [self._names.hint, *(detector.hint for _, detector in self._detectors)]
        hint = b"|".join(filter(None, hints))
        self._hint = compiled(hint) if hint else None
        self._hint_json = compiled(hint + b"|" + _ESCAPED) if hint else None
        # Among many random ids some are good card numbers.
        card = DETECTORS["card"].hint
        hint = b"|".join(each for each in hints if each and each != card)
        self._hint_random = compiled(hint) if hint else None

    # --- Many lines --------------------------------------------------------------------------------------------------

    def redact(self, lines: Lines) -> Redacted:
        """Lines without secrets: the same where there was nothing, the columns that change are new ones."""
        hits: Hits = Counter()
        places: set[int] = set()
        changed: dict[str, Sequence[object]] = {}
        for field in (*TEXTS, "metadata"):
            column = getattr(lines, field)
            new = self._json_cells(column, hits) if field == "metadata" else self._text_cells(field, column, hits)
            if new:
                places.update(new)
                changed[field] = [new.get(place, cell) for place, cell in enumerate(column)]
        if not changed:
            return Redacted(lines, frozenset(), hits)
        return Redacted(
            Lines(*[changed.get(field, getattr(lines, field)) for field in FIELDS]), frozenset(places), hits
        )

    def _text_cells(self, field: str, column: Sequence[str], hits: Hits) -> dict[int, str]:
        """The cells that change, by place."""
        found = {}
        for place in self._suspects(column, self._hint_random if field in RANDOM else self._hint):
            if (new := self.text(text := column[place], hits)) != text:
                found[place] = new
        return found

    def _json_cells(self, column: Sequence[bytes], hits: Hits) -> dict[int, bytes]:
        joined = b"\n".join(column)
        suspects = set(_places(self._hint_json, joined, lambda: map(len, column)))
        # The same names and values come again and again: each is looked at once.
        if self._own and (found := {token for token in set(_TOKEN.findall(joined)) if self._is_own(token)}):
            suspects.update(place for place, cell in enumerate(column) if not found.isdisjoint(_TOKEN.findall(cell)))
        return {place: new for place in suspects if (new := self.json(cell := column[place], hits)) is not cell}

    def _suspects(self, column: Sequence[str], hint: Any) -> Iterable[int]:
        # The data is encoded as a whole: it has the same length as its parts, whatever half a surrogate becomes.
        data = "\n".join(column).encode("utf-8", "replace")
        is_ascii = len(data) == sum(map(len, column)) + max(len(column) - 1, 0)
        found = set(_places(hint, data, lambda: map(len, column) if is_ascii else (len(_encoded(t)) for t in column)))
        for _, pattern in self._own:
            found.update(place for place, text in enumerate(column) if text and pattern.search(_encoded(text)))
        return sorted(found)

    # --- One text ----------------------------------------------------------------------------------------------------

    def text(self, text: str, hits: Hits) -> str:
        data = _encoded(text)
        new = self._without(data, hits)
        return text if new is data else new.decode("utf-8", "replace")

    def _without(self, data: bytes, hits: Hits) -> bytes:
        """Until nothing is found any more: what goes may have hidden what stands beside it."""
        for _ in range(ROUNDS_MAX):
            if (new := self._round(data, hits)) is data:
                break
            data = new
        return data

    def _round(self, data: bytes, hits: Hits) -> bytes:
        # A private key goes first: as the value of a name it would lose its beginning only.
        for rule, detector in self._detectors:
            if rule.value == FIRST and detector.needs in data:
                data = self._replaced(data, detector.spans(data), rule, detector.mark.encode(), hits)
        data = self._without_values(data, hits)
        for rule, detector in self._detectors:
            if detector.needs not in data:
                continue
            data = self._replaced(data, detector.spans(data), rule, detector.mark.encode(), hits)
        for rule, pattern in self._own:
            spans = (match.span(pattern.groups) for match in pattern.finditer(data))
            data = self._replaced(data, spans, rule, REDACTED, hits)
        return data

    def _without_values(self, data: bytes, hits: Hits) -> bytes:
        pairs: list[Pair] = []
        for pair in sorted(self._names.pairs(data)):
            if not pairs or pair.start >= pairs[-1].end:
                pairs.append(pair)
        if not pairs:
            return data
        hits.update(self._keys[pair.rule] for pair in pairs)
        return _pieced(data, [(pair.start, pair.end, pair.quote + REDACTED + pair.quote) for pair in pairs])

    def _replaced(self, data: bytes, spans: Iterator[Span], rule: Rule, mark: bytes, hits: Hits) -> bytes:
        found = [span for span in spans if span[0] < span[1]]
        if not found:
            return data
        if marks := [match.span() for match in MARK.finditer(data)]:
            found = list(_beside(found, marks))
        if found:
            hits[rule] += len(found)
        return _pieced(data, [(start, end, mark) for start, end in found])

    # --- JSON --------------------------------------------------------------------------------------------------------

    def json(self, data: bytes, hits: Hits) -> bytes:
        """Valid JSON stays valid, and what is no secret stays as it is written. Without any, `data` itself."""
        return _Json(self, hits).read(data)

    def rule_of(self, name: str) -> Rule | None:
        """The rule that makes this the name of a secret."""
        found = self._names.rule(name)
        return None if found is None else self._keys[found]

    def _is_own(self, token: bytes) -> bool:
        text = _encoded(_decoded(token)) if self._own and b"\\" in token else token.strip(b'"')
        return any(pattern.search(text) is not None for _, pattern in self._own)

    def token(self, token: bytes, hits: Hits) -> bytes:
        """A string or a number of JSON by itself."""
        if not (self._hint_json and self._hint_json.search(token)) and not self._is_own(token):
            return token
        if not token.startswith(b'"'):
            left = self._without(token, hits)
            return token if left is token else msgspec.json.encode(left.decode("utf-8", "replace"))
        text = _decoded(token)
        return token if (new := self.text(text, hits)) == text else msgspec.json.encode(new)


def tried(redactor: Redactor, sample: str) -> tuple[str, Hits]:
    """What a line looks like afterwards, for people; one that is JSON is read as such."""
    hits: Hits = Counter()
    data = _encoded(sample)
    if sample.lstrip().startswith(("{", "[")):
        try:
            return msgspec.json.format(
                redactor.json(msgspec.json.format(data, indent=-1), hits), indent=2
            ).decode(), hits
        except (msgspec.DecodeError, RecursionError):
            pass  # a text that begins like JSON
    return redactor.text(sample, hits), hits


def _is_usable(rule: Rule) -> bool:
    try:
        check(rule)
    except RuleError:
        return False
    return True


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _decoded(token: bytes) -> str:
    try:
        return msgspec.json.decode(token, type=str)
    except msgspec.DecodeError:  # half a surrogate pair
        return token[1:-1].decode("utf-8", "replace")


def _places(pattern: Any, joined: bytes, lengths: Callable[[], Iterable[int]]) -> Iterator[int]:
    """The cells of a column, joined by one byte each, in which `pattern` is found. Then their lengths are asked."""
    if pattern is None:
        return
    ends: list[int] = []
    reached = -1
    for match in pattern.finditer(joined):
        ends = ends or list(accumulate(length + 1 for length in lengths()))
        # One that goes over the end of a cell may hide what begins in the next.
        first, last = bisect_right(ends, match.start()), bisect_right(ends, max(match.end() - 1, match.start()))
        yield from range(max(first, reached + 1), last + 1)
        reached = max(reached, last)


def _beside(spans: Iterable[Span], marks: Sequence[Span]) -> Iterator[Span]:
    """Without those that are within a mark; one that goes over a part of a mark takes it along."""
    starts = [start for start, _ in marks]
    done = 0
    for start, end in spans:
        first, last = bisect_right(starts, start) - 1, bisect_right(starts, end - 1) - 1
        if start >= end or (first >= 0 and end <= marks[first][1]):
            continue
        if first >= 0 and start < marks[first][1]:
            start = marks[first][0]
        end = max(end, marks[last][1]) if last >= 0 else end
        if start >= done:
            yield start, end
            done = end


def _pieced(data: bytes, found: Sequence[tuple[int, int, bytes]]) -> bytes:
    if not found:
        return data
    pieces, place = [], 0
    for start, end, mark in found:
        pieces += [data[place:start], mark]
        place = end
    return b"".join([*pieces, data[place:]])


_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]:,]|[^\s"{}\[\]:,]++', re.DOTALL)
_MARK_TOKEN: Final = b'"' + REDACTED + b'"'
_NAMING: Final = frozenset({"name", "key", "header", "field"})  # {"name": "password", "value": "x"}
_VALUES: Final = frozenset({"value", "values", "stringvalue"})


class _Level:
    """An object or an array that is being read."""

    __slots__ = ("expects_name", "is_object", "is_pair", "name", "named", "place", "rule")

    def __init__(self, *, is_object: bool = False, is_pair: bool = False, rule: Rule | None = None) -> None:
        self.is_object = self.expects_name = is_object
        self.is_pair = is_pair  # an array in an array: ["Cookie", "…"]
        self.named: Rule | None = rule  # because of a value that is the name of a secret
        self.rule: Rule | None = None  # of the value that comes next
        self.name = ""
        self.place = 0


class _Json:
    """One reading of JSON, token by token: as deep and as long as it may be."""

    def __init__(self, redactor: Redactor, hits: Hits) -> None:
        self.redactor, self.hits = redactor, hits
        self.levels = [_Level()]
        self.hidden = 0  # how deep we are within a value that goes as a whole

    def read(self, data: bytes) -> bytes:
        tokens = list(_TOKEN.finditer(data))
        written = []
        changed = False
        for match in tokens:
            token = match.group()
            new = self._token(token, data[match.end() : match.end() + 1])
            changed = changed or new is not token
            written.append(new)
        return b"".join(written) if changed else data

    def _token(self, token: bytes, following: bytes) -> bytes:
        """What stands for it afterwards: nothing within a value that goes."""
        level = self.levels[-1]
        if self.hidden:
            self.hidden += (token in (b"{", b"[")) - (token in (b"}", b"]"))
            return b""
        match token:
            case b"{" | b"[":
                if level.rule and following not in (b"}", b"]"):
                    self.hidden = 1
                    return self._mark(level.rule)
                is_pair = token == b"[" and not level.is_object and len(self.levels) > 1
                rule = level.named if level.is_object and level.name in _VALUES else None
                self.levels.append(_Level(is_object=token == b"{", is_pair=is_pair, rule=rule))
            case b"}" | b"]":
                if len(self.levels) > 1:
                    self.levels.pop()
            case b":":
                level.expects_name = False
            case b",":
                level.expects_name = level.is_object
                level.place += 1
                level.rule = level.named if level.is_pair and level.place == 1 else None
            case _ if level.expects_name:
                return self._name(token, level)
            case _:
                return self._value(token, level)
        return token

    def _name(self, token: bytes, level: _Level) -> bytes:
        new = self.redactor.token(token, self.hits)
        name = _decoded(new)
        level.name = name.lower()
        level.rule = self.redactor.rule_of(name) or (level.named if level.name in _VALUES else None)
        return new

    def _value(self, token: bytes, level: _Level) -> bytes:
        is_text = token.startswith(b'"')
        if level.rule is None:
            new = self.redactor.token(token, self.hits)
        elif is_nothing(_encoded(_decoded(token)) if is_text else token):
            new = token
        else:
            new = self._mark(level.rule)
        if is_text and (level.name in _NAMING if level.is_object else level.is_pair and not level.place):
            level.named = self.redactor.rule_of(_decoded(new))
        return new

    def _mark(self, rule: Rule) -> bytes:
        self.hits[rule] += 1
        return _MARK_TOKEN
