"""The block store: compressed blocks of lines as rows of any database that Django speaks.

A commit writes its blocks and one `LogCommit` row in one transaction. Commits are strictly one after the other (SQLite
has one writer; on PostgreSQL a lock of the transaction does it), so their numbers rise in the order in which readers
see them: "everything after number n" is exact, whoever wrote it.

Readers take no lock. They list block headers in one statement and open blocks one by one; a block that has gone since
(merged, deleted) sends the reader back to a new list from the last place that is certain.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple, ParamSpec, TypeVar

import msgspec
from django.db import connections, models, transaction
from django.db.models import Max, Min, QuerySet, Sum
from django.utils import timezone

from core import clock
from logs.models import LogBlock, LogCommit
from logs.query import Everything, Node
from logs.records import LEVELS, Level, LogRecord
from logs.sequence import parse_entry_id
from logs.store import codec, scan
from logs.store.base import (
    Backlog,
    BaseLogStore,
    Commit,
    Direction,
    Dropped,
    Histogram,
    Incoming,
    Page,
    Position,
    Usage,
)
from logs.store.codec import Block, Columns, Header

NO_LIMIT: Final = 1 << 62
HEADERS: Final = 256  # read at once
REMEMBERED: Final = timedelta(days=1)  # how long a second delivery of an entry is known
COMMIT_LOCK: Final = 0x70686172  # PostgreSQL's advisory locks are numbers: "phar"
SMALL: Final = codec.BLOCK_LINES // 2  # lines; smaller blocks are merged
MERGE_LIST: Final = 2_000  # blocks looked at in one go
MERGE_MANY: Final = 16
SWEEPS: Final = 5
PAGES_GIVEN_BACK: Final = 1_000  # at each upkeep: 16 MB, some milliseconds

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
EntryKeys = dict[str, set[tuple[int, int]]]

_keys_decoder = msgspec.msgpack.Decoder(dict[str, list[tuple[int, int]]])
COLUMN_NAMES: Final = ("times", "sequences", "labels", "texts", "ids", "metadata")


class Listed(NamedTuple):
    """A block that a search has heard of."""

    pk: int
    first: int
    last: int
    header: Header


class Small(NamedTuple):
    """A block that is worth merging."""

    pk: int
    first: int
    last: int
    lines: int


class Hit(NamedTuple):
    key: Position  # the position, negated when the search goes towards newer lines
    line: int
    record: LogRecord | None  # None while the block is open that it comes from


class BlockStore(BaseLogStore):
    def __init__(self, database: str = "default") -> None:
        self.database = database
        self._damaged: set[int] = set()

    def _undamaged(self, pk: int, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `read` gives; None if the block is damaged, which is said once. A damaged block costs only itself."""
        try:
            return read(*args, **kwargs)
        except codec.DamagedError as error:
            if pk not in self._damaged:
                self._damaged.add(pk)
                log.error("Log block %s is damaged, its lines can't be shown: %s", pk, error, extra={"block": pk})
            return None

    # --- Writing ----------------------------------------------------------------------------------------------------

    def append(self, batch: Sequence[Incoming]) -> Commit:
        keys = _keys(batch)
        known = self._known(keys)
        while True:
            fresh = [entry for entry in batch if not _is_known(entry, known)]
            if not fresh:
                return Commit(0, 0, len(batch))
            blocks = _blocks_of(fresh)  # before the transaction: the write lock is held for the writing only
            with transaction.atomic(self.database):
                self._lock_commits()
                now_known = self._known(keys)
                if now_known == known:
                    return self._write(fresh, blocks, duplicates=len(batch) - len(fresh))
            # Another ingester, to whom these entries were given as well, was faster with some of them.
            known = now_known

    def _write(self, fresh: Sequence[Incoming], blocks: Sequence[Block], duplicates: int) -> Commit:
        keys = _keys(fresh)
        oldest, newest = _span(keys)
        lines = sum(block.header.lines for block in blocks)
        commit = LogCommit.objects.using(self.database).create(
            lines=lines,
            oldest_entry=oldest,
            newest_entry=newest,
            entries=codec.compress(msgspec.msgpack.encode({name: sorted(found) for name, found in keys.items()})),
        )
        LogBlock.objects.using(self.database).bulk_create(_row(block, commit.pk) for block in blocks)
        return Commit(commit.pk, lines, duplicates)

    def _lock_commits(self) -> None:
        connection = connections[self.database]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [COMMIT_LOCK])

    def _known(self, keys: EntryKeys) -> EntryKeys:
        """Those of `keys` that are stored already."""
        if not keys:
            return {}
        oldest, newest = _span(keys)
        commits = LogCommit.objects.using(self.database).filter(oldest_entry__lte=newest, newest_entry__gte=oldest)
        known: EntryKeys = {}
        for packed in commits.values_list("entries", flat=True).iterator(chunk_size=100):
            for stream, stored in _keys_decoder.decode(codec.decompress(bytes(packed))).items():
                if both := keys.get(stream, set()) & set(stored):
                    known.setdefault(stream, set()).update(both)
        return known

    # --- Reading ----------------------------------------------------------------------------------------------------

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
        search = _Search(self, node, direction, limit, after, _Stop(deadline))
        oldest, newest = start or 0, (NO_LIMIT if end is None else end) - 1
        return search.run(oldest, newest)

    def _list(self, oldest: int, newest: int, direction: Direction, count: int | None = None) -> Iterator[Listed]:
        """Headers of blocks that touch the range, in the order in which a search in `direction` meets them."""
        blocks = LogBlock.objects.using(self.database).filter(first__lte=newest, last__gte=oldest)
        blocks = blocks.order_by("-last", "-pk") if direction == "older" else blocks.order_by("first", "pk")
        rows = blocks.values_list("pk", "first", "last", "header")[:count]
        for pk, first, last, header in rows.iterator(chunk_size=HEADERS):
            opened = self._undamaged(pk, codec.load_header, bytes(header))
            if opened is not None:
                yield Listed(pk, first, last, opened)

    def _open(self, listed: Listed) -> Columns | None:
        """The block's columns; None when it has gone since it was listed."""
        row = LogBlock.objects.using(self.database).filter(pk=listed.pk).values_list("base", *COLUMN_NAMES).first()
        if row is None:
            return None
        base, *columns = row
        return _columns(listed.header, columns, base)

    def get(self, position: Position) -> LogRecord | None:
        timestamp, sequence = position
        page = self.search(Everything(), start=timestamp, end=timestamp + 1, after=(timestamp, sequence + 1), limit=1)
        return page.records[0] if page.records and page.records[0].position == position else None

    def histogram(self, node: Node, *, start: int, end: int, step: int, deadline: float | None = None) -> Histogram:
        begin = start - start % step
        labels_only = scan.reads_labels_only(node)

        def count(blocks: Iterator[Listed]) -> Histogram:
            buckets = {bucket: [0] * len(LEVELS) for bucket in range(begin, max(end, begin + 1), step)}
            for listed in blocks:
                if labels_only and step % clock.MINUTE == 0 and _minutes_fit(listed, start, end):
                    for minute, _service, level, lines in scan.counted(node, listed.header):
                        if start - start % clock.MINUTE <= minute < end:
                            buckets[minute - minute % step][level] += lines
                else:
                    for columns, line in self._matching(node, listed, start, end):
                        when = columns.times[line]
                        buckets[when - when % step][columns.levels[line]] += 1
            return Histogram(step, buckets, complete=True)

        found, complete = self._sweep(count, start, end, deadline)
        return msgspec.structs.replace(found, complete=complete)

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
    ) -> list[tuple[str, int]]:
        if field not in ("service", "logger"):
            raise ValueError(f"values() knows the fields service and logger, not {field!r}")
        oldest, newest = start or 0, NO_LIMIT if end is None else end
        labels_only = field == "service" and scan.reads_labels_only(node)

        def count(blocks: Iterator[Listed]) -> Counter[str]:
            counted: Counter[str] = Counter()
            for listed in blocks:
                if labels_only and oldest <= listed.first and listed.last < newest:
                    for _time, service, _level, lines in scan.counted(node, listed.header):
                        counted[service] += lines
                else:
                    for columns, line in self._matching(node, listed, oldest, newest):
                        counted[columns.service(line) if field == "service" else columns.logger(line)] += 1
            return counted

        counted, _complete = self._sweep(count, oldest, newest, deadline)
        folded = prefix.casefold()
        found = [item for item in counted.items() if item[0] and item[0].casefold().startswith(folded)]
        return heapq.nsmallest(limit, found, key=lambda item: (-item[1], item[0]))

    def _matching(self, node: Node, listed: Listed, start: int, end: int) -> Iterator[tuple[Columns, int]]:
        if not scan.may_match(node, listed.header):
            return
        columns = self._open(listed)
        if columns is None:
            raise _Moved
        for line in self._undamaged(listed.pk, _lines_between, node, columns, start, end) or ():
            yield columns, line

    def _sweep(
        self, count: Callable[[Iterator[Listed]], T], start: int, end: int, deadline: float | None
    ) -> tuple[T, bool]:
        """What `count` says of one consistent list of blocks, newest first, and whether the deadline let it finish."""
        stop = _Stop(deadline)
        for _ in range(SWEEPS):
            try:
                return count(stop.when_late(self._list(start, end - 1, "older"))), not stop.late
            except _Moved:
                continue  # blocks were merged meanwhile: a new list has their lines
        return count(iter(())), False

    def last_commit(self) -> int:
        return LogCommit.objects.using(self.database).aggregate(number=Max("pk"))["number"] or 0

    def committed_after(self, number: int, *, limit: int) -> Backlog:
        commits = LogCommit.objects.using(self.database).filter(pk__gt=number).order_by("-pk")
        newest = floor = number
        taken = skipped = 0
        for pk, lines in commits.values_list("pk", "lines").iterator(chunk_size=500):
            newest = max(newest, pk)
            if taken and (taken + lines > limit or skipped):
                skipped += lines
                floor = max(floor, pk)
            else:
                taken += lines
        records = self._records_between(floor, newest) if newest > number else []
        return Backlog(newest, records, skipped)

    def _records_between(self, floor: int, newest: int) -> list[tuple[int, LogRecord]]:
        """(commit, record) of the commits floor < number ≤ newest, by commit and position."""
        blocks = LogBlock.objects.using(self.database).filter(commit__gt=floor)
        found: list[tuple[int, LogRecord]] = []
        for row in blocks.iterator(chunk_size=20):
            found += self._undamaged(row.pk, _committed, row, floor, newest) or ()
        return sorted(found, key=lambda item: (item[0], item[1].position))

    # --- Upkeep -----------------------------------------------------------------------------------------------------

    def delete_before(
        self,
        time: int,
        *,
        levels: frozenset[Level] | None = None,
        services: frozenset[str] | None = None,
        except_services: frozenset[str] = frozenset(),
        budget: float | None = None,
    ) -> int:
        """Whole blocks whose newest line is older; of mixed ones, the lines that stay are written anew."""
        stop = _Stop(budget)
        old = LogBlock.objects.using(self.database).filter(last__lt=time)
        if levels is None and services is None and not except_services:
            return self._delete(old, stop)

        def doomed(service: str, level: int) -> bool:
            wanted = (levels is None or level in levels) and (services is None or service in services)
            return wanted and service not in except_services

        deleted = 0
        for listed in stop.when_late(list(self._list(0, time - 1, "newer"))):
            header = listed.header
            pairs = [pair for pair in header.pairs if doomed(header.services[pair >> 3], pair & 7)]
            if listed.last < time and pairs:
                before = header.lines
                kept = self._rewrite([listed.pk], lambda record: not doomed(record.service, record.level))
                deleted += before - kept if kept is not None else 0
        return deleted

    def drop_oldest(self, size: int) -> Dropped:
        oldest = LogBlock.objects.using(self.database).order_by("last", "pk")
        lines = freed = newest = 0
        while freed < size:
            with transaction.atomic(self.database):
                pks = []
                for pk, last, count, bytes_ in oldest.values_list("pk", "last", "lines", "size")[:HEADERS]:
                    if freed >= size:
                        break
                    pks.append(pk)
                    lines, freed, newest = lines + count, freed + bytes_, max(newest, last)
                oldest.filter(pk__in=pks).order_by().delete()
            if not pks:
                break
        return Dropped(lines, freed, newest)

    def _delete(self, blocks: QuerySet[LogBlock], stop: _Stop) -> int:
        """Deletes blocks in short transactions, so that nobody waits long for the write lock; returns their lines."""
        lines = 0
        while not stop.now():
            with transaction.atomic(self.database):
                some = dict(blocks.values_list("pk", "lines")[:HEADERS])
                blocks.filter(pk__in=some).delete()
            lines += sum(some.values())
            if len(some) < HEADERS:
                break
        return lines

    def maintain(self, budget: float) -> int:
        stop = _Stop(budget)
        forgotten = LogCommit.objects.using(self.database).filter(committed_at__lt=timezone.now() - REMEMBERED)
        forgotten.exclude(pk=self.last_commit()).delete()
        small = LogBlock.objects.using(self.database).filter(lines__lt=SMALL).exclude(pk__in=self._damaged)
        sizes = small.order_by("first", "pk").values_list("pk", "first", "last", "lines")[:MERGE_LIST]
        self._give_back()
        merged = 0
        for group in _groups([Small(*row) for row in sizes]):
            if stop.now():
                break
            merged += self._rewrite([block.pk for block in group], lambda record: True) is not None
        return merged

    def _give_back(self) -> None:
        """Returns some of the pages that deletions left free to the file system; PostgreSQL does so by itself."""
        connection = connections[self.database]
        if connection.vendor == "sqlite":
            connection.ensure_connection()
            # execute() takes one step of a statement without rows, and this one frees a page with each step.
            connection.connection.executescript(f"PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})")

    def _rewrite(self, pks: list[int], keep: Callable[[LogRecord], bool]) -> int | None:
        """Puts the lines of some blocks that are to be kept into new blocks, in one step.

        Returns their number; None if a block is damaged, or another process touched one first.
        """
        rows = list(LogBlock.objects.using(self.database).filter(pk__in=pks))
        commit_of: dict[Position, int] = {}
        records: list[LogRecord] = []
        for row in rows:
            lines = self._undamaged(row.pk, _committed, row, 0, NO_LIMIT)
            if lines is None:
                return None
            commit_of.update((record.position, number) for number, record in lines)
            records.extend(record for _, record in lines if keep(record))
        new = []
        for block in codec.encode(records):
            numbers = [commit_of[position] for position in Columns(block).positions]
            new.append(_row(block, max(numbers), codec.pack(numbers)))
        with transaction.atomic(self.database):
            gone, _ = LogBlock.objects.using(self.database).filter(pk__in=pks).delete()
            if gone < len(pks):
                transaction.set_rollback(True, using=self.database)
                return None
            LogBlock.objects.using(self.database).bulk_create(new)
        return len(records)

    def usage(self) -> list[Usage]:
        lines: Counter[tuple[int, str]] = Counter()
        size: defaultdict[tuple[int, str], float] = defaultdict(float)
        blocks = LogBlock.objects.using(self.database).values_list("pk", "size", "header")
        for pk, bytes_, header in blocks.iterator(chunk_size=HEADERS):
            opened = self._undamaged(pk, codec.load_header, bytes(header))
            if opened is None:
                continue
            for minute, service, _level, count in scan.counted(Everything(), opened):
                key = (minute - minute % clock.DAY, service)
                lines[key] += count
                size[key] += bytes_ * count / opened.lines
        return [Usage(*key, lines[key], round(size[key])) for key in sorted(lines)]

    def stats(self) -> dict[str, int]:
        blocks = LogBlock.objects.using(self.database)
        found = blocks.aggregate(
            lines=Sum("lines"), blocks=models.Count("pk"), bytes=Sum("size"), oldest=Min("first"), newest=Max("last")
        )
        return {name: value or 0 for name, value in found.items()}


