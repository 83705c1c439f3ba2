"""The table of containers: which of them a page shows, in which order, and the words and colours for how they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.safestring import SafeString

from services import container_usage, drawings, visible
from services.models import Container
from services.statuses import describe

ROWS_MAX: Final = 200  # on a page; of more, the first in its order
LOOKED_AT_MAX: Final = 5_000
TEXT_MAX: Final = 200  # characters of a parameter
IDLE: Final = 5.0  # percent of CPU: the line of less is flat, not a mountain range


class State(NamedTuple):
    word: str
    colour: str
    rank: int  # the worst first

    @property
    def running(self) -> bool:
        return self.word in ("running", "unhealthy", "starting", "restart loop", "unknown")


UNKNOWN: Final = State("unknown", "grey", 4)
STATES: Final = {
    "restart loop": State("restart loop", "red", 0),
    "dead": State("dead", "red", 1),
    "exited": State("exited", "red", 1),
    "removed": State("removed", "red", 1),
    "restarting": State("restarting", "red", 2),
    "unhealthy": State("unhealthy", "yellow", 3),
    "unknown": UNKNOWN,
    "paused": State("paused", "grey", 5),
    "starting": State("starting", "grey", 6),
    "created": State("created", "grey", 7),
    "running": State("running", "green", 8),
    "done": State("done", "grey", 9),
}


def state_of(container: Container) -> State:
    """In one word: Docker's, unless its health or the loop it is in says more."""
    if container.host.away or not container.host.enabled:
        return UNKNOWN
    if container.looping_since:
        return STATES["restart loop"]
    if container.state == "exited" and container.exit_code == 0 and container.job:
        return STATES["done"]
    if container.state == "created" and container.exit_code:
        return STATES["exited"]  # it could not be started
    if container.state == "running" and container.health in ("unhealthy", "starting"):
        return STATES[container.health]
    return STATES.get(container.state, UNKNOWN)


def sentence(container: Container) -> str:
    """Why it is as it is, as the end of a sentence; "" if its word says all."""
    if container.host.away:
        return f"its host {container.host.name} is away" + (
            f": {container.host.detail}" if container.host.detail else ""
        )
    return describe(container)


def present() -> QuerySet[Container]:
    """Those that are there, with what a row needs."""
    found = visible.containers(Container.objects.filter(removed_at=None)).select_related("host", "service")
    return found.defer("labels", "counters", "found", "host__tls", "service__from_labels")


# --- Which of them --------------------------------------------------------------------------------------------------


class Wanted(msgspec.Struct, frozen=True):
    """What an address asks for."""

    q: str = ""
    state: str = ""  # a word of STATES
    host: str = ""  # its name
    project: str = ""  # of Compose
    sort: str = ""  # a column; with "-" in front the other way round


class Row(NamedTuple):
    container: Container
    state: State
    why: str
    usage: container_usage.Usage | None

    @property
    def cpu_line(self) -> SafeString:
        return drawings.spark(self.usage.cpu, IDLE) if self.usage else SafeString("")

    @property
    def memory_line(self) -> SafeString:
        return drawings.spark(self.usage.memory) if self.usage else SafeString("")

    @property
    def facts(self) -> Hashable:
        """Another one when the row looks different."""
        each = self.container
        return (
            each.name, each.image, each.host.name, each.service_id, each.service and each.service.name, self.state,
            self.why, each.health, each.cpu_percent, each.memory_bytes, each.memory_limit, each.restart_count,
            each.started_at, self.usage,
        )  # fmt: skip


class Table(NamedTuple):
    rows: Sequence[Row]
    more: int  # that match and are not among the rows
    total: int  # containers that there are
    states: Sequence[tuple[State, int]]  # of all that match the other filters
    hosts: Sequence[str]
    projects: Sequence[str]


def parse(parameters: QueryDict) -> Wanted:
    """Never fails: what is not understood is left out, as in an old link."""
    given = {name: parameters.get(name, "").strip()[:TEXT_MAX] for name in Wanted.__struct_fields__}
    if given["state"] not in STATES:
        given["state"] = ""
    if given["sort"].removeprefix("-") not in COLUMNS:
        given["sort"] = ""
    return Wanted(**given)


def _beginning(container: Container) -> datetime:
    return container.started_at or container.state_since or datetime.min.replace(tzinfo=UTC)


# Column → what it is sorted by. Numbers and problems are wanted from the top down, texts from the beginning.
COLUMNS: Final[dict[str, Callable[[Container], Any]]] = {
    "name": lambda each: each.name.lower(),
    "service": lambda each: (each.service is None, each.service.name.lower() if each.service else ""),
    "host": lambda each: each.host.name.lower(),
    "image": lambda each: each.image.lower(),
    "state": lambda each: state_of(each).rank,
    "cpu": lambda each: -(each.cpu_percent or 0),
    "memory": lambda each: -(each.memory_bytes or 0),
    "restarts": lambda each: -each.restart_count,
    "uptime": lambda each: -_beginning(each).timestamp() if each.state == "running" else float("inf"),
}


def look(wanted: Wanted, now: datetime) -> Table:
    """Two queries, however many containers."""
    everything = list(present()[:LOOKED_AT_MAX])
    matching = [each for each in everything if _matches(each, wanted)]
    counted = Counter(state_of(each) for each in matching)
    shown = [each for each in matching if not wanted.state or state_of(each).word == wanted.state]
    # Sorting is stable: what the column doesn't tell apart stands by state, then by name.
    shown.sort(key=lambda each: (state_of(each).rank, each.name.lower(), each.pk))
    if wanted.sort:
        shown.sort(key=COLUMNS[wanted.sort.removeprefix("-")], reverse=wanted.sort.startswith("-"))
    rows, more = shown[:ROWS_MAX], len(shown) - ROWS_MAX
    usages = container_usage.usages([each.pk for each in rows], now)
    return Table(
        [Row(each, state_of(each), sentence(each), usages.get(each.pk)) for each in rows],
        max(more, 0),
        len(everything),
        sorted(counted.items(), key=lambda pair: pair[0].rank),
        _names(each.host.name for each in everything),
        _names(each.compose_project for each in everything),
    )


def _names(found: Iterable[str]) -> list[str]:
    return sorted({name for name in found if name})


def _matches(container: Container, wanted: Wanted) -> bool:
    if wanted.host and container.host.name != wanted.host:
        return False
    if wanted.project and container.compose_project != wanted.project:
        return False
    if not wanted.q:
        return True
    service = container.service.name if container.service else ""
    said = [container.name, container.image, service, container.compose_service, container.container_id]
    return all(any(word in text.lower() for text in said) for word in wanted.q.lower().split())
