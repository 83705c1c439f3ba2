"""The pipelines of the admin at work: every line passes all of them, in their order, before it is stored.

`apply` works with what this process knew last and asks nobody; `logs.intake` keeps that fresh. Counts are gathered
meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F, QuerySet

from logs.lines import Lines
from logs.records import LogRecord
from logs.rules import (
    CHANGED,
    DROPPED_BY_EXPRESSION,
    DROPPED_BY_LEVEL,
    DROPPED_BY_QUERY,
    SAMPLED_OUT,
    Rule,
    RuleError,
)

if TYPE_CHECKING:
    from logs.models import Pipeline

log = logging.getLogger(__name__)

ROWS_MAX: Final = 256

_rules: tuple[Rule, ...] = ()
_counts: dict[int, Counter[str]] = {}
_counting = threading.Lock()


def apply(lines: Lines) -> Lines:
    """The lines that are left, changed as the pipelines say. Places in `sequence` stay with their lines."""
    if not _rules or not lines:
        return lines
    for rule in _rules:
        counts: Counter[str] = Counter()
        try:
            lines = rule.run(lines, counts)
        except Exception:
            log.exception("The pipeline %r can't be used", rule.name)  # a mistake of ours must not cost a line
            continue
        if any(counts.values()):
            with _counting:
                _counts.setdefault(rule.key, Counter()).update(counts)
        if not lines:
            break
    return lines


# --- What is known -------------------------------------------------------------------------------------------------


def refresh() -> None:
    """Reads the rows. While the database is away all stays as it is."""
    global _rules
    try:
        _rules = tuple(_ready(list(_enabled())))
    except (DatabaseError, InterfaceError) as error:
        log.debug("The pipelines can't be read: %s", error)


def _enabled() -> QuerySet[Pipeline]:
    return _model().objects.filter(enabled=True)[:ROWS_MAX]


def _model() -> type[Pipeline]:
    # Who only reads and writes lines (a benchmark's client) needs no models, and no Django that is set up.
    from logs.models import Pipeline

    return Pipeline


def _ready(rows: Iterable[Pipeline]) -> Iterator[Rule]:
    known = {rule.key: rule for rule in _rules}
    for row in rows:
        old = known.get(row.pk)
        if old is not None and old.made_of == row.settings():
            yield old  # with what it remembers
        elif (rule := _rule(row)) is not None:
            yield rule


def write_counts() -> None:
    """Adds what this process has counted to the rows; while the database is away it is kept for the next time."""
    with _counting:
        counted = {key: counts for key, counts in _counts.items() if any(counts.values())}
        _counts.clear()
    if not counted:
        return
    try:
        with transaction.atomic():
            for key, counts in sorted(counted.items()):
                dropped = counts[DROPPED_BY_LEVEL] + counts[DROPPED_BY_QUERY] + counts[DROPPED_BY_EXPRESSION]
                _model().objects.filter(pk=key).update(
                    dropped=F("dropped") + dropped,
                    sampled=F("sampled") + counts[SAMPLED_OUT],
                    changed=F("changed") + counts[CHANGED],
                )
    except (DatabaseError, InterfaceError) as error:
        log.debug("What the pipelines did can't be counted: %s", error)
        with _counting:
            for key, counts in counted.items():
                _counts.setdefault(key, Counter()).update(counts)


# --- One line, step by step ----------------------------------------------------------------------------------------


class Step(NamedTuple):
    """What one row did with a line."""

    name: str
    what: str  # a sentence
    drops: bool


_SENTENCES: Final = {
    DROPPED_BY_LEVEL: "Dropped: its level is below the minimum.",
    DROPPED_BY_QUERY: "Dropped: the drop query finds it.",
    DROPPED_BY_EXPRESSION: "Dropped: the drop expression finds it.",
    SAMPLED_OUT: "Left out by sampling.",
    CHANGED: "Changed.",
}


def with_row(edited: Pipeline) -> list[Rule]:
    """The enabled rows in their order, with one as it is being edited in its place."""
    rows = [row for row in _enabled() if row.pk != edited.pk]
    rows = sorted([*rows, edited], key=lambda row: (row.position, row.pk or float("inf")))
    return [rule for row in rows if (rule := _rule(row)) is not None]


def _rule(row: Pipeline) -> Rule | None:
    try:
        return row.rule()
    except RuleError as error:
        log.warning("The pipeline %s is not used: %s", row, error)
        return None


def steps(record: LogRecord, rows: Sequence[Rule]) -> tuple[LogRecord, list[Step]]:
    """What the rows, in their order, make of one line, and what each of them did. The first that drops it ends it."""
    lines = Lines.of([record])
    taken: list[Step] = []
    for rule in rows:
        counts: Counter[str] = Counter()
        if not rule.is_for(lines.service[0]):
            taken.append(Step(rule.name, f"Not for lines of the service {lines.service[0]!r}.", False))
            continue
        left = rule.run(lines, counts)
        why = next((sentence for kind, sentence in _SENTENCES.items() if counts[kind]), "Nothing to do.")
        taken.append(Step(rule.name, why, not left))
        if not left:
            lines = rule.extract(lines)  # what it saw when it dropped the line
            break
        lines = left
    return lines[0], taken
