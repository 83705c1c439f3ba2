"""How many log lines match, asked by many rules every few seconds: each block of the log store is counted once for each
question. What was counted is kept in this process, the questions that were asked last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from alerts.conditions.base import ConditionError
from core import clock
from logs.query import Node
from logs.store import BaseLogStore, Counts, log_stores
from logs.store.base import Counted
from services.durations import words

DEADLINE: Final = 1.0  # seconds for one question
REPLAY_DEADLINE: Final = 20.0
COUNTED_MAX: Final = 100_000  # different times and values, and blocks, of one question …
KEPT_MAX: Final = 400_000  # … and of all that is kept
REPLAYED_MAX: Final = 1_000_000

Question = tuple[Node, tuple[str, ...], int]


class _Known:
    """What was counted for a question, by block."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks: dict[int, Sequence[Counted]] = {}
        self.size = 0


_known: OrderedDict[Question, _Known] = OrderedDict()
_lock = threading.Lock()


def counts(store: BaseLogStore, question: Question, start: int, end: int) -> Counts:
    """As `BaseLogStore.counts`. Raises ConditionError."""
    node, fields, step = question
    known = _take(question)
    with known.lock:
        found = store.counts(
            node, fields, start=start, end=end, step=step, deadline=DEADLINE, most=COUNTED_MAX, known=known.blocks
        )
        known.size = len(known.blocks) + len(found.lines)
    _bound()
    if len(found.lines) > COUNTED_MAX:
        _forget(question)
        raise ConditionError(_too_many(fields))
    if not found.complete:
        # What was counted is kept: the next time it goes on there.
        raise ConditionError(f"{words((end - start) // clock.SECOND)} of lines are not counted yet: it goes on")
    return found


def replayed(node: Node, fields: tuple[str, ...], step: int, start: int, end: int) -> Counts:
    """The same for a long time, of which nothing is kept. Raises ConditionError."""
    found = log_stores["default"].counts(
        node, fields, start=start, end=end, step=step, deadline=REPLAY_DEADLINE, most=REPLAYED_MAX
    )
    if len(found.lines) > REPLAYED_MAX:
        raise ConditionError(_too_many(fields))
    if not found.complete:
        raise ConditionError(
            f"{words((end - start) // clock.SECOND)} have more lines than can be counted in {REPLAY_DEADLINE:.0f} s; "
            "a query of level and service alone is counted faster, or look at fewer days"
        )
    return found


def forget() -> None:
    """Everything that was counted."""
    with _lock:
        _known.clear()


def _forget(question: Question) -> None:
    with _lock:
        _known.pop(question, None)


def _take(question: Question) -> _Known:
    with _lock:
        known = _known.setdefault(question, _Known())
        _known.move_to_end(question)
        return known


def _bound() -> None:
    with _lock:
        size = sum(known.size for known in _known.values())
        while size > KEPT_MAX and len(_known) > 1:
            size -= _known.popitem(last=False)[1].size


def _too_many(fields: Sequence[str]) -> str:
    return f"there are too many different values of {', '.join(fields) or 'time'}: group by a field with fewer"
