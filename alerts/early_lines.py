"""Which rules about log lines are looked at early: those whose query matches a line that was just stored.

New lines are read once for all rules. That is a hint, and bounded as such: so much time, so many lines, so many rules
in a second. Those that lines match all the time stand back behind those that they match rarely, and take turns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from alerts.models import AlertRule
from logs import query
from logs.query import And, Field, Level, Node, Operator, Or
from logs.records import LogRecord
from logs.store import log_stores

LINES_MAX: Final = 2_000  # of one look; of more the newest
RULES_MAX: Final = 5  # of one look
BUDGET: Final = 0.05  # seconds of one look, after the reading
ABSENT: Final = "log_absence"  # lines are no news to it
FADES: Final = 0.9  # from look to look, how often lines matched lately

log = logging.getLogger(__name__)

Lines = Mapping[tuple[str, int], Sequence[LogRecord]]  # by service, casefolded, and level


class _Seen(msgspec.Struct):
    commit: int = -1  # the newest that this process has read
    busy: dict[int, float] = {}  # by rule: how often lines matched lately, 0 to 10
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
    lines = _by_label(record for _, record in store.committed_after(before, limit=LINES_MAX).records)
    until = time.monotonic() + BUDGET
    matched = set()
    # Who is rarely matched is asked first: if the time is over, the others lose less.
    for pk, text in sorted(wanted, key=lambda each: _seen.busy.get(each[0], 0.0)):
        if time.monotonic() > until:
            break
        if _matches(text, lines):
            matched.add(pk)
    chosen = sorted(matched, key=lambda pk: (int(_seen.busy.get(pk, 0.0)), _seen.turns.get(pk, 0.0)))[:RULES_MAX]
    _seen.busy = {pk: FADES * _seen.busy.get(pk, 0.0) + (pk in matched) for pk, _ in wanted}
    _seen.turns = {pk: at for pk, at in _seen.turns.items() if pk in _seen.busy} | dict.fromkeys(chosen, until)
    return set(chosen)


def _waiting() -> Iterator[tuple[int, str]]:
    """Rules that one line may fire at once, with their queries."""
    found = AlertRule.objects.filter(enabled=True, pending_for=0, kind__startswith="log_").exclude(kind=ABSENT)
    for pk, config in found.values_list("pk", "config"):
        yield pk, str(config.get("query", ""))


def _by_label(records: Iterator[LogRecord]) -> Lines:
    found: dict[tuple[str, int], list[LogRecord]] = defaultdict(list)
    for record in records:
        found[record.service.casefold(), record.level].append(record)
    return found


def _matches(text: str, lines: Lines) -> bool:
    node = _node(text)
    if node is None:
        return False
    levels, services = _labels(node)
    for (service, level), records in lines.items():
        if levels >> level & 1 and (services is None or service in services) and any(map(node.matches, records)):
            return True
    return False


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