class _Moved(Exception):  # noqa: N818 - no error: a reader starts again
    """A block that was listed has gone."""


class _Stop:
    """A deadline in seconds from now; None never passes."""

    def __init__(self, seconds: float | None) -> None:
        self.at = None if seconds is None else time.monotonic() + seconds
        self.late = False

    def now(self) -> bool:
        self.late = self.late or (self.at is not None and time.monotonic() > self.at)
        return self.late

    def when_late(self, items: Iterable[Listed]) -> Iterator[Listed]:
        self.late = False
        for item in items:
            if self.now():
                return
            yield item


class _Search:
    """One search. It works on keys: a line's position, negated towards newer lines, so that it always descends.

    `frontier` is the key down to which everything was looked at; hits above it are certain.
    """

    def __init__(
        self, store: BlockStore, node: Node, direction: Direction, limit: int, after: Position | None, stop: _Stop
    ) -> None:
        self.store, self.node, self.direction, self.limit, self.stop = store, node, direction, limit, stop
        self.wanted = limit + 1  # one more tells whether there is a next page
        self.sign = 1 if direction == "older" else -1
        self.bound = None if after is None else (self.sign * after[0], self.sign * after[1])
        self.hits: list[Hit] = []

    def run(self, oldest: int, newest: int) -> Page:
        top, bottom = (newest, oldest) if self.sign > 0 else (-oldest, -newest)
        if self.bound is not None:
            top = min(top, self.bound[0])
        count = HEADERS
        while top >= bottom:
            frontier, finished = self._step(top, bottom, count)
            if finished:
                return self._page(frontier)
            # Blocks that all reach beyond `top` leave no way on but to list more of them.
            count = HEADERS if frontier < top + 1 else count * 4
            self.hits = [hit for hit in self.hits if hit.key[0] >= frontier]
            top = frontier - 1
        return self._page(bottom)

    def _step(self, top: int, bottom: int, count: int) -> tuple[int, bool]:
        """Works through one list of blocks. Returns the frontier reached, and whether the search is over."""
        oldest, newest = (bottom, top) if self.sign > 0 else (-top, -bottom)
        listed = list(self.store._list(oldest, newest, self.direction, count))
        for block in listed:
            # Lines at this block's edge may be in it as well as in the blocks before.
            frontier = min(self._edge(block), top) + 1
            if self._full(frontier):
                return frontier, True
            if self.stop.now():
                return frontier, True
            if not scan.may_match(self.node, block.header):
                continue
            columns = self.store._open(block)
            if columns is None:
                return frontier, False
            self.store._undamaged(block.pk, self._collect, columns, top, bottom)
        if len(listed) < count:
            return bottom, True
        return min(self._edge(listed[-1]), top) + 1, False

    def _edge(self, block: Listed) -> int:
        return block.last if self.sign > 0 else -block.first

    def _full(self, frontier: int) -> bool:
        return sum(hit.key[0] >= frontier for hit in self.hits) >= self.wanted

    def _collect(self, columns: Columns, top: int, bottom: int) -> None:
        lines = scan.lines_of(scan.select(self.node, columns), columns.lines)
        found = []
        for line in reversed(lines) if self.sign > 0 else lines:
            time = self.sign * columns.times[line]
            if time < bottom:
                break
            key = (time, self.sign * columns.sequences[line])
            if time <= top and (self.bound is None or key < self.bound):
                found.append(Hit(key, line, None))
                if len(found) == self.wanted:
                    break
        best = heapq.nlargest(self.wanted, [*self.hits, *found], key=lambda hit: hit.key)
        # Records are made at once, and only of the best: a hit must not keep its opened block in memory.
        self.hits = [hit if hit.record else hit._replace(record=columns.record(hit.line)) for hit in best]

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


