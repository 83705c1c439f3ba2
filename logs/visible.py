"""Lines that a viewer may see: the condition as a query, and the store as it is for somebody who doesn't see all.

`logs.store.log_stores` gives that store to whom `accounts.visibility` limits, so no reader has to think of it. It can
be asked and not be changed.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import lru_cache

import msgspec

from accounts import visibility
from accounts.names import Names
from accounts.visibility import Visible
from logs import query
from logs.query import Node
from logs.records import LogRecord
from logs.store.base import (
    Backlog,
    BaseLogStore,
    Counted,
    Counts,
    Direction,
    Histogram,
    Page,
    Position,
    Usage,
    Values,
)


def node() -> Node:
    """What the lines that the current viewer may see have in common."""
    visible = visibility.current()
    return _node(visible) if visible.limited else query.Everything()


@lru_cache(maxsize=256)
def _node(visible: Visible) -> Node:
    open_to_him = query.any_of(query.negate(_named(visible.closed)), _named(visible.opened))
    return query.all_of(open_to_him, query.Everything() if visible.only is None else _named(visible.only))


def _named(names: Names) -> Node:
    exact = [query.Field("service", query.Operator.EQUALS, name) for name in sorted(names.exact)]
    begun = [_begun(beginning) for beginning in names.beginnings]
    return query.any_of(*exact, *begun)


def _begun(beginning: str) -> Node:
    return query.Field("service", query.Operator.PREFIX, beginning) if beginning else query.Everything()


class VisibleStore:
    """The half of `BaseLogStore` that asks."""

    def __init__(self, store: BaseLogStore, visible: Visible) -> None:
        self._store, self._visible, self._node = store, visible, _node(visible)

    def _of(self, wanted: Node) -> Node:
        return query.all_of(wanted, self._node)

    def search(
        self,
        node: Node,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 100,
        after: Position | None = None,
        direction: Direction = "older",
        deadline: float | None = None,
    ) -> Page:
        return self._store.search(
            self._of(node), start=start, end=end, limit=limit, after=after, direction=direction, deadline=deadline
        )

    def histogram(self, node: Node, *, start: int, end: int, step: int, deadline: float | None = None) -> Histogram:
        return self._store.histogram(self._of(node), start=start, end=end, step=step, deadline=deadline)

    def values(
        self,
        node: Node,
        field: str,
        *,
        start: int | None = None,
        end: int | None = None,
        prefix: str = "",
        limit: int = 50,
        deadline: float | None = None,
    ) -> Values:
        return self._store.values(
            self._of(node), field, start=start, end=end, prefix=prefix, limit=limit, deadline=deadline
        )

    def counts(
        self,
        node: Node,
        fields: Sequence[str] = (),
        *,
        start: int,
        end: int,
        step: int,
        deadline: float | None = None,
        most: int | None = None,
        known: MutableMapping[int, Sequence[Counted]] | None = None,
    ) -> Counts:
        return self._store.counts(
            self._of(node), fields, start=start, end=end, step=step, deadline=deadline, most=most, known=known
        )

    def get(self, position: Position) -> LogRecord | None:
        found = self._store.get(position)
        return found if found is not None and self._visible.shows(found.service) else None

    def context(self, position: Position, *, node: Node, before: int = 50, after: int = 50) -> list[LogRecord]:
        return self._store.context(position, node=self._of(node), before=before, after=after)

    def last_commit(self) -> int:
        return self._store.last_commit()

    def committed_after(self, number: int, *, limit: int) -> Backlog:
        found = self._store.committed_after(number, limit=limit)
        shown = [each for each in found.records if self._visible.shows(each[1].service)]
        return msgspec.structs.replace(found, records=shown)

    def usage(self) -> list[Usage]:
        return [each for each in self._store.usage() if self._visible.shows(each.service)]

    def stats(self) -> dict[str, int]:
        """Lines and bytes are those of the services that he sees."""
        usage = self.usage()
        own = {"lines": sum(each.lines for each in usage), "bytes": sum(each.bytes for each in usage)}
        return self._store.stats() | own

    def at_once(self) -> VisibleStore:
        return VisibleStore(self._store.at_once(), self._visible)
