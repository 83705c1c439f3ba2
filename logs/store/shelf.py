"""The blocks in the database as a reader meets them: listed by time, known by their headers, opened by column.

Blocks never change, so what is known of them stays in memory, the newest first, up to KNOWN_MAX. Listing is then a walk
along an index, and a search that filters most blocks out reads little else.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections import ChainMap, Counter
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple, ParamSpec, TypeVar, cast

from logs.models import LogBlockGrams
from logs.query import Node
from logs.store import codec, scan, statements
from logs.store.base import Direction
from logs.store.codec import Columns, Header
from logs.store.grams import Grams
from logs.store.tallies import Tallies

COLUMN_NAMES: Final = ("times", "sequences", "labels", "texts", "ids", "metadata")
ALL_COLUMNS: Final = frozenset(COLUMN_NAMES)
KNOWN_MAX: Final = 64 << 20  # bytes of headers and filters: those of about 6 million lines
_KNOWN_EACH: Final = 1_500  # bytes of a block's place in memory, beside header and filters
LISTED: Final = 256  # blocks asked for at once
OPENED: Final = 32  # blocks whose columns are read at once
FEW: Final = 8  # one block of so many
AT_FIRST: Final = 2  # blocks that are looked up at first: the newest are small, and two have a page together
DESK_LINES: Final = 20_000  # in blocks that a desk keeps open: some 15 MB

_ALL: Final = 1 << 62

log = logging.getLogger("logs.store")

P = ParamSpec("P")
T = TypeVar("T")

Read = dict[int, tuple[int, dict[str, bytes]]]  # by block: its base, and columns by their names


class Listed(NamedTuple):
    """A block that a reader has heard of."""

    pk: int
    first: int
    last: int


class Known:
    """What tells whether a block is worth opening. `grams` is None as long as it has none."""

    def __init__(self, block: Listed, header: Header, grams: Grams | None = None) -> None:
        self.block = block
        self.header = header
        self.grams = grams
        self.level_mask = header.level_mask

    @cached_property
    def names(self) -> str:
        """Of services and loggers, without regard to case."""
        return "\0".join((*self.header.services, *self.header.loggers)).casefold()

    @cached_property
    def by_pair(self) -> list[tuple[str, int, int]]:
        """(service, level, lines) over the whole block."""
        totals = dict.fromkeys(self.header.pairs, 0)
        for _minute, pair, lines in self.header.by_minute:
            totals[pair] += lines
        return [(self.header.services[pair >> 3], pair & 7, lines) for pair, lines in totals.items()]

    @cached_property
    def by_level(self) -> list[tuple[int, int]]:
        """(level, lines) over the whole block."""
        totals: Counter[int] = Counter()
        for _service, level, lines in self.by_pair:
            totals[level] += lines
        return list(totals.items())


class Moved(Exception):  # noqa: N818 - no error: a reader starts again
    """A block that was listed has gone: it was merged, or deleted."""


class Stored(Columns):
    """The columns of a block in the database. They are read when the first is asked for, with those of its batch."""

    def __init__(self, batch: Batch, known: Known) -> None:
        self.header = known.header
        self.lines = known.header.lines
        self.grams = known.grams
        self._batch, self._pk = batch, known.block.pk

    @cached_property
    def _stored(self) -> tuple[int, dict[str, bytes]]:
        return self._batch.take(self._pk)

    @cached_property
    def base(self) -> int:
        return self._stored[0]

    def column(self, name: str) -> bytes:
        columns = self._stored[1]
        if name not in columns:
            columns |= self._batch.rest(self._pk, columns)
        return columns[name]


class Batch:
    """Blocks that are read together, with the columns that a search will ask for."""

    def __init__(self, shelf: Shelf, pks: Collection[int], names: Collection[str], read: Read) -> None:
        self._shelf, self._names, self._there = shelf, names, {pk: read[pk] for pk in pks if pk in read}
        self._missing = [pk for pk in pks if pk not in read]

    @cached_property
    def _read(self) -> Read:
        return self._there | self._shelf.read(self._missing, self._names) if self._missing else self._there

    def take(self, pk: int) -> tuple[int, dict[str, bytes]]:
        """The base and the columns of a block. Raises Moved if it has gone since it was listed."""
        if pk not in self._read:
            raise Moved
        return self._read.pop(pk)

    def rest(self, pk: int, there: Collection[str]) -> dict[str, bytes]:
        missing = [name for name in COLUMN_NAMES if name not in there]
        read = self._shelf.read([pk], missing)
        if pk not in read:
            raise Moved
        return read[pk][1]


class Shelf:
    def __init__(self, database: str) -> None:
        self.database = database
        self.damaged: set[int] = set()
        self.tallies = Tallies()
        self._known: MutableMapping[int, Known] = {}
        self._by_age: list[tuple[int, int, int]] = []  # a heap of (last, pk, bytes)
        self._bytes = 0
        self._lock = threading.Lock()

    def undamaged(self, pk: int, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `read` gives; None if the block is damaged, which is said once. A damaged block costs only itself."""
        try:
            return read(*args, **kwargs)
        except codec.DamagedError as error:
            if pk not in self.damaged:
                self.damaged.add(pk)
                log.error("Log block %s is damaged, its lines can't be shown: %s", pk, error, extra={"block": pk})
            return None

    def listed(self, oldest: int, newest: int, direction: Direction, count: int | None = None) -> list[Listed]:
        """The blocks that touch a range, in the order in which a reader going in `direction` meets them."""
        rows = statements.list_blocks(self.database, oldest, newest, direction, _ALL if count is None else count)
        # Thousands of new objects would make more work for the garbage collector than the list does for the database.
        return [known.block if (known := self._known.get(row[0])) else Listed(*row) for row in rows]

    def look_again(self) -> None:
        """Blocks have gone: what is listed next must be as things are."""

    def known(self, blocks: Iterable[Listed], grams: bool) -> Iterator[list[Known]]:
        """Lists of the blocks in their order, with what is known of them; with their filters if `grams` says so.

        Leaves damaged ones out; raises Moved at one that has gone. It looks ahead further and further: who stops
        early has not paid for many.
        """
        return (known for known, _ in self._looked_at(blocks, grams))

    def _looked_at(
        self, blocks: Iterable[Listed], grams: bool, names: Collection[str] = ()
    ) -> Iterator[tuple[list[Known], Read]]:
        """As `known`. The first blocks that nobody knew come with their columns of these names."""
        remembered = self._known.get
        for batch in _growing(blocks, LISTED):
            found = [remembered(block.pk) for block in batch]
            if all(known is not None and (known.grams or not grams) for known in found):
                yield cast(list[Known], found), {}
            else:
                yield self._look_up(batch, found, grams, names if len(batch) <= FEW else ())

    def _look_up(
        self, blocks: Sequence[Listed], found: Sequence[Known | None], grams: bool, names: Collection[str]
    ) -> tuple[list[Known], Read]:
        headers = {known.block.pk: known.header for known in found if known is not None}
        strange = {
            block.pk for block, known in zip(blocks, found, strict=True) if known is None or (grams and not known.grams)
        }
        unread = strange - headers.keys()
        read = self.read(unread, ("header", *names)) if unread else {}
        for pk, (_base, columns) in read.items():
            header = self.undamaged(pk, codec.load_header, columns.pop("header"))
            if header is not None:
                headers[pk] = header
        if unread - headers.keys() - self.damaged:
            raise Moved
        filters = self._filters(strange & headers.keys()) if grams else {}
        looked_up = []
        for block, known in zip(blocks, found, strict=True):
            if block.pk in strange and block.pk in headers:
                known = Known(block, headers[block.pk], filters.get(block.pk))
                self._remember(known)
            if known is not None:
                looked_up.append(known)
        return looked_up, read if names else {}

    def _filters(self, pks: Collection[int]) -> dict[int, Grams]:
        """A block whose filters are damaged is searched without them."""
        rows = LogBlockGrams.objects.using(self.database).filter(block__in=pks)
        found = {}
        for pk, *bitmaps, letters, literal, is_ascii in rows.values_list("block", *Grams.__struct_fields__):
            with suppress(codec.DamagedError):
                texts, ids, metadata = [codec.decompress(bytes(bitmap)) for bitmap in bitmaps]
                found[pk] = Grams(texts, ids, metadata, bytes(letters), literal, is_ascii)
        return found

    def _remember(self, known: Known) -> None:
        """Keeps it, unless it will be merged soon, or the memory is full of newer ones."""
        block = known.block
        if known.header.lines < codec.SMALL:
            return
        size = _KNOWN_EACH + len(bytes(known.header.counts))
        if known.grams:
            size += len(known.grams.texts) + len(known.grams.ids) + len(known.grams.metadata)
        with self._lock:
            while self._by_age and self._bytes + size > KNOWN_MAX and self._by_age[0][0] < block.last:
                _last, pk, freed = heapq.heappop(self._by_age)
                self._known.pop(pk, None)
                self._bytes -= freed
            if self._bytes + size <= KNOWN_MAX:
                self._known[block.pk] = known
                heapq.heappush(self._by_age, (block.last, block.pk, size))
                self._bytes += size

    def opened(
        self, blocks: Iterable[Listed], node: Node, names: frozenset[str] = frozenset()
    ) -> Iterator[tuple[Listed, Stored | None]]:
        """The blocks in their order, with the columns of those that may have lines that match.

        Of others, which come with None, there is one now and then, to show how far it is. The columns that tell which
        lines match are read together, and those of `names`; all of them where the filters let few blocks pass, for
        those have something to show. A block that has gone raises Moved, at the latest when it is opened.
        """
        may_match, grams = scan.sieve(node), scan.asks_grams(node)
        beside = () if grams else names | scan.columns_for(node, None)
        for known, read in self._looked_at(blocks, grams, beside):
            matching = list(filter(may_match, known))
            at_once = ALL_COLUMNS if len(matching) < len(known) // FEW else names
            for start in range(0, len(matching), OPENED):
                together = matching[start : start + OPENED]
                wanted = [scan.columns_for(node, each.grams) for each in together]
                stored = self._stored(together, at_once.union(*wanted), read)[::-1]
                while stored:
                    yield stored.pop()  # whoever is done with it has the last hold on it
            if known and (not matching or matching[-1] is not known[-1]):
                yield known[-1].block, None

    def _stored(self, blocks: Sequence[Known], names: frozenset[str], read: Read) -> list[tuple[Listed, Stored]]:
        batch = Batch(self, [known.block.pk for known in blocks], names, read)
        return [(known.block, Stored(batch, known)) for known in blocks]

    def read(self, pks: Collection[int], names: Collection[str]) -> Read:
        rows = statements.read_blocks(self.database, pks, names)
        return {pk: (base, dict(zip(names, columns, strict=True))) for pk, base, *columns in rows}