def _span(keys: EntryKeys) -> tuple[int, int]:
    """Milliseconds of the oldest and newest entry, as far as a column can hold them."""
    milliseconds = [min(key[0], (1 << 63) - 1) for stream in keys.values() for key in stream]
    return min(milliseconds), max(milliseconds)


def _keys(batch: Iterable[Incoming]) -> EntryKeys:
    keys: EntryKeys = {}
    for entry in batch:
        keys.setdefault(entry.stream, set()).add(parse_entry_id(entry.entry_id))
    return keys


def _is_known(entry: Incoming, known: EntryKeys) -> bool:
    return parse_entry_id(entry.entry_id) in known.get(entry.stream, ())


def _blocks_of(batch: Iterable[Incoming]) -> list[Block]:
    """Ready blocks as they are; single records together in new ones."""
    blocks: list[Block] = []
    records: list[LogRecord] = []
    for entry in batch:
        if isinstance(entry.content, Block):
            blocks.append(entry.content)
        else:
            records.extend(entry.content)
    return blocks + codec.encode(records)


def _row(block: Block, commit: int, commits: bytes = b"") -> LogBlock:
    header = block.header
    return LogBlock(
        commit=commit,
        commits=commits,
        first=header.first,
        last=header.last,
        lines=header.lines,
        level_mask=header.level_mask,
        size=block.size,
        base=block.base,
        header=codec.dump_header(header),
        **{name: getattr(block, name) for name in COLUMN_NAMES},
    )


