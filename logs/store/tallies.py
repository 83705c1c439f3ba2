"""What was counted of blocks, by the query: blocks never change, and the same is asked again with every look at a page.

The queries that were asked last stay, up to QUERIES_MAX and TALLIES_MAX.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from logs.query import Node

QUERIES_MAX: Final = 500  # also those of which nothing was kept
TALLIES_MAX: Final = 100_000  # numbers and blocks, of all queries together: some 15 MB
_EACH: Final = 2  # what a block takes beside its numbers


class Tally(NamedTuple):
    """The lines of one block that match a query."""

    by_minute: bool  # otherwise they all count for the time of the oldest line
    lines: tuple[tuple[int, int, int], ...]  # (time in µs, level, how many)


class Tallies:
    def __init__(self) -> None:
        self._by_query: OrderedDict[Node, dict[int, Tally]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def of(self, node: Node) -> dict[int, Tally]:
        """By block. To be read only."""
        with self._lock:
            found = self._by_query.setdefault(node, {})
            self._by_query.move_to_end(node)
            while len(self._by_query) > QUERIES_MAX:
                self._forget_oldest()
            return found

    def keep(self, node: Node, pk: int, tally: Tally) -> None:
        with self._lock:
            tallies = self._by_query.get(node)
            if tallies is None:
                return  # others have been asked since
            self._size += _size(tally) - (_size(tallies[pk]) if pk in tallies else 0)
            tallies[pk] = tally
            while self._size > TALLIES_MAX:
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        _node, oldest = self._by_query.popitem(last=False)
        self._size -= sum(map(_size, oldest.values()))


def _size(tally: Tally) -> int:
    return _EACH + len(tally.lines)
