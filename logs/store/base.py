"""The contract of a log store. tests/logs/store_contract.py runs against every backend.

Positions are `(timestamp, sequence)` pairs; times are microseconds since the epoch; a range holds its start and not
its end. Listings are ordered by position, newest first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterator, MutableMapping, Sequence
from typing import Literal

import msgspec

from logs.lines import Lines
from logs.query import Node
from logs.records import LEVELS, Level, LogRecord
from logs.sequence import parse_entry_id
from logs.store.codec import Block

Position = tuple[int, int]
EntryKey = tuple[int, int]  # an entry's id as numbers
Span = tuple[int, int]  # µs: start and end
Direction = Literal["older", "newer"]


class Incoming(msgspec.Struct, frozen=True):
    """One entry of a log stream on its way into the store: a block that is ready, or single records."""

    stream: str
    entry_id: str  # "1700000000000-0": what makes a second delivery known
    content: Block | Sequence[LogRecord]  # a block's base and the records' sequences are set

    @property
    def lines(self) -> int:
        return self.content.header.lines if isinstance(self.content, Block) else len(self.content)

    @property
    def keys(self) -> list[EntryKey]:
        return [parse_entry_id(self.entry_id)]


class Singles(msgspec.Struct, frozen=True):
    """Many entries of one stream that are one line each, read together."""

    stream: str
    keys: list[EntryKey]
    content: Lines  # one for each key

    @property
    def lines(self) -> int:
        return len(self.content)

    def without(self, keys: Container[EntryKey]) -> Singles:
        places = [place for place, key in enumerate(self.keys) if key not in keys]
        return Singles(self.stream, [self.keys[place] for place in places], self.content.picked(places))


class Commit(msgspec.Struct, frozen=True):
    """What one append did. Numbers rise in the order in which commits become visible."""

    number: int  # 0: there was nothing new
    lines: int
    duplicates: int  # entries that had been stored before


class Page(msgspec.Struct, frozen=True):
    records: list[LogRecord]
    next: Position | None  # pass as `after` to go on; None: there is nothing more
    complete: bool  # False: the deadline passed before the page was full
    searched_to: int  # everything on this side of it was looked at


class Histogram(msgspec.Struct, frozen=True):
    step: int
    buckets: dict[int, list[int]]  # start of the bucket → lines by level, trace … fatal
    complete: bool

    @property
    def totals(self) -> list[int]:
        return [sum(counts) for counts in zip(*self.buckets.values(), strict=True)] or [0] * len(LEVELS)


class Values(msgspec.Struct, frozen=True):
    """The most frequent values of a field, with their numbers of lines."""

    counts: list[tuple[str, int]]
    complete: bool  # False: the deadline passed first, or there are too many different values to know them all


Key = tuple[str, ...]  # values of some fields
Counted = tuple[int, Key, int]  # start of a bucket, values, lines


class Counts(msgspec.Struct, frozen=True):
    """Lines by time and by the values of some fields."""

    step: int
    lines: list[Counted]  # in no order; the same bucket and values may come several times
    complete: bool

    def between(self, start: int, end: int) -> Counter[Key]:
        """Lines by values, in the buckets that begin from `start` on and before `end`."""
        found: Counter[Key] = Counter()
        for bucket, key, lines in self.lines:
            if start <= bucket < end:
                found[key] += lines
        return found


class Backlog(msgspec.Struct, frozen=True):
    newest: int  # pass as `number` to go on
    records: list[tuple[int, LogRecord]]  # (commit, record), by commit and position
    skipped: int  # lines that were left out at the old end


class Usage(msgspec.Struct, frozen=True):
    """What one service took on one day."""

    day: int  # midnight UTC, µs
    service: str
    lines: int
    bytes: int  # the service's share, by lines, of the blocks that it is in


class Dropped(msgspec.Struct, frozen=True):
    lines: int
    bytes: int
    newest: int  # timestamp of the newest line that went, µs; 0 if none did


class BaseLogStore(ABC):
    """A backend writes the abstract methods; the rest comes from them."""

    @abstractmethod
    def append(self, batch: Sequence[Incoming | Singles]) -> Commit:
        """Stores a batch durably and in one step, each entry once however often it comes."""

    @abstractmethod
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
        """The `limit` records next to `after` that match, or the newest ("newer": the oldest) ones.

        Records come newest first in both directions. `deadline` is in seconds from now.
        """

    @abstractmethod
    def histogram(self, node: Node, *, start: int, end: int, step: int, deadline: float | None = None) -> Histogram:
        """Lines per `step` microseconds and level. Buckets begin at multiples of `step`; empty ones are there, too."""

    @abstractmethod
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
        """The most frequent values of `field`: service, logger, level, title, an id, or a key of the metadata.

        Raises QueryError for a field that has no values to count. Of a list in the metadata, each item counts.
        """

    @abstractmethod
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
        """Lines per `step` microseconds and values of `fields`, in all buckets that touch the range.

        Fields are those of `values`, and PATTERN of `logs.patterns`; lines without one of them don't count. Who asks
        the same again and again, for a range that moves on, gives a map that is his own as `known`: then each block is
        counted once. What was found before a deadline is kept there, too. It also ends, and is not complete, when there
        are more than about `most` different buckets and values.
        """

    @abstractmethod
    def get(self, position: Position) -> LogRecord | None: ...

    @abstractmethod
    def last_commit(self) -> int:
        """The number of the newest commit; 0 for an empty store."""

    @abstractmethod
    def committed_after(self, number: int, *, limit: int) -> Backlog:
        """What was committed after `number`, for viewers who have seen everything up to it.

        Whole commits; the oldest are left out when there are more than about `limit` lines.
        """

    @abstractmethod
    def delete_before(
        self,
        time: int,
        *,
        levels: frozenset[Level] | None = None,
        services: frozenset[str] | None = None,
        except_services: frozenset[str] = frozenset(),
        budget: float | None = None,
        keep: Sequence[Span] = (),
    ) -> int:
        """Deletes older lines (of these levels and services; None means all) and says how many; none of `keep`.

        A store may keep them up to an hour longer. After `budget` seconds it stops where it is.
        """

    @abstractmethod
    def drop_oldest(self, size: int, keep: Sequence[Span] = ()) -> Dropped:
        """Deletes the oldest lines, but none of `keep`, until about `size` bytes are freed."""

    # What an archive needs (`logs.archive`). Lines that came back from it are "restored": they belong to no commit, no
    # live viewer is shown them, and they are not archived again.

    @abstractmethod
    def days(self, before: int) -> Iterator[int]:
        """The days (midnight UTC) with lines older than `before` that are not restored ones, the oldest first."""

    @abstractmethod
    def late_days(self, before: int, after: int) -> set[int]:
        """The days with lines older than `before` that came with a commit after number `after`."""

    @abstractmethod
    def count_blocks(self, span: Span, *, after: int = 0) -> int:
        """About how many blocks `export_blocks` gives."""

    @abstractmethod
    def export_blocks(self, span: Span, *, after: int, upto: int) -> Iterator[Block]:
        """The lines of blocks that begin in a span and came with the commits after < number ≤ upto, by time.

        Raises Moved (`logs.store.shelf`) when upkeep changed these blocks meanwhile: start again.
        """

    @abstractmethod
    def import_blocks(self, blocks: Sequence[Block]) -> int:
        """Stores, in one step, those lines that are not there, as restored ones; says how many."""

    @abstractmethod
    def delete_restored(self, span: Span) -> int:
        """Deletes the restored lines of a span, and says how many."""

    @abstractmethod
    def usage(self) -> list[Usage]:
        """What the stored lines take, by day and service."""

    @abstractmethod
    def maintain(self, budget: float) -> int:
        """Upkeep (merging) for about `budget` seconds; says how many blocks it wrote. Safe beside anything else.

        One process at a time does it: 0 at once while another is at it.
        """

    @abstractmethod
    def stats(self) -> dict[str, int]:
        """lines, blocks, bytes, oldest and newest timestamp (0 if empty); restored_lines and restored_bytes of them."""

    def at_once(self) -> BaseLogStore:
        """This store, for many questions that one thread asks right after each other: what one of them has opened need
        not be opened again for the next. Not to be kept: lines that come later may be missing."""
        return self

    def context(self, position: Position, *, node: Node, before: int = 50, after: int = 50) -> list[LogRecord]:
        """The lines around one, and that line: newest first."""
        timestamp, sequence = position
        newer = self.search(node, limit=after, after=position, direction="newer", deadline=2.0).records
        older = self.search(node, limit=before + 1, after=(timestamp, sequence + 1), deadline=2.0).records
        return newer + older
