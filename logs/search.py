"""The parameters of a search, as the page's address, the API, the WebSocket and the SSE stream share them.

`q`, `level` and `service` (repeated or with commas), `from` and `to`: ISO 8601, an epoch number, or relative to now
("-15m", "-1h", "-7d"). An empty `to` means now, and then new lines belong to the search.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from django.http import QueryDict

from core import clock
from core.parameters import ParameterError, is_relative, relative
from logs import query, visible
from logs.query import Node
from logs.records import LEVELS, RecordError, parse_level, parse_timestamp

PERIOD: Final = "-15m"
SERVICES_MAX: Final = 100


class SearchError(ParameterError):
    """A search that can't be made: which parameter, why, and for a query where."""


class Search(msgspec.Struct, frozen=True):
    """What is looked for. Times are µs; `end` None means up to now, and on."""

    text: str
    levels: tuple[str, ...]
    services: tuple[str, ...]
    start: int | None
    end: int | None
    period: str  # "-15m" when the start is relative to now, else ""
    node: Node

    @property
    def live(self) -> bool:
        return self.end is None

    def holds(self, timestamp: int) -> bool:
        return (self.start or 0) <= timestamp and (self.end is None or timestamp < self.end)


def parse_search(params: QueryDict, *, now: int, period: str = PERIOD) -> Search:
    """Raises SearchError. `period` is the start when there is no `from`; "" means everything."""
    text = params.get("q", "").strip()
    levels, services = _levels(params), _names(params, "service", "source")
    since = params.get("from", "").strip() or period
    start = _time(params, "from", since, now)
    end = _time(params, "to", params.get("to", "").strip(), now)
    if start is not None and end is not None and start >= end:
        raise SearchError("from", f"must be before to, but {clock.iso(start)} is not before {clock.iso(end)}")
    return Search(
        text=text,
        levels=levels,
        services=services,
        start=start,
        end=end,
        period=since if is_relative(since) else "",
        node=_node(text, levels, services),
    )


def _node(text: str, levels: tuple[str, ...], services: tuple[str, ...]) -> Node:
    try:
        node = query.parse(text)
    except query.QueryError as error:
        raise SearchError("q", error.message, error.position) from None
    wanted = [level for level in map(parse_level, levels) if level is not None]
    chosen = query.Level(frozenset(wanted)) if wanted else query.Everything()
    fields = tuple(query.Field("service", query.Operator.EQUALS, service.casefold()) for service in services)
    named = query.any_of(*fields) if fields else query.Everything()
    # Also here, for what outlives a request or is no question to the store: exports, live views.
    return query.all_of(node, chosen, named, visible.node())


def _names(params: QueryDict, *keys: str) -> tuple[str, ...]:
    values = [value for key in keys for value in params.getlist(key)]
    names = dict.fromkeys(name for value in values for part in value.split(",") if (name := part.strip()))
    if len(names) > SERVICES_MAX:
        raise SearchError(keys[0], f"at most {SERVICES_MAX} names, but there are {len(names)}")
    return tuple(names)


def _levels(params: QueryDict) -> tuple[str, ...]:
    found = []
    for name in _names(params, "level"):
        level = parse_level(name)
        if level is None:
            raise SearchError("level", f"expected one of {', '.join(LEVELS)}, got {name[:40]!r}")
        found.append(level.label)
    return tuple(dict.fromkeys(found))


def _time(params: QueryDict, field: str, value: str, now: int) -> int | None:
    if value in ("", "now"):
        return None if value == "" or field == "to" else now
    if (found := relative(value, now)) is not None:
        return found
    try:
        return parse_timestamp(value.replace(" ", "+") if value.count(" ") == 1 and "T" in value else value)
    except (RecordError, OverflowError):
        raise SearchError(
            field, f"expected ISO 8601, an epoch number or a time like -15m, got {value[:60]!r}"
        ) from None


def parse_position(field: str, value: str) -> tuple[int, int]:
    """A record's id or a cursor, `timestamp-sequence`, as the store's position. Raises SearchError."""
    if match := re.fullmatch(r"(\d{1,18})-(\d{1,19})", value):
        position = int(match[1]), int(match[2])
        if position[1] < 1 << 63:
            return position
    raise SearchError(field, f"expected an id like 1790000000000000-123, got {value[:60]!r}")