class Desk(Shelf):
    """A shelf for many questions about nearly the same blocks, one right after the other: what one of them has listed
    and opened lies open for the others. For one thread, and for as long as it may not know of newer blocks."""

    def __init__(self, shelf: Shelf) -> None:
        self.database, self.damaged, self.tallies = shelf.database, shelf.damaged, shelf.tallies
        self._shelf = shelf
        self._known = ChainMap({}, cast(dict[int, Known], shelf._known))
        self._lists: tuple[int, int, list[Listed]] | None = None
        self._open: dict[int, Stored] = {}
        self._lines = 0

    def listed(self, oldest: int, newest: int, direction: Direction, count: int | None = None) -> list[Listed]:
        if direction == "newer" or count is not None:
            return super().listed(oldest, newest, direction, count)
        if self._lists is None or oldest < self._lists[0] or self._lists[1] < newest:
            self._lists = oldest, newest, super().listed(oldest, newest, direction)
        return [block for block in self._lists[2] if block.first <= newest and oldest <= block.last]

    def look_again(self) -> None:
        self._lists = None

    def _remember(self, known: Known) -> None:
        self._known[known.block.pk] = known
        self._shelf._remember(known)

    def _stored(self, blocks: Sequence[Known], names: frozenset[str], read: Read) -> list[tuple[Listed, Stored]]:
        """The first ones stay open, with all their columns."""
        fresh = [known for known in blocks if known.block.pk not in self._open]
        room = self._lines < DESK_LINES
        # What they hold of the shelf must not be this desk, or nobody would ever clear it.
        found = {block.pk: stored for block, stored in self._shelf._stored(fresh, ALL_COLUMNS if room else names, read)}
        if room:
            self._open |= found
            self._lines += sum(stored.lines for stored in found.values())
        together = [known.block for known in blocks]
        return [(block, found.get(block.pk) or self._open[block.pk]) for block in together]


def _growing(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Lists of AT_FIRST items, twice as many, and so on, up to `most`."""
    rest = iter(items)
    size = AT_FIRST
    while batch := list(islice(rest, size)):
        yield batch
        size = min(size * 2, most)
