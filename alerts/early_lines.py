"""Which rules about log lines are looked at early: those whose query matches a line that was just stored.

New lines are read once for all rules. Of those that they match most are far from their limits (`alerts.reach`); the
others are looked at. That is a hint, and bounded as such: so much time, so many lines, so much work in a second. Rules
that lines bring near their limits all the time stand back behind those where that is rare, and take turns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import starmap
from typing import Any, Final

import msgspec

from alerts import reach
from alerts.conditions.of_logs import Grouped
from alerts.models import AlertRule
from logs import query
from logs.query import And, Field, Level, Node, Operator, Or
from logs.records import LogRecord
from logs.store import log_stores

LINES_MAX: Final = 2_000  # of one look; of more the newest
BUDGET: Final = 0.05  # seconds of one look, after the reading
WORK_MAX: Final = 100_000  # µs that the rules of one look took when they were evaluated last
FIRST_WORK: Final = 5_000  # µs, of a rule that was never evaluated
ABSENT: Final = "log_absence"  # lines are no news to it
FADES: Final = 0.9  # from look to look, how often lines matched lately

log = logging.getLogger(__name__)

Lines = Mapping[tuple[str, int], Sequence[LogRecord]]  # by service, casefolded, and level


class _Rule(msgspec.Struct, frozen=True):
    """As its row has it."""

    pk: int
    kind: str
    config: dict[str, Any]
    operator: str
    thresholds: Any
    values: list[Any]
    alerts_max: int
    evaluated_at: int | None
    took_us: int | None

    @property
    def query(self) -> str:
        return str(self.config.get("query", ""))

    @property
    def work(self) -> int:
        return FIRST_WORK if self.took_us is None else self.took_us

    def could_fire(self, lines: int) -> bool:
        if self.evaluated_at is None:
            return True
        window = float(self.config.get("window", Grouped().window))
        return reach.could_fire(self.kind, window, self.operator, self.thresholds, self.values, self.alerts_max, lines)


class _Matched(msgspec.Struct):
    """The lines of a rule that came since it was evaluated, or while it was: some may be counted twice."""

    evaluated_at: int | None
    lines: int = 0
    last: int = 0  # of them those of the last look

    def add(self, evaluated_at: int | None, lines: int) -> None:
        before = self.lines if evaluated_at == self.evaluated_at else self.last
        self.evaluated_at, self.lines, self.last = evaluated_at, before + lines, lines


class _Seen(msgspec.Struct):
    commit: int = -1  # the newest that this process has read
    matched: dict[int, _Matched] = {}  # by rule
    busy: dict[int, float] = {}  # by rule: how often lines brought it near a limit lately, 0 to 10
    turns: dict[int, float] = {}  # by rule: when it was looked at early, by the monotonic clock


_seen = _Seen()
_lock = threading.Lock()  # a slow look and the next one shall not read the same


def rules() -> set[int]:
    """Of the lines that came since the last call."""
    if not _lock.acquire(blocking=False):
        return set()
    try:
        return _rules()
    except Exception as error:  # noqa: BLE001 - whatever the store raises: rules have their turn anyway
        log.debug("No early look at new lines: %s", error)
        return set()
    finally:
        _lock.release()


def _rules() -> set[int]:
    store = log_stores["default"]
    newest, before = store.last_commit(), _seen.commit
    _seen.commit = newest
    if before < 0 or newest <= before:
        return set()
    wanted = list(_waiting())
    if not wanted:
        return set()
    # A rule forgets what it had before it is counted on.
    _seen.matched = {rule.pk: _seen.matched.get(rule.pk) or _Matched(rule.evaluated_at) for rule in wanted}
    near = _near(wanted, list(store.committed_after(before, limit=LINES_MAX).records))
    _seen.busy = {rule.pk: FADES * _seen.busy.get(rule.pk, 0.0) + (rule in near) for rule in wanted}
    chosen = set(_within_work(near))
    known = {pk: at for pk, at in _seen.turns.items() if pk in _seen.busy}
    _seen.turns = known | dict.fromkeys(chosen, time.monotonic())
    return chosen


def _near(rules: list[_Rule], records: Sequence[tuple[Any, LogRecord]]) -> list[_Rule]:
    """Those whose limits may be passed by now."""
    complete = len(records) < LINES_MAX
    lines = _by_label(record for _, record in records)
    until = time.monotonic() + BUDGET
    found = []
    # Who is rarely near is asked first: if the time is over, the others lose less.
    for rule in sorted(rules, key=lambda rule: _seen.busy.get(rule.pk, 0.0)):
        if time.monotonic() > until:
            break
        came = _matching(rule.query, lines)
        matched = _seen.matched[rule.pk]
        matched.add(rule.evaluated_at, came)
        if came and (not complete or rule.could_fire(matched.lines)):
            found.append(rule)
    return found


def _within_work(near: list[_Rule]) -> Iterator[int]:
    """At least one."""
    work = 0
    for rule in sorted(near, key=lambda rule: (int(_seen.busy[rule.pk]), _seen.turns.get(rule.pk, 0.0))):
        work += rule.work
        yield rule.pk
        if work > WORK_MAX:
            return


def _waiting() -> Iterator[_Rule]:
    """Rules that lines may fire at once."""
    found = AlertRule.objects.filter(enabled=True, pending_for=0, kind__startswith="log_").exclude(kind=ABSENT)
    return starmap(_Rule, found.values_list(*_Rule.__struct_fields__))


def _by_label(records: Iterator[LogRecord]) -> Lines:
    found: dict[tuple[str, int], list[LogRecord]] = defaultdict(list)
    for record in records:
        found[record.service.casefold(), record.level].append(record)
    return found


def _matching(text: str, lines: Lines) -> int:
    """How many."""
    node = _node(text)
    if node is None:
        return 0
    levels, services = _labels(node)
    return sum(
        sum(map(node.matches, records))
        for (service, level), records in lines.items()
        if levels >> level & 1 and (services is None or service in services)
    )


@lru_cache(maxsize=1_024)
def _node(text: str) -> Node | None:
    """None for a query that can't be read any more: its rule says so itself."""
    try:
        return query.parse(text)
    except query.QueryError:
        return None


@lru_cache(maxsize=1_024)
def _labels(node: Node) -> tuple[int, frozenset[str] | None]:
    """The levels (a mask) and services that a line that matches has at least; None is any."""
    match node:
        case Level(mask=mask):
            return mask, None
        case Field(name="service", operator=Operator.EQUALS, value=value):
            return -1, frozenset({value})
        case And(children=children):
            levels, services = -1, None
            for mask, names in map(_labels, children):
                levels &= mask
                services = names if services is None else services if names is None else services & names
            return levels, services
        case Or(children=children):
            either = [_labels(child) for child in children]
            levels, several = 0, [names for _, names in either if names is not None]
            for mask, _ in either:
                levels |= mask
            return levels, frozenset().union(*several) if len(several) == len(either) else None
    return -1, None
