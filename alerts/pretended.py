"""Facts that are made up, so that a condition comes true: what `alerts.drill` tries, one after the other.

Each set of facts has one service with a check and a heartbeat, one container, and log lines; from set to set they are
worse: slower, more, nearer to their end. The names are those that the condition wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Any, Final

import msgspec

from alerts.facts import CheckFacts, ContainerFacts, EventFacts, Facts, ServiceFacts, Usage
from alerts.own_values import Own
from core import clock
from logs import patterns
from logs.query import Node
from logs.store import Counts
from logs.store.base import Counted, Key
from services.models import ContainerEvent
from services.status import Outcome, Status

NAME: Final = "alert-test"
LADDER: Final = (0, 1, 3, 10, 30, 100, 300, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
KEYS_MAX: Final = 1_000  # different values
DAYS: Final = (1_000, 300, 100, 50, 25, 13, 6, 2, 0.9, 0.1, -1, -10)  # that a certificate has left
CODES: Final = (1, 137, 2, 255)
GONE: Final = "it was made up for a test"


class Pretended(Facts):
    def __init__(self, config: msgspec.Struct, at: datetime, level: int, status: Status, lines: Lines) -> None:
        super().__init__(at)
        self._level, self._log_lines = LADDER[level], lines
        service = ServiceFacts(
            1, _named(config, "services"), _first(config, "categories", "other"), getattr(config, "labels", {}), status,
            at - timedelta(minutes=5), GONE,
        )  # fmt: skip
        vars(self).update(
            services={1: service},
            checks=[
                self._check(_named(config, "checks"), "http", DAYS[level]),
                self._check(_named(config, "jobs"), "heartbeat", None),
            ],
            containers={1: self._container(config, healthy=status == Status.DOWN)},
        )

    def _check(self, name: str, kind: str, days: float | None) -> CheckFacts:
        since = clock.micros(self.at - timedelta(minutes=5))
        ends = None if days is None else self.at + timedelta(days=days)
        return CheckFacts(1, 1, name, kind, Outcome.UNREACHABLE, since, GONE, self._level * 1_000, since, ends)

    def _container(self, config: msgspec.Struct, *, healthy: bool) -> ContainerFacts:
        """Either it has ended, or it runs and is unhealthy."""
        code = next(code for code in CODES if code not in getattr(config, "fine", ()))
        return ContainerFacts(
            1, _named(config, "containers"), _named(config, "hosts"), 1, "exited" if healthy else "running",
            "" if healthy else "unhealthy", self.at - timedelta(minutes=5), code if healthy else None, False, False,
            None, GONE, None, 100,
        )  # fmt: skip

    def latencies(self, window: int) -> dict[int, list[int]]:
        return {1: [self._level * 1_000] * 1_000}

    def events(self, window: int) -> list[EventFacts]:
        kinds = (ContainerEvent.Kind.OOM, ContainerEvent.Kind.START)
        return [EventFacts(1, self.at, kind, "") for kind in kinds for _ in range(min(self._level, KEYS_MAX))]

    def usages(self, window: int) -> dict[int, Usage]:
        return {1: Usage(self._level, self._level)}  # of a limit of 100: percent

    def own(self, name: str) -> Sequence[Own]:
        return [Own({}, self._level, GONE)]

    def counts(self, node: Node, fields: Sequence[str], step: int, start: int, end: int) -> Counts:
        return Counts(step, self._log_lines.of(tuple(fields), self._level, start, end), complete=True)


class Lines(msgspec.Struct):
    """Which log lines there are."""

    different: bool  # values of the last field
    before: bool  # also lines before the window, with other values
    rest_only: bool  # none of the first question: of a ratio, the part
    asked: int = 0
    since: int | None = None  # of the longest window, which is asked for first

    def of(self, fields: tuple[str, ...], number: int, start: int, end: int) -> list[Counted]:
        self.asked += 1
        self.since = start if self.since is None else min(self.since, start)
        found: list[Counted] = []
        if self.before:
            found.append((self.since, _key(fields, "before"), 1))
        if number and not (self.rest_only and self.asked == 1):
            last = (f"{NAME} {each}" for each in count())
            values = islice(last, min(number, KEYS_MAX)) if self.different and fields else iter((NAME,))
            keys = [_key(fields, value) for value in values]
            found += [(end - 1, key, max(number // len(keys), 1)) for key in keys]
        return found


def sets(config: msgspec.Struct, at: datetime) -> Iterator[Pretended]:
    for level in range(len(LADDER)):
        for status in (Status.DOWN, Status.DEGRADED):
            for different in (False, True):
                for before in (False, True):
                    for rest_only in (False, True):
                        yield Pretended(config, at, level, status, Lines(different, before, rest_only))


def _key(fields: tuple[str, ...], last: str) -> Key:
    """What tells patterns apart are their words, not numbers."""
    if fields[-1:] == (patterns.PATTERN,):
        last = patterns.of(last)
    return (*(NAME for _ in fields[:-1]), last) if fields else ()


def _named(config: msgspec.Struct, field: str) -> str:
    """A name that is chosen: the first one, with something for each *."""
    return _first(config, field, NAME).replace("*", NAME).replace("?", "x")


def _first(config: msgspec.Struct, field: str, usual: str) -> str:
    given: Sequence[Any] = getattr(config, field, ())
    return str(given[0]) if given else usual
