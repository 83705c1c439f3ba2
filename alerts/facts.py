"""What conditions ask for, read once for all rules of a tick: so many statements, however many rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from django.db.models import Avg, Q

from alerts import line_counts, own_values
from alerts.conditions.base import ConditionError
from alerts.own_values import Own, OwnError
from core import clock
from logs.query import Node
from logs.store import BaseLogStore, Counts, log_stores
from services.models import Check, CheckResult, Container, ContainerEvent, ContainerSample, Service

EVENTS_MAX = 20_000  # the newest are read


class ServiceFacts(NamedTuple):
    pk: int
    name: str
    category: str
    labels: Mapping[str, str]
    status: str
    status_since: datetime
    reason: str


class CheckFacts(NamedTuple):
    pk: int
    service: int
    name: str
    kind: str
    outcome: int | None
    outcome_since: int | None  # µs
    detail: str
    latency_us: int | None
    last_at: int | None  # µs
    expires_at: datetime | None


class ContainerFacts(NamedTuple):
    pk: int
    name: str
    host: str
    service: int | None
    state: str
    health: str
    state_since: datetime
    exit_code: int | None
    oom_killed: bool
    job: bool
    looping_since: datetime | None
    detail: str
    memory_bytes: int | None
    memory_limit: int | None


class EventFacts(NamedTuple):
    container: int
    at: datetime
    kind: str
    detail: str


class Usage(NamedTuple):
    """Means."""

    cpu_percent: float | None  # of one core
    memory_bytes: float | None


class Facts:
    """As things are at `at`; of a time that is played again also what was there since. Used by one thread, for one
    tick."""

    def __init__(self, at: datetime, since: datetime | None = None) -> None:
        self.at, self.since = at, since
        self._counts: dict[tuple[Node, Sequence[str], int], tuple[int, int, Counts]] = {}
        self._events: tuple[datetime, list[EventFacts]] | None = None
        self._latencies: dict[int, dict[int, list[int]]] = {}
        self._usages: dict[int, dict[int, Usage]] = {}
        self._own: dict[str, list[Own]] = {}

    # --- Log lines -------------------------------------------------------------------------------------------------

    def counts(self, node: Node, fields: Sequence[str], step: int, start: int, end: int) -> Counts:
        """As `BaseLogStore.counts`, of what was counted before. Raises ConditionError."""
        key = node, tuple(fields), step
        if (known := self._counts.get(key)) and known[0] <= start and end <= known[1]:
            return known[2]
        counts = line_counts.counts(self._lines, key, start, end)
        self._counts[key] = start, end, counts
        return counts

    @cached_property
    def _lines(self) -> BaseLogStore:
        return log_stores["default"].at_once()

    # --- Services --------------------------------------------------------------------------------------------------

    @cached_property
    def services(self) -> dict[int, ServiceFacts]:
        """All of them, by their names."""
        rows = Service.objects.order_by("name").values_list(*_names(ServiceFacts))
        return {row[0]: ServiceFacts(*row) for row in rows}

    @cached_property
    def checks(self) -> list[CheckFacts]:
        """Those that are enabled."""
        rows = Check.objects.filter(enabled=True).order_by("service", "pk").values_list(*_names(CheckFacts))
        return [CheckFacts(*row) for row in rows]

    def latencies(self, window: int) -> dict[int, list[int]]:
        """µs, by check, of the answers in the last `window` seconds."""
        if window not in self._latencies:
            found: dict[int, list[int]] = {}
            start = clock.micros(self.at - timedelta(seconds=window))
            rows = CheckResult.objects.filter(
                service_check__in=[check.pk for check in self.checks], at__gt=start, at__lte=clock.micros(self.at)
            )
            for check, latency in rows.values_list("service_check", "latency_us"):
                if latency is not None:
                    found.setdefault(check, []).append(latency)
            self._latencies[window] = found
        return self._latencies[window]

    # --- Containers ------------------------------------------------------------------------------------------------

    @cached_property
    def containers(self) -> dict[int, ContainerFacts]:
        """Those that are there, or were and are missed. Of a host that is away, as they were seen last."""
        there = Q(removed_at=None) | Q(removed_at__gt=self.since) if self.since else Q(removed_at=None)
        rows = Container.objects.filter(there, host__enabled=True)
        names = ["host__name" if name == "host" else name for name in _names(ContainerFacts)]
        return {row[0]: ContainerFacts(*row) for row in rows.order_by("name", "pk").values_list(*names)}

    def events(self, window: int) -> list[EventFacts]:
        """What happened to containers in the last `window` seconds, the oldest first."""
        start = self.at - timedelta(seconds=window)
        if self._events is None or start < self._events[0]:
            rows = ContainerEvent.objects.filter(at__gt=start, at__lte=self.at).order_by("-at", "-pk")
            found = [EventFacts(*row) for row in rows.values_list(*EventFacts._fields)[:EVENTS_MAX]]
            self._events = start, found[::-1]
        known = self._events[1]
        return [event for event in known if event.at > start]

    def usages(self, window: int) -> dict[int, Usage]:
        """By container, over the last `window` seconds."""
        if window not in self._usages:
            start = clock.micros(self.at - timedelta(seconds=window))
            rows = (
                ContainerSample.objects.filter(container__in=list(self.containers), at__gt=start)
                .order_by()
                .values_list("container")
                .annotate(Avg("cpu_percent"), Avg("memory_bytes"))
            )
            self._usages[window] = {row[0]: Usage(*row[1:]) for row in rows}
        return self._usages[window]

    # --- Pharos itself ---------------------------------------------------------------------------------------------

    def own(self, name: str) -> Sequence[Own]:
        """One of `alerts.own_values.VALUES`. Raises ConditionError."""
        if name not in self._own:
            try:
                self._own[name] = own_values.read(name)
            except OwnError as error:
                raise ConditionError(str(error)) from None
        return self._own[name]


def _names(facts: type[NamedTuple]) -> list[str]:
    return ["service_id" if name == "service" else name for name in facts._fields]
