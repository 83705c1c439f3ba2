"""How blocks are searched and counted. Readers take no lock.

They list blocks in one statement and open them as they come to them; a block that has gone since (merged, deleted)
sends the reader back to a new list, from the last place that is certain.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from itertools import chain, product
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

from core import clock
from logs import patterns
from logs.query import Everything, Field, Metadata, Node, Operator, all_of, field_exists
from logs.records import LEVELS, LogRecord
from logs.store import codec, scan
from logs.store.base import Counted, Counts, Direction, Histogram, Key, Page, Position
from logs.store.codec import Columns
from logs.store.grams import Column
from logs.store.shelf import ALL_COLUMNS, Known, Listed, Moved, Shelf, Stored
from logs.store.tallies import Tally

LISTED: Final = 64  # blocks that a search lists at first
LISTED_MAX: Final = 4_096
SWEEPS: Final = 5  # attempts at counting while blocks are merged
VALUES_MAX: Final = 10_000  # different values of one field; those that come up first are counted

T = TypeVar("T")


class Stop:
    """A deadline in seconds from now; None never passes."""

    def __init__(self, seconds: float | None) -> None:
        self.at = None if seconds is None else time.monotonic() + seconds
        self.late = False

    def now(self) -> bool:
        self.late = self.late or (self.at is not None and time.monotonic() > self.at)
        return self.late

    def when_late(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if self.now():
                return
            yield item


# --- Searching -----------------------------------------------------------------------------------------------------


class Hit(NamedTuple):
    key: Position  # the position, negated when the search goes towards newer lines
    line: int
    record: LogRecord | None  # None while the block is open that it comes from


_BY_KEY: Final = attrgetter("key")


class Search:
    """One search. It works on keys: a line's position, negated towards newer lines, so that it always descends.

    `frontier` is the key down to which everything was looked at; hits above it are certain.
    """

    def __init__(
        self, shelf: Shelf, node: Node, direction: Direction, limit: int, after: Position | None, stop: Stop
    ) -> None:
        self.shelf, self.node, self.direction, self.limit, self.stop = shelf, node, direction, limit, stop
        self.wanted = limit + 1  # one more tells whether there is a next page
        self.sign = 1 if direction == "older" else -1
        self.bound = None if after is None else (self.sign * after[0], self.sign * after[1])
        self.hits: list[Hit] = []
        # A block that is opened for its labels alone has lines that match, and they are shown.
        self.names = ALL_COLUMNS if scan.reads_labels_only(node) else frozenset({"times"})

    def run(self, oldest: int, newest: int) -> Page:
        top, bottom = (newest, oldest) if self.sign > 0 else (-oldest, -newest)
        if self.bound is not None:
            top = min(top, self.bound[0])
        count = LISTED
        while top >= bottom:
            frontier, finished = self._step(top, bottom, count)
            if finished:
                return self._page(frontier)
            # Blocks that all reach beyond `top` leave no way on but to list more of them.
            count = min(count * 8, LISTED_MAX) if frontier < top + 1 else count * 8
            self.hits = [hit for hit in self.hits if hit.key[0] >= frontier]
            top = frontier - 1
        return self._page(bottom)

    def _step(self, top: int, bottom: int, count: int) -> tuple[int, bool]:
        """Works through one list of blocks. Returns the frontier reached, and whether the search is over."""
        oldest, newest = (bottom, top) if self.sign > 0 else (-top, -bottom)
        listed = self.shelf.listed(oldest, newest, self.direction, count)
        frontier = top + 1
        try:
            for block, columns in self.shelf.opened(listed, self.node, self.names):
                # Lines at this block's edge may be in it as well as in the blocks before.
                frontier = min(self._edge(block), top) + 1
                if self._full(frontier) or self.stop.now():
                    return frontier, True
                if columns is not None:
                    self.shelf.undamaged(block.pk, self._collect, columns, top, bottom)
                    # Who has enough need not open the next block to know how far it reaches.
                    if len(self.hits) >= self.wanted and (rest := listed[listed.index(block) + 1 :]):
                        frontier = min(self._edge(rest[0]), top) + 1
                        if self._full(frontier):
                            return frontier, True
        except Moved:
            return frontier, False
        if len(listed) < count:
            return bottom, True
        return min(self._edge(listed[-1]), top) + 1, False

    def _edge(self, block: Listed) -> int:
        return block.last if self.sign > 0 else -block.first

    def _full(self, frontier: int) -> bool:
        return len(self.hits) >= self.wanted and self.hits[self.wanted - 1].key[0] >= frontier

    def _collect(self, columns: Columns, top: int, bottom: int) -> None:
        selection = scan.select(self.node, columns)
        if not selection:
            return
        found = []
        for line in scan.lines_of(selection, columns.lines, descending=self.sign > 0):
            when = self.sign * columns.times[line]
            if when < bottom:
                break
            key = (when, self.sign * columns.sequence(line))
            if when <= top and (self.bound is None or key < self.bound):
                found.append(Hit(key, line, None))
                if len(found) == self.wanted:
                    break
        # Two lists that are in order each: sorting them goes through both once.
        best = sorted([*self.hits, *found], key=_BY_KEY, reverse=True)[: self.wanted]
        # Records are made at once, and only of the best: a hit must not keep its opened block in memory.
        records = iter(columns.records([hit.line for hit in best if hit.record is None]))
        self.hits = [hit if hit.record else hit._replace(record=next(records)) for hit in best]

    def _page(self, frontier: int) -> Page:
        hits = [hit for hit in self.hits if hit.key[0] >= frontier]
        records = [hit.record for hit in hits[: self.limit] if hit.record]
        following: Position | None = None
        searched_to = self.sign * frontier
        if len(hits) > self.limit:
            following = records[-1].position
            searched_to = records[-1].timestamp
        elif self.stop.late:
            following = (frontier, 0) if self.sign > 0 else (1 - frontier, -1)
        newest_first = records if self.sign > 0 else records[::-1]
        return Page(
            newest_first, following, complete=not self.stop.late or len(hits) > self.limit, searched_to=searched_to
        )


# --- Counting ------------------------------------------------------------------------------------------------------


def histogram(shelf: Shelf, node: Node, start: int, end: int, step: int, stop: Stop) -> Histogram:
    begin = start - start % step
    labels_only = scan.reads_labels_only(node)
    wanted = scan.Pairs(node)

    def count(blocks: Sequence[Listed]) -> Histogram:
        buckets = {bucket: [0] * len(LEVELS) for bucket in range(begin, max(end, begin + 1), step)}
        rest: Iterable[Listed] = blocks
        if labels_only:
            every = chain.from_iterable(shelf.known(stop.when_late(blocks), grams=False))
            rest = [known.block for known in every if not _count_header(known, wanted, start, end, step, buckets)]
        known_of = shelf.tallies.of(node)
        unknown = [block for block in rest if not _add(known_of.get(block.pk), block, start, end, step, buckets)]
        for block, columns in _opened(shelf, unknown, node, stop):
            whole = _in_one_bucket(block, start, end, step)
            if whole or _by_minutes(block, start, end, step):
                tally = shelf.undamaged(block.pk, _tally, node, columns, block, not whole)
                if tally and _add(tally, block, start, end, step, buckets) and columns.lines >= codec.SMALL:
                    shelf.tallies.keep(node, block.pk, tally)  # smaller ones will be merged soon
                continue
            for line in shelf.undamaged(block.pk, _lines_between, node, columns, start, end) or ():
                when = columns.times[line]
                buckets[when - when % step][columns.levels[line]] += 1
        return Histogram(step, buckets, complete=not stop.late)

    return _sweep(shelf, stop, count, start, end)


def _count_header(
    known: Known, wanted: scan.Pairs, start: int, end: int, step: int, buckets: dict[int, list[int]]
) -> bool:
    """Counts a block by its header, if that tells exactly which of its lines are in which bucket."""
    block = known.block
    if _in_one_bucket(block, start, end, step):
        counts = buckets[block.first - block.first % step]
        if wanted.all:
            for level, lines in known.by_level:
                counts[level] += lines
        else:
            for service, level, lines in known.by_pair:
                if wanted.matches(service, level):
                    counts[level] += lines
        return True
    if not _by_minutes(block, start, end, step):
        return False
    services = known.header.services
    for minute, pair, lines in known.header.by_minute:
        when = minute * clock.MINUTE
        if start - start % clock.MINUTE <= when < end and wanted.matches(services[pair >> 3], pair & 7):
            buckets[when - when % step][pair & 7] += lines
    return True


def _in_one_bucket(block: Listed, start: int, end: int, step: int) -> bool:
    bucket = block.first - block.first % step
    return start <= block.first and block.last < min(end, bucket + step)


def _by_minutes(block: Listed, start: int, end: int, step: int) -> bool:
    """Whether the minute of a line tells if it is in the range, and in which bucket."""
    starts = start % clock.MINUTE == 0 or start <= block.first
    ends = end % clock.MINUTE == 0 or block.last < end
    return step % clock.MINUTE == 0 and starts and ends


def _tally(node: Node, columns: Columns, block: Listed, by_minute: bool) -> Tally:
    selection = scan.select(node, columns)
    if not by_minute:
        levels = enumerate(scan.levels_of(selection, columns))
        return Tally(False, tuple((block.first, level, lines) for level, lines in levels if lines))
    times, levels_at = columns.times, columns.levels
    found = scan.lines_of(selection, columns.lines)
    counted = Counter((times[line] - times[line] % clock.MINUTE, levels_at[line]) for line in found)
    return Tally(True, tuple((when, level, lines) for (when, level), lines in counted.items()))


def _add(tally: Tally | None, block: Listed, start: int, end: int, step: int, buckets: dict[int, list[int]]) -> bool:
    """Counts a block by what is known of it, if that is enough."""
    if tally is None:
        return False
    if _in_one_bucket(block, start, end, step):
        counts = buckets[block.first - block.first % step]
        for _when, level, lines in tally.lines:
            counts[level] += lines
        return True
    if not (tally.by_minute and _by_minutes(block, start, end, step)):
        return False
    for when, level, lines in tally.lines:
        if start - start % clock.MINUTE <= when < end:
            buckets[when - when % step][level] += lines
    return True


def values(shelf: Shelf, node: Node, field: str, start: int, end: int, stop: Stop) -> Counter[str]:
    wanted, of_line = _field(field)
    having = all_of(node, wanted)
    by_header = field == "service" and scan.reads_labels_only(node)
    pairs = scan.Pairs(node)

    def count(blocks: Sequence[Listed]) -> Counter[str]:
        counted: Counter[str] = Counter()
        whole = {block.pk for block in blocks if by_header and start <= block.first and block.last < end}
        counting = stop.when_late(block for block in blocks if block.pk in whole)
        for known in chain.from_iterable(shelf.known(counting, grams=False)):
            for service, level, lines in known.by_pair:
                if pairs.matches(service, level):
                    counted[service] += lines
        for block, columns in _opened(shelf, (block for block in blocks if block.pk not in whole), having, stop):
            for line in shelf.undamaged(block.pk, _lines_between, having, columns, start, end) or ():
                if len(counted) < VALUES_MAX:
                    counted.update(of_line(columns, line))
                else:
                    counted.update(value for value in of_line(columns, line) if value in counted)
        return counted

    return _sweep(shelf, stop, count, start, end)


def counts(
    shelf: Shelf,
    node: Node,
    fields: Sequence[str],
    start: int,
    end: int,
    step: int,
    stop: Stop,
    most: int | None,
    known: MutableMapping[int, Sequence[Counted]],
) -> Counts:
    """`known` has what was counted of whole blocks, by the block: they never change."""
    start, end = start - start % step, end + -end % step
    read = [_field(name) for name in fields]
    having = all_of(node, *(wanted for wanted, _ in read))
    readers = [of_line for _, of_line in read]
    names = frozenset({"times", "texts"} if patterns.PATTERN in fields else {"times"})
    by_header = scan.reads_labels_only(node) and all(wanted == _SERVICE for wanted, _ in read)

    def fresh(blocks: Sequence[Listed]) -> Iterator[tuple[int, Sequence[Counted]]]:
        if by_header:
            yield from _by_header(shelf, blocks, scan.Pairs(node), step, len(fields), stop)
        rest = [block for block in blocks if block.pk not in known]
        for block, columns in _opened(shelf, rest, having, stop, names):
            yield block.pk, shelf.undamaged(block.pk, _counted, having, readers, columns, step) or ()
        if not stop.late:
            yield from ((block.pk, ()) for block in rest if block.pk not in known)  # no line of them can match

    def count(blocks: Sequence[Listed]) -> Counts:
        for gone in known.keys() - {block.pk for block in blocks}:
            known.pop(gone, None)
        size = sum(map(len, known.values()))
        for pk, found in fresh([block for block in blocks if block.pk not in known]):
            known[pk] = found
            size += len(found)
            if most is not None and size > most:
                stop.late = True
                break
        every = chain.from_iterable(known.get(block.pk, ()) for block in blocks)
        return Counts(step, [each for each in every if start <= each[0] < end], complete=not stop.late)

    return _sweep(shelf, stop, count, start, end)


def _by_header(
    shelf: Shelf, blocks: Sequence[Listed], wanted: scan.Pairs, step: int, times: int, stop: Stop
) -> Iterator[tuple[int, Sequence[Counted]]]:
    """Those blocks whose header tells it. `times`: how often the service stands in the key."""
    for known in chain.from_iterable(shelf.known(stop.when_late(blocks), grams=False)):
        block = known.block
        bucket = block.first - block.first % step
        counted: Counter[tuple[int, Key]] = Counter()
        if block.last < bucket + step:
            for service, level, lines in known.by_pair:
                if wanted.matches(service, level):
                    counted[bucket, (service,) * times] += lines
        elif step % clock.MINUTE == 0:
            for minute, pair, lines in known.header.by_minute:
                service, when = known.header.services[pair >> 3], minute * clock.MINUTE
                if wanted.matches(service, pair & 7):
                    counted[when - when % step, (service,) * times] += lines
        else:
            continue
        yield block.pk, _flat(counted)


def _counted(
    node: Node, readers: Sequence[Callable[[Columns, int], Iterable[str]]], columns: Columns, step: int
) -> Sequence[Counted]:
    selection = scan.select(node, columns)
    if not selection:
        return ()
    times = columns.times
    counted: Counter[tuple[int, Key]] = Counter()
    for line in scan.lines_of(selection, columns.lines):
        bucket = times[line] - times[line] % step
        for key in product(*(of_line(columns, line) for of_line in readers)):
            counted[bucket, key] += 1
    return _flat(counted)


def _flat(counted: Counter[tuple[int, Key]]) -> Sequence[Counted]:
    return tuple((bucket, key, lines) for (bucket, key), lines in counted.items())


_SERVICE: Final = Field("service", Operator.EXISTS, "")


def _field(name: str) -> tuple[Node, Callable[[Columns, int], Iterable[str]]]:
    """What a line must match to have the field, and how its values are read. Raises QueryError."""
    if name == patterns.PATTERN:
        return Everything(), lambda columns, line: (patterns.of(columns.field("message", line)),)
    match wanted := field_exists(name):
        case Field(name="service"):
            return wanted, lambda columns, line: (columns.service(line),)
        case Field(name="logger"):
            return wanted, lambda columns, line: (columns.logger(line),)
        case Field(name=known):
            return wanted, lambda columns, line: (columns.field(known, line),)
        case Metadata():
            return wanted, lambda columns, line: wanted.texts_in(columns.line(Column.METADATA, line))
    return wanted, lambda columns, line: (LEVELS[columns.levels[line]],)


def _opened(
    shelf: Shelf, blocks: Iterable[Listed], node: Node, stop: Stop, names: frozenset[str] = frozenset({"labels"})
) -> Iterator[tuple[Listed, Stored]]:
    for block, columns in shelf.opened(stop.when_late(blocks), node, names):
        if columns is not None:
            yield block, columns


def _lines_between(node: Node, columns: Columns, start: int, end: int) -> list[int]:
    """The lines that match in a range. What callers look at next is opened, so that damage shows here."""
    times, _, _ = columns.times, columns.levels, columns.services
    return [line for line in scan.lines_of(scan.select(node, columns), columns.lines) if start <= times[line] < end]


def _sweep(shelf: Shelf, stop: Stop, count: Callable[[Sequence[Listed]], T], start: int, end: int) -> T:
    """What `count` says of one consistent list of blocks, newest first."""
    for _ in range(SWEEPS):
        try:
            return count(shelf.listed(start, end - 1, "older"))
        except Moved:
            shelf.look_again()  # blocks were merged meanwhile: a new list has their lines
    stop.late = True
    return count(())
