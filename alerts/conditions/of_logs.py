"""What all conditions on log lines share: how lines are counted over a window, now and for a time that has passed.

A condition asks for the lines of a query, by the values of some fields, in the last so many seconds; what it makes of
their numbers is its own. Time is counted in steps of a sixtieth of the window or finer, at least a second.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from alerts import line_counts
from alerts.conditions.base import ConditionError, Measure, Measured, Replay, Sample, capped
from alerts.facts import Facts
from core import clock
from logs import patterns, query
from logs.query import Node
from logs.records import canonical_field
from logs.store import Counts
from logs.store.base import Key
from services.durations import words

Query = Annotated[str, msgspec.Meta(max_length=query.LENGTH_MAX)]
Field = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Fields = Annotated[tuple[Field, ...], msgspec.Meta(max_length=3)]
Window = Annotated[int, msgspec.Meta(ge=10, le=86_400)]  # seconds
Lookback = Annotated[int, msgspec.Meta(ge=60, le=7 * 86_400)]

STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800)  # seconds
PARTS: Final = 60  # of a window
PARTS_MAX: Final = 2_880  # of the longest window of a condition
MINUTES_FROM: Final = 300  # a replay of longer windows counts minutes, which headers of blocks tell

Lines = Mapping[Key, int]
Judge = Callable[..., Measured]  # of a configuration, and the lines of each question


class Question(NamedTuple):
    """How many lines match, by the values of fields, in the last `window` seconds."""

    node: Node
    fields: tuple[str, ...]
    window: int


class Grouped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration that all share."""

    query: Query = ""
    window: Window = 300
    group_by: Fields = ()


def check(config: Grouped) -> None:
    """Raises ConditionError or QueryError."""
    parsed(config.query)
    names = [label_name(field) for field in config.group_by]
    if len(set(names)) < len(names):
        raise ConditionError("group_by names a field twice")
    for field in config.group_by:
        query.field_exists(field)


def parsed(text: str) -> Node:
    """Raises QueryError, which is a ValueError."""
    return query.parse(text)


def label_name(field: str) -> str:
    """What a group's label is called: service for app, user_id for metadata.user_id."""
    if field == patterns.PATTERN:
        return "pattern"
    name = canonical_field(field) or re.sub(r"(?i)^metadata\.", "", field)
    return re.sub(r"^(?=[0-9])|[^a-zA-Z0-9_]", "_", name)


def labels(fields: Sequence[str], key: Key) -> dict[str, str]:
    return {label_name(field): value[:200] for field, value in zip(fields, key, strict=True)}


def samples(config: Grouped, values: Mapping[Key, float], tell: Callable[[float], str]) -> list[Sample]:
    """One for each group, the highest first; `tell` makes the sentence."""
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return [Sample(labels(config.group_by, key), value, tell(value)) for key, value in ordered]


def lines_in(config: Grouped, lines: float) -> str:
    return f"{lines:,.0f} {'line' if lines == 1 else 'lines'} in {words(config.window)}"


def by_group(config: Grouped) -> str:
    return f" by {', '.join(map(label_name, config.group_by))}" if config.group_by else ""


def shown(text: str) -> str:
    return text.strip() or "any line"


def measuring(questions: Callable[[Any], Sequence[Question]], judge: Judge) -> tuple[Measure, Replay]:
    """`measure` and `replay` of a condition."""

    def measure(config: Grouped, facts: Facts, *, most: int) -> Measured:
        return measured(questions(config), partial(judge, config), facts, most)

    def replay(
        config: Grouped, start: datetime, end: datetime, step: float, *, most: int
    ) -> Iterator[tuple[datetime, Measured]]:
        return replayed(questions(config), partial(judge, config), start, end, step, most)

    return measure, replay


# --- Now -----------------------------------------------------------------------------------------------------------


def measured(questions: Sequence[Question], judge: Judge, facts: Facts, most: int) -> Measured:
    """Up to and with the step that goes on: what came a moment ago counts. Raises ConditionError."""
    step = step_of(questions)
    at = clock.micros(facts.at)
    end = at + -at % step
    answers: dict[int, Lines] = {}
    # The longest first: it has the lines of the others.
    for number in sorted(range(len(questions)), key=lambda each: -questions[each].window):
        node, fields, window = questions[number]
        start = end - window * clock.SECOND
        answers[number] = facts.counts(node, fields, step, start, end).between(start, end)
    return capped(judge(*(answers[number] for number in range(len(questions)))), most)


def step_of(questions: Iterable[Question]) -> int:
    """µs."""
    windows = [question.window for question in questions]
    wanted = min(max(min(windows) / PARTS, max(windows) / PARTS_MAX), min(windows) / 5)
    return max(each for each in STEPS if each == 1 or each <= wanted) * clock.SECOND


# --- What has passed -----------------------------------------------------------------------------------------------


def replayed(
    questions: Sequence[Question], judge: Judge, start: datetime, end: datetime, step: float, most: int
) -> Iterator[tuple[datetime, Measured]]:
    """Raises ConditionError."""
    bucket = step_of(questions)
    if min(question.window for question in questions) >= MINUTES_FROM:
        bucket = max(bucket, clock.MINUTE)
    windows = _windows(questions, bucket, clock.micros(start), clock.micros(end))
    at, found = start, Measured()
    first = True
    while at < end:
        until = clock.micros(at) // bucket * bucket
        moved = [window.move(until) for window in windows]
        if first or any(moved):
            found, first = capped(judge(*(window.lines for window in windows)), most), False
        yield at, found
        at += timedelta(seconds=step)


def _windows(questions: Sequence[Question], bucket: int, start: int, end: int) -> list[_Moving]:
    counted: dict[tuple[Node, tuple[str, ...]], Counts] = {}
    for node, fields, window in sorted(questions, key=lambda each: -each.window):
        if (node, fields) not in counted:
            since = start - window * clock.SECOND
            counted[node, fields] = line_counts.replayed(node, fields, bucket, since, end)
    return [_Moving(counted[node, fields], window) for node, fields, window in questions]


class _Moving:
    """The lines of a window that moves on."""

    def __init__(self, counts: Counts, window: int) -> None:
        self.lines: Counter[Key] = Counter()
        self._span = window * clock.SECOND
        self._coming = deque(sorted(counts.lines))
        self._there: deque[tuple[int, Key, int]] = deque()

    def move(self, until: int) -> bool:
        """Whether that changes anything."""
        before = len(self._coming), len(self._there)
        while self._coming and self._coming[0][0] < until:
            counted = self._coming.popleft()
            self.lines[counted[1]] += counted[2]
            self._there.append(counted)
        while self._there and self._there[0][0] < until - self._span:
            _, key, lines = self._there.popleft()
            self.lines[key] -= lines
            if not self.lines[key]:
                del self.lines[key]
        return before != (len(self._coming), len(self._there))