def _opened(row: LogBlock) -> Columns:
    columns = [getattr(row, name) for name in COLUMN_NAMES]
    return _columns(codec.load_header(bytes(row.header)), columns, row.base)


def _columns(header: Header, columns: Iterable[bytes], base: int) -> Columns:
    # PostgreSQL gives memoryviews.
    named = {name: bytes(column) for name, column in zip(COLUMN_NAMES, columns, strict=True)}
    return Columns(Block(header, **named, base=base))


def _commits_of(row: LogBlock) -> list[int]:
    return codec.unpack(bytes(row.commits)) if row.commits else [row.commit] * row.lines


def _committed(row: LogBlock, floor: int, newest: int) -> list[tuple[int, LogRecord]]:
    """(commit, record) of the lines with floor < commit <= newest."""
    columns = _opened(row)
    numbers = enumerate(_commits_of(row))
    return [(number, columns.record(line)) for line, number in numbers if floor < number <= newest]


def _lines_between(node: Node, columns: Columns, start: int, end: int) -> list[int]:
    """The lines that match in a range. What callers look at next is opened, so that damage shows here."""
    times, _, _ = columns.times, columns.levels, columns.services
    return [line for line in scan.lines_of(scan.select(node, columns), columns.lines) if start <= times[line] < end]


def _minutes_fit(listed: Listed, start: int, end: int) -> bool:
    """Whether the counts per minute tell exactly which of the block's lines are in the range."""
    return (start % clock.MINUTE == 0 or start <= listed.first) and (end % clock.MINUTE == 0 or listed.last < end)


def _groups(blocks: Sequence[Small]) -> Iterator[list[Small]]:
    """Neighbours that fit into one block, where merging them pays.

    A group's largest member is at most half of it, or the group is long: a line is then rewritten a few times on its
    way into a full block, and not once for each commit that comes after it.
    """
    group: list[Small] = []
    lines = 0
    for block in blocks:
        if group and (lines + block.lines > codec.BLOCK_LINES or block.last - group[0].first > codec.SPAN_MAX):
            yield from _worth(group, lines)
            group, lines = [], 0
        group.append(block)
        lines += block.lines
    yield from _worth(group, lines)


def _worth(group: list[Small], lines: int) -> Iterator[list[Small]]:
    if len(group) > 1 and (2 * max(block.lines for block in group) <= lines or len(group) >= MERGE_MANY):
        yield group
