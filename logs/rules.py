"""What one row of the pipelines does with lines: which it drops and what it adds. Pure.

The steps of a row, in this order: what is extracted, minimum level, drop query, drop expression, sampling, labels. A
line that a step can't handle passes that step unchanged.
"""

from __future__ import annotations

import fnmatch
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Raw

from core import clock, expressions
from logs import query
from logs.lines import FIELDS, Lines
from logs.records import (
    EARLIEST,
    FUTURE_MAX,
    ID_FIELDS,
    ID_MAX,
    NAME_MAX,
    Level,
    LogRecord,
    RecordError,
    canonical_field,
    names_of,
    parse_level,
    parse_timestamp,
    with_rest,
)

log = logging.getLogger(__name__)

SEARCHED_MAX: Final = 16 << 10  # characters of a message that a regular expression looks at
EXPRESSION_MEMORY: Final = 8 << 20  # bytes; RE2 refuses an expression that needs more
GROUPS_MAX: Final = 50
SERVICES_MAX: Final = 4_096  # names of which it is remembered whether a row is for them
SAMPLED: Final = Level.INFO  # the highest level of which lines are left out
_LONGEST: Final = {"service": NAME_MAX, "logger": NAME_MAX, **dict.fromkeys(ID_FIELDS, ID_MAX)}
_TEXTS: Final = ("message", "title", *_LONGEST)

_encode = msgspec.json.encode

# What became of lines, and the names under which it is counted.
DROPPED_BY_LEVEL, DROPPED_BY_QUERY, DROPPED_BY_EXPRESSION = "level", "query", "expression"
SAMPLED_OUT, CHANGED = "sampled", "changed"


