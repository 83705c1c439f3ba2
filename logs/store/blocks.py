"""The block store: compressed blocks of lines as rows of any database that Django speaks.

A commit writes its blocks and one `LogCommit` row in one transaction. Commits are strictly one after the other (SQLite
has one writer; on PostgreSQL a lock of the transaction does it), so their numbers rise in the order in which readers
see them: "everything after number n" is exact, whoever wrote it.

Upkeep merges small blocks and makes the filters of those that stay (`logs.store.grams`). How blocks are read is
`logs.store.reading` on `logs.store.shelf`.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import reduce
from itertools import chain
from operator import or_
from typing import Final, NamedTuple, TypeAlias

import msgspec
from django.db import connections, models, transaction
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from core import clock
from logs import meters
from logs.lines import Lines
from logs.models import LogBlock, LogBlockGrams, LogCommit
from logs.query import Everything, Node
from logs.records import Level, LogRecord
from logs.store import codec, grams, lease, reading, statements
from logs.store.base import (
    Backlog,
    BaseLogStore,
    Commit,
    Counted,
    Counts,
    Direction,
    Dropped,
    EntryKey,
    Histogram,
    Incoming,
    Page,
    Position,
    Singles,
    Span,
    Usage,
    Values,
)
from logs.store.codec import SMALL, Block, Columns
from logs.store.grams import Column, Grams
from logs.store.reading import Stop
from logs.store.shelf import COLUMN_NAMES, OPENED, Desk, Known, Listed, Moved, Shelf

NO_LIMIT: Final = 1 << 62
RESTORED: Final = 0  # the commit of lines from the archive; numbers of commits begin at 1
HEADERS: Final = 256  # read at once
REMEMBERED: Final = timedelta(days=1)  # how long a second delivery of an entry is known
COMMIT_LOCK: Final = 0x70686172  # PostgreSQL's advisory locks are numbers: "phar"
MERGE_LIST: Final = 2_000  # blocks looked at in one go
MERGE_MANY: Final = 16
FILTER_LIST: Final = 1_000  # blocks that get their filters in one go
FILTERS_AT_ONCE: Final = 16
PAGES_GIVEN_BACK: Final = 1_000  # at each upkeep: 16 MB, some milliseconds

Stored: TypeAlias = "bytes | memoryview[int]"  # as SQLite and as PostgreSQL give it
EntryKeys = dict[str, set[EntryKey]]  # by stream

_keys_decoder = msgspec.msgpack.Decoder(dict[str, list[EntryKey]])


class Small(NamedTuple):
    """A block that is worth merging."""

    pk: int
    first: int
    last: int
    lines: int


class BlockStore(BaseLogStore):
    def __init__(self, database: str = "default") -> None:
        self.database = database
        self.shelf = Shelf(database)

    def at_once(self) -> BlockStore:
        copy = BlockStore(self.database)
        copy.shelf = Desk(self.shelf)
        return copy

    # --- Writing ----------------------------------------------------------------------------------------------------

    def append(self, batch: Sequence[Incoming | Singles]) -> Commit:
        keys = _keys(batch)
        known: EntryKeys = {}  # until we know better: nearly every entry comes once
        while True:
            fresh, fresh_keys = _fresh(batch, keys, known)
            duplicates = _count(keys) - _count(fresh_keys)
            if not fresh:
                return Commit(0, 0, duplicates)
            blocks = _blocks_of(fresh)  # before the transaction: the write lock is held for the writing only
            with transaction.atomic(self.database):
                self._lock_commits()
                now_known = self._known(keys)
                if now_known == known:
                    return self._write(fresh_keys, blocks, duplicates)
            known = now_known  # entries that were given to us again, or to another ingester as well

    def _write(self, keys: EntryKeys, blocks: Sequence[Block], duplicates: int) -> Commit:
        oldest, newest = _span(keys)
        lines = sum(block.header.lines for block in blocks)
        commit = LogCommit.objects.using(self.database).create(
            lines=lines,
            oldest_entry=oldest,
            newest_entry=newest,
            entries=codec.compress(msgspec.msgpack.encode({name: sorted(found) for name, found in keys.items()})),
        )
        statements.insert_blocks(self.database, (_row(block, commit.pk) for block in blocks))
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
        known: EntryKeys = {}
        for packed in statements.entries_between(self.database, *_span(keys)):
            for stream, stored in _keys_decoder.decode(codec.decompress(packed)).items():
                if both := keys.get(stream, set()).intersection(stored):
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
        search = reading.Search(self.shelf, node, direction, limit, after, Stop(deadline))
        with meters.STORE_TIMES.timed("search"):
            return search.run(start or 0, (NO_LIMIT if end is None else end) - 1)

    def get(self, position: Position) -> LogRecord | None:
        timestamp, sequence = position
        page = self.search(Everything(), start=timestamp, end=timestamp + 1, after=(timestamp, sequence + 1), limit=1)
        return page.records[0] if page.records and page.records[0].position == position else None

    def histogram(self, node: Node, *, start: int, end: int, step: int, deadline: float | None = None) -> Histogram:
        return reading.histogram(self.shelf, node, start, end, step, Stop(deadline))

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
        stop = Stop(deadline)
        counted = reading.values(self.shelf, node, field, start or 0, NO_LIMIT if end is None else end, stop)
        folded = prefix.casefold()
        found = [item for item in counted.items() if item[0] and item[0].casefold().startswith(folded)]
        most = heapq.nsmallest(limit, found, key=lambda item: (-item[1], item[0]))
        return Values(most, complete=not stop.late and len(counted) < reading.VALUES_MAX)

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
        known = {} if known is None else known
        with meters.STORE_TIMES.timed("count"):
            return reading.counts(self.shelf, node, fields, start, end, step, Stop(deadline), most, known)

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
            found += self.shelf.undamaged(row.pk, _committed, row, floor, newest) or ()
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
        keep: Sequence[Span] = (),
    ) -> int:
        """Whole blocks whose newest line is older; of mixed ones, the lines that stay are written anew."""
        stop = Stop(budget)
        old = LogBlock.objects.using(self.database).filter(last__lt=time).exclude(_within(keep))
        if levels is None and services is None and not except_services:
            return self._delete(old, stop)

        def doomed(service: str, level: Level) -> bool:
            wanted = (levels is None or level in levels) and (services is None or service in services)
            return wanted and service not in except_services

        deleted = 0
        whole = [
            block
            for block in self.shelf.listed(0, time - 1, "newer")
            if block.last < time and not any(start <= block.first < end for start, end in keep)
        ]
        for known in self._known_of(stop.when_late(whole)):
            header = known.header
            if any(doomed(header.services[pair >> 3], Level(pair & 7)) for pair in header.pairs):
                kept = self._rewrite([known.block.pk], doomed)
                deleted += header.lines - kept if kept is not None else 0
        return deleted

    def _known_of(self, blocks: Iterable[Listed]) -> Iterator[Known]:
        """As `Shelf.known`, up to a block that has gone: the next upkeep has a new list."""
        with suppress(Moved):
            yield from chain.from_iterable(self.shelf.known(blocks, grams=False))

    def drop_oldest(self, size: int, keep: Sequence[Span] = ()) -> Dropped:
        oldest = LogBlock.objects.using(self.database).exclude(_within(keep)).order_by("last", "pk")
        lines = freed = newest = 0
        while freed < size:
            with transaction.atomic(self.database):
                pks = []
                for pk, last, count, bytes_ in oldest.values_list("pk", "last", "lines", "size")[:HEADERS]:
                    if freed >= size:
                        break
                    pks.append(pk)
                    lines, freed, newest = lines + count, freed + bytes_, max(newest, last)
                self._remove(pks)
            if not pks:
                break
        return Dropped(lines, freed, newest)

    def _delete(self, blocks: QuerySet[LogBlock], stop: Stop) -> int:
        """Deletes blocks in short transactions, so that nobody waits long for the write lock; returns their lines."""
        lines = 0
        while not stop.now():
            with transaction.atomic(self.database):
                some = dict(blocks.values_list("pk", "lines")[:HEADERS])
                self._remove(some)
            lines += sum(some.values())
            if len(some) < HEADERS:
                break
        return lines

    def _remove(self, pks: Collection[int]) -> int:
        """Deletes blocks, then their filters: in this order nobody makes one between. Returns the number of blocks."""
        gone, _ = LogBlock.objects.using(self.database).filter(pk__in=pks).delete()
        LogBlockGrams.objects.using(self.database).filter(block__in=pks).delete()
        return gone

    def maintain(self, budget: float) -> int:
        with lease.held(self.database) as mine:
            return self._maintain(budget) if mine else 0

    def _maintain(self, budget: float) -> int:
        forgotten = LogCommit.objects.using(self.database).filter(committed_at__lt=timezone.now() - REMEMBERED)
        forgotten.exclude(pk=self.last_commit()).delete()
        self._give_back()
        # Half of the time for each, so that a flood of small blocks doesn't keep the others from being searched fast.
        return self._merge(Stop(budget / 2)) + self._make_filters(Stop(budget / 2))

    def _merge(self, stop: Stop) -> int:
        small = LogBlock.objects.using(self.database).filter(lines__lt=SMALL).exclude(pk__in=self.shelf.damaged)
        small = small.exclude(commit=RESTORED)  # they go by the block again
        sizes = small.order_by("first", "pk").values_list("pk", "first", "last", "lines")[:MERGE_LIST]
        merged = 0
        for group in stop.when_late(_groups([Small(*row) for row in sizes])):
            merged += self._rewrite([block.pk for block in group]) is not None
        return merged

    def _make_filters(self, stop: Stop) -> int:
        """For the blocks that are not likely to be merged, the newest first."""
        blocks = LogBlock.objects.using(self.database).exclude(pk__in=self.shelf.damaged)
        stay = Q(lines__gte=SMALL) | Q(last__lt=clock.now() - 2 * codec.SPAN_MAX)
        without = ~Exists(LogBlockGrams.objects.using(self.database).filter(block=OuterRef("pk")))
        unfinished = blocks.filter(stay, without).order_by("-last", "-pk").values_list("pk", "first", "last")
        made = 0
        filters: dict[int, Grams] = {}
        for block, columns in self._opened(stop.when_late(Listed(*row) for row in unfinished[:FILTER_LIST])):
            found = self.shelf.undamaged(block.pk, grams.make, columns)
            if found is not None:
                filters[block.pk] = found
            if len(filters) == FILTERS_AT_ONCE:
                made += self._write_filters(filters)
                filters = {}
        return made + self._write_filters(filters)

    def _write_filters(self, filters: Mapping[int, Grams]) -> int:
        if not filters:
            return 0
        with transaction.atomic(self.database):
            blocks = LogBlock.objects.using(self.database).filter(pk__in=filters)
            there = list(blocks.select_for_update().order_by("pk").values_list("pk", flat=True))
            LogBlockGrams.objects.using(self.database).bulk_create(_grams_row(pk, filters[pk]) for pk in there)
        return len(there)

    def _opened(self, blocks: Iterable[Listed]) -> Iterator[tuple[Listed, Columns]]:
        with suppress(Moved):
            for block, columns in self.shelf.opened(blocks, Everything(), frozenset(Column)):
                if columns is not None:
                    yield block, columns

    def _give_back(self) -> None:
        """Returns some of the pages that deletions left free to the file system; PostgreSQL does so by itself."""
        connection = connections[self.database]
        if connection.vendor == "sqlite":
            connection.ensure_connection()
            # execute() takes one step of a statement without rows, and this one frees a page with each step.
            connection.connection.executescript(f"PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})")

    def _rewrite(self, pks: list[int], doomed: Callable[[str, Level], bool] | None = None) -> int | None:
        """Puts the lines of some blocks, without those that are doomed, into new blocks, in one step.

        Returns their number; None if a block is damaged, or another process touched one first.
        """
        rows = list(LogBlock.objects.using(self.database).filter(pk__in=pks))
        commit_of: dict[Position, int] = {}
        parts = []
        for row in rows:
            found = self.shelf.undamaged(row.pk, _lines_and_commits, row)
            if found is None:
                return None
            lines, commits = found
            commit_of.update(zip(zip(lines.timestamp, lines.sequence, strict=True), commits, strict=True))
            if doomed:
                labels = zip(lines.service, lines.level, strict=True)
                lines = lines.picked([place for place, label in enumerate(labels) if not doomed(*label)])
            parts.append(lines)
        kept = Lines.together(parts)
        new = []
        for block in codec.encode(kept):
            numbers = [commit_of[position] for position in Columns(block).positions]
            new.append(_row(block, max(numbers), codec.pack(numbers)))
        with transaction.atomic(self.database):
            if self._remove(pks) < len(pks):
                transaction.set_rollback(True, using=self.database)
                return None
            statements.insert_blocks(self.database, new)
        return len(kept)

    # --- The archive ------------------------------------------------------------------------------------------------

    def days(self, before: int) -> Iterator[int]:
        blocks = LogBlock.objects.using(self.database).filter(first__lt=before).exclude(commit=RESTORED)
        firsts = blocks.order_by("first").values_list("first", flat=True)
        day = 0
        # One step into an index for each day, however many blocks there are.
        while (first := firsts.filter(first__gte=day).first()) is not None:
            day = _day_of(first)
            yield day
            day += clock.DAY

    def late_days(self, before: int, after: int) -> set[int]:
        # Looked up by commit: without the condition on the time, no database takes another way.
        firsts = LogBlock.objects.using(self.database).filter(commit__gt=after).values_list("first", flat=True)
        return {_day_of(first) for first in firsts.iterator() if first < before}

    def count_blocks(self, span: Span, *, after: int = 0) -> int:
        return self._begun(span, after).count()

    def export_blocks(self, span: Span, *, after: int, upto: int) -> Iterator[Block]:
        """As they are; only of blocks that hold other commits, too, the lines are written anew."""
        pks = list(self._begun(span, after).order_by("first", "pk").values_list("pk", flat=True))
        for begin in range(0, len(pks), OPENED):
            some = pks[begin : begin + OPENED]
            rows = LogBlock.objects.using(self.database).in_bulk(some)
            if len(rows) < len(some):
                raise Moved
            for pk in some:
                yield from self.shelf.undamaged(pk, _between, rows[pk], after, upto) or ()

    def _begun(self, span: Span, after: int) -> QuerySet[LogBlock]:
        return LogBlock.objects.using(self.database).filter(_within([span]), commit__gt=after)

    def import_blocks(self, blocks: Sequence[Block]) -> int:
        lines = 0
        with transaction.atomic(self.database):
            self._lock_commits()
            for block in blocks:
                missing = self._missing(block)
                statements.insert_blocks(self.database, (_row(part, RESTORED) for part in missing))
                lines += sum(part.header.lines for part in missing)
        return lines

    def _missing(self, block: Block) -> list[Block]:
        """What of a block is not stored. Raises DamagedError."""
        header, columns = block.header, Columns(block)
        near = LogBlock.objects.using(self.database).filter(
            first__range=(header.first - codec.SPAN_MAX, header.last), last__gte=header.first
        )
        stored: set[Position] = set()
        for pk, header_of, times, sequences, base in near.values_list("pk", "header", "times", "sequences", "base"):
            stored.update(self.shelf.undamaged(pk, _positions, header_of, times, sequences, base) or ())
        if stored.isdisjoint(columns.positions):
            return [block]
        lines = [line for line, position in enumerate(columns.positions) if position not in stored]
        return codec.encode(map(columns.record, lines))

    def delete_restored(self, span: Span) -> int:
        restored = LogBlock.objects.using(self.database).filter(_within([span]), commit=RESTORED)
        return self._delete(restored, Stop(None))

    # --- What it takes ----------------------------------------------------------------------------------------------

    def usage(self) -> list[Usage]:
        lines: Counter[tuple[int, str]] = Counter()
        size: defaultdict[tuple[int, str], float] = defaultdict(float)
        blocks = LogBlock.objects.using(self.database).values_list("pk", "size", "header")
        for pk, bytes_, header in blocks.iterator(chunk_size=HEADERS):
            opened = self.shelf.undamaged(pk, codec.load_header, bytes(header))
            if opened is None:
                continue
            for minute, pair, count in opened.by_minute:
                when = minute * clock.MINUTE
                key = (_day_of(when), opened.services[pair >> 3])
                lines[key] += count
                size[key] += bytes_ * count / opened.lines
        return [Usage(*key, lines[key], round(size[key])) for key in sorted(lines)]

    def stats(self) -> dict[str, int]:
        blocks = LogBlock.objects.using(self.database)
        found = blocks.aggregate(
            restored_lines=Sum("lines", filter=Q(commit=RESTORED)),
            restored_bytes=Sum("size", filter=Q(commit=RESTORED)),
            lines=Sum("lines"),
            blocks=models.Count("pk"),
            bytes=Sum("size"),
            oldest=Min("first"),
            newest=Max("last"),
        )
        return {name: value or 0 for name, value in found.items()}


def _span(keys: EntryKeys) -> tuple[int, int]:
    """Milliseconds of the oldest and newest entry, as far as a column can hold them."""
    longest = (1 << 63) - 1
    return min(min(map(min, keys.values()))[0], longest), min(max(map(max, keys.values()))[0], longest)


def _keys(batch: Iterable[Incoming | Singles]) -> EntryKeys:
    keys: EntryKeys = {}
    for incoming in batch:
        keys.setdefault(incoming.stream, set()).update(incoming.keys)
    return keys


def _count(keys: EntryKeys) -> int:
    return sum(map(len, keys.values()))


def _fresh(
    batch: Sequence[Incoming | Singles], keys: EntryKeys, known: EntryKeys
) -> tuple[Sequence[Incoming | Singles], EntryKeys]:
    """What is not stored yet, and its keys."""
    if not known:
        return batch, keys
    fresh: list[Incoming | Singles] = []
    for incoming in batch:
        stored = known.get(incoming.stream, set())
        if isinstance(incoming, Singles):
            incoming = incoming.without(stored)
        if not stored.issuperset(incoming.keys):
            fresh.append(incoming)
    return fresh, _keys(fresh)


def _blocks_of(batch: Iterable[Incoming | Singles]) -> list[Block]:
    """Ready blocks as they are; other lines together in new ones."""
    blocks: list[Block] = []
    parts: list[Lines] = []
    for incoming in batch:
        if isinstance(incoming.content, Block):
            blocks.append(incoming.content)
        else:
            parts.append(Lines.of(incoming.content))
    return blocks + codec.encode(Lines.together(parts))


def _grams_row(pk: int, filters: Grams) -> LogBlockGrams:
    bitmaps = {column.value: codec.compress(filters.bitmap(column)) for column in Column}
    return LogBlockGrams(block=pk, **bitmaps, letters=filters.letters, literal=filters.literal, ascii=filters.ascii)


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


def _block(row: LogBlock) -> Block:
    # PostgreSQL gives memoryviews.
    named = {name: bytes(getattr(row, name)) for name in COLUMN_NAMES}
    return Block(codec.load_header(bytes(row.header)), **named, base=row.base)


def _day_of(time: int) -> int:
    return time - time % clock.DAY


def _within(spans: Iterable[Span]) -> Q:
    """Blocks that begin in one of `spans`."""
    return reduce(or_, (Q(first__gte=start, first__lt=end) for start, end in spans), Q(pk__in=()))


def _between(row: LogBlock, after: int, upto: int) -> list[Block]:
    """The lines with after < commit <= upto."""
    numbers = _commits_of(row)
    if after < min(numbers) and max(numbers) <= upto:
        return [_block(row)]
    return codec.encode(record for _, record in _committed(row, after, upto))


def _positions(header: Stored, times: Stored, sequences: Stored, base: int) -> list[Position]:
    block = Block(codec.load_header(bytes(header)), bytes(times), bytes(sequences), b"", b"", b"", b"", base)
    return Columns(block).positions


def _commits_of(row: LogBlock) -> Sequence[int]:
    return codec.unpack(bytes(row.commits)) if row.commits else [row.commit] * row.lines


def _lines_and_commits(row: LogBlock) -> tuple[Lines, Sequence[int]]:
    return Columns(_block(row)).as_lines(), _commits_of(row)


def _committed(row: LogBlock, floor: int, newest: int) -> list[tuple[int, LogRecord]]:
    """(commit, record) of the lines with floor < commit <= newest."""
    columns = Columns(_block(row))
    wanted = [(line, number) for line, number in enumerate(_commits_of(row)) if floor < number <= newest]
    records = columns.records([line for line, _ in wanted])
    return [(number, record) for (_, number), record in zip(wanted, records, strict=True)]


def _groups(blocks: Sequence[Small]) -> Iterator[list[Small]]:
    """Neighbours that fit into one block, where merging them pays.

    They make a full block, or the largest is at most half of the group, or the group is long: a line is then rewritten
    a few times on its way into a full block, and not once for each commit that comes after it.
    """
    group: list[Small] = []
    lines = 0
    for block in blocks:
        if group and (lines + block.lines > codec.BLOCK_LINES or block.last > codec.latest(group[0].first)):
            yield from _worth(group, lines)
            group, lines = [], 0
        group.append(block)
        lines += block.lines
    yield from _worth(group, lines)


def _worth(group: list[Small], lines: int) -> Iterator[list[Small]]:
    half = 2 * max(block.lines for block in group) <= lines if group else False
    if len(group) > 1 and (lines >= SMALL or half or len(group) >= MERGE_MANY):
        yield group