class RuleError(ValueError):
    """A row that can't be a rule. `field` is the model's; the message is for people."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def compiled(expression: str, field: str) -> Any:
    """Raises RuleError."""
    try:
        return expressions.compiled(expression, memory=EXPRESSION_MEMORY)
    except ValueError as error:
        raise RuleError(field, _what_is_wrong(str(error), expression)) from None


def _groups(pattern: Any) -> dict[int, tuple[str, str | None]]:
    """The named groups by number: the name, and the field of a record that it means. Raises RuleError."""
    names = re.findall(r"\(\?P?<([^=!>][^>]*)>", pattern.pattern)
    if not pattern.groupindex:
        raise RuleError(
            "expression", "Expected at least one group with a name, such as (?P<user_id>\\w+): it says what is kept."
        )
    if len(names) > GROUPS_MAX:
        raise RuleError("expression", f"Expected at most {GROUPS_MAX} groups with a name, got {len(names)}.")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise RuleError("expression", f"Two groups are called {twice[0]!r}: give one of them another name.")
    return {number: (name, canonical_field(name)) for name, number in pattern.groupindex.items()}


def _what_is_wrong(reason: str, expression: str) -> str:
    """Python's compiler knows the place, but takes more than RE2 does; RE2 quotes the part that it doesn't take."""
    try:
        re.compile(expression)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        return f"This is no regular expression{where}: {error.msg}."
    except (OverflowError, RecursionError):
        pass
    what, _, part = reason.partition(": ")
    where = f" at character {expression.find(part) + 1}" if part and part in expression else ""
    return f"RE2 can't search for this{where}: {what} {part[:40]!r}. It has no look-around and no back-references."


class Rule:
    """A row, ready to run. Raises RuleError, which says what of it is wrong."""

    def __init__(
        self,
        *,
        key: int = 0,
        name: str = "",
        services: str = "*",
        minimum: str = "",
        keep: int = 100,
        drop: str = "",
        drop_expression: str = "",
        labels: Mapping[str, Any] = {},
        expression: str = "",
    ) -> None:
        self.key, self.name = key, name
        self._complained: set[str] = set()
        self.made_of: object = None  # what its maker had it from
        match = re.compile(fnmatch.translate(services)).match
        self.is_for = lru_cache(SERVICES_MAX)(lambda service: match(service) is not None)
        self._minimum = parse_level(minimum) or Level.TRACE
        self._keep = keep
        self._drop = _predicate(drop)
        self._labels = {name: Raw(_encode(value)) for name, value in labels.items()}
        self._all_labels = with_rest(b"{}", self._labels) if labels else b"{}"
        self._expression = compiled(expression, "expression") if expression else None
        self._groups = _groups(self._expression) if self._expression else {}
        self._unwanted = compiled(drop_expression, "drop_expression") if drop_expression else None

    def run(self, lines: Lines, counts: Counter[str]) -> Lines:
        """The lines that are left. Neither `lines` nor its columns change. `counts` is added to."""
        names = set(lines.service)
        wanted = set(filter(self.is_for, names))
        if not wanted:
            return lines
        places: Sequence[int] = range(len(lines))
        if len(wanted) < len(names):
            places = [place for place, service in enumerate(lines.service) if service in wanted]
        changed: set[int] = set()
        if self._expression is not None:
            lines = self._extracted(lines, places, changed)
        kept = self._kept(lines, places, counts)
        if self._labels:
            lines = self._labelled(lines, kept, changed)
        counts[CHANGED] += len(changed.intersection(kept))
        if len(kept) == len(places):
            return lines
        gone = set(places).difference(kept)
        return lines.picked([place for place in range(len(lines)) if place not in gone])

    def extract(self, lines: Lines) -> Lines:
        """Only the first step."""
        return self._extracted(lines, range(len(lines)), set()) if self._expression is not None else lines

    # --- What goes -------------------------------------------------------------------------------------------------

    def _kept(self, lines: Lines, places: Sequence[int], counts: Counter[str]) -> Sequence[int]:
        left = places
        if self._minimum > Level.TRACE:
            level, minimum = lines.level, self._minimum
            left = self._count(DROPPED_BY_LEVEL, left, [at for at in left if level[at] >= minimum], counts)
        if self._drop is not None:
            left = self._count(DROPPED_BY_QUERY, left, [at for at in left if not self._drops(lines[at])], counts)
        if self._unwanted is not None:
            message, search = lines.message, self._unwanted.search
            wanted = [at for at in left if search(_searched(message[at])) is None]
            left = self._count(DROPPED_BY_EXPRESSION, left, wanted, counts)
        if self._keep < 100:
            left = self._count(SAMPLED_OUT, left, [at for at in left if self._samples(lines, at)], counts)
        return left

    def _count(self, why: str, before: Sequence[int], after: Sequence[int], counts: Counter[str]) -> Sequence[int]:
        counts[why] += len(before) - len(after)
        return after

    def _drops(self, record: LogRecord) -> bool:
        try:
            return self._drop is not None and self._drop(record)
        except Exception:  # noqa: BLE001 - whatever it is, the line passes
            self._complain("drop query")
            return False

    def _complain(self, step: str) -> None:
        """Once for each step: it may be the same with every line."""
        if step not in self._complained:
            self._complained.add(step)
            log.exception("The %s of the pipeline %r can't be used on a line, which passes", step, self.name)

    def _samples(self, lines: Lines, at: int) -> bool:
        """Whether it is one of those that stay. A request's lines stay or go together, in every process."""
        if lines.level[at] > SAMPLED:
            return True
        key = lines.request_id[at] or lines.trace_id[at] or f"{lines.timestamp[at]} {lines.message[at]}"
        return zlib.crc32(key.encode("utf-8", "replace")) * 100 < self._keep << 32

    # --- What is added ---------------------------------------------------------------------------------------------

    def _labelled(self, lines: Lines, places: Sequence[int], changed: set[int]) -> Lines:
        metadata = list(lines.metadata)
        for at in places:
            before = metadata[at]
            metadata[at] = self._all_labels if before == b"{}" else self._joined(before)
            if metadata[at] != before:
                changed.add(at)
        return _with(lines, {"metadata": metadata})

    def _joined(self, metadata: bytes) -> bytes:
        try:
            taken = names_of(metadata)
        except (msgspec.DecodeError, RecursionError):
            return metadata
        missing = {name: value for name, value in self._labels.items() if name not in taken}
        return with_rest(metadata, missing) if missing else metadata

    def _extracted(self, lines: Lines, places: Sequence[int], changed: set[int]) -> Lines:
        columns: dict[str, list[Any]] = {}
        latest = clock.now() + FUTURE_MAX
        for at in places:
            try:
                fields, rest = self._found(lines.message[at], latest)
                if rest:
                    fields["metadata"] = with_rest(lines.metadata[at], rest)
            except Exception:  # noqa: BLE001 - whatever it is, the line passes
                self._complain("expression")
                continue
            for field, value in fields.items():
                if field not in columns:
                    columns[field] = list(getattr(lines, field))
                columns[field][at] = value
                changed.add(at)
        return _with(lines, columns) if columns else lines

    def _found(self, message: str, latest: int) -> tuple[dict[str, Any], dict[str, Raw]]:
        """What the groups say: fields of the record, and keys of the metadata."""
        fields: dict[str, Any] = {}
        rest: dict[str, Raw] = {}
        if self._expression is None or (found := self._expression.search(_searched(message))) is None:
            return fields, rest
        for number, (name, field) in self._groups.items():
            if not (data := found.group(number)):
                continue
            text = data.decode("utf-8", "replace")
            if (value := _value(field, text, latest)) is None or field is None:
                rest[name] = Raw(_encode(text))
            else:
                fields[field] = value
        return fields, rest


def _searched(message: str) -> bytes:
    """What an expression looks at: of bytes, RE2 needn't count characters."""
    return message[:SEARCHED_MAX].encode("utf-8", "replace")


def _predicate(drop: str) -> Callable[[LogRecord], bool] | None:
    if not drop.strip():
        return None
    try:
        return query.parse(drop).matches
    except query.QueryError as error:
        raise RuleError("drop", str(error)) from None


def _value(field: str | None, text: str, latest: int) -> Any:
    """The text as a value of the field; None if it can't be one."""
    if field == "level":
        return parse_level(text)
    if field == "timestamp":
        try:
            timestamp = parse_timestamp(text)
        except RecordError:
            return None
        return timestamp if EARLIEST <= timestamp <= latest else None
    if field not in _TEXTS:
        return None
    longest = _LONGEST.get(field)
    return text if longest is None or len(text) <= longest else None


def _with(lines: Lines, columns: Mapping[str, Sequence[Any]]) -> Lines:
    return Lines(*[columns.get(name, getattr(lines, name)) for name in FIELDS])
