"""Merges and deletions beside readers, and what the store still does with a block that is damaged."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import pytest
from django.db import close_old_connections, connections

from core import clock
from logs import query
from logs.models import LogBlock
from logs.query import Everything
from logs.records import Level, LogRecord
from logs.store import codec
from logs.store.base import Direction, Position
from logs.store.blocks import BlockStore
from logs.store.shelf import COLUMN_NAMES, Shelf
from tests.logs.corpus import START, corpus, entries, stored

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

LOW = frozenset({Level.TRACE, Level.DEBUG})
OPENING = query.parse("-nothing-has-this")  # can't be answered from headers


@pytest.fixture(params=["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> BlockStore:
    return BlockStore(database=request.param)


# --- Beside readers ------------------------------------------------------------------------------------------------


class Disturbance:
    """Merges, deletes low levels and appends low lines, at random right when a reader is about to open a block."""

    def __init__(self, store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.pick, self.merged, self.deleted, self.appended = store, random.Random(5), 0, 0, 0
        self.resting = False
        real = Shelf.read

        def reading(shelf: Shelf, pks: Collection[int], names: Collection[str]) -> Any:
            if not self.resting and self.pick.random() < 0.2:
                self.resting = True  # merging reads as well
                self.pick.choice([self.merge, self.delete, self.append])()
                self.resting = False
            return real(shelf, pks, names)

        monkeypatch.setattr(Shelf, "read", reading)

    def merge(self) -> None:
        self.merged += self.store.maintain(budget=60)

    def delete(self) -> None:
        time = START + self.pick.randrange(clock.MINUTE)
        self.deleted += self.store.delete_before(time, levels=LOW)

    def append(self) -> None:
        self.appended += 1
        start = START + self.pick.randrange(30) * clock.SECOND
        low = [LogRecord(start + n * clock.SECOND, Level.DEBUG, "api", "late") for n in range(4)]
        for entry in entries(low, first=10_000 + self.appended * 4, size=1):
            self.store.append([entry])


@pytest.mark.parametrize("direction", ["older", "newer"])
@pytest.mark.parametrize("limit", [7, 50])
def test_a_reader_sees_what_stays_once_and_in_order_whatever_is_merged_and_deleted(
    store: BlockStore, direction: Direction, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = entries(corpus(600), size=6)
    for entry in batch:
        store.append([entry])
    expected = [record for record in stored(batch) if record.level not in LOW]
    disturbance = Disturbance(store, monkeypatch)
    found: list[LogRecord] = []
    after: Position | None = None
    while True:
        page = store.search(Everything(), limit=limit, after=after, direction=direction)
        found += page.records if direction == "older" else page.records[::-1]
        after = page.next
        if after is None:
            break
    positions = [record.position for record in found]
    assert positions == sorted(set(positions), reverse=direction == "older")
    seen = [record for record in found if record.level not in LOW]
    assert seen == (expected if direction == "older" else expected[::-1])
    assert min(disturbance.merged, disturbance.deleted, disturbance.appended) > 0


def test_a_merge_holds_the_write_lock_for_the_exchange_of_blocks_only(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry in entries(corpus(400), size=20):
        store.append([entry])
    connection = connections[store.database]
    locked: list[str] = []

    def noting(execute: Callable[..., object], sql: str, *arguments: object) -> object:
        if connection.in_atomic_block and "logs_logcommit" not in sql:
            locked.append(" ".join(sql.replace('"', "").split()[:3]))
        return execute(sql, *arguments)

    real = codec.encode

    def encoding(records: list[LogRecord]) -> list[codec.Block]:
        assert not connection.in_atomic_block
        return real(records)

    monkeypatch.setattr(codec, "encode", encoding)
    with connection.execute_wrapper(noting):
        assert store.maintain(budget=60) == 2  # a merged block and its filters
    begin = ["BEGIN IMMEDIATE"] if connection.vendor == "sqlite" else []
    assert [sql for sql in locked if sql not in begin] == [
        "DELETE FROM logs_logblock",
        "DELETE FROM logs_logblockgrams",
        "INSERT INTO logs_logblock",
        "SELECT logs_logblock.id AS",
        "INSERT INTO logs_logblockgrams",
    ]


# --- A damaged block -----------------------------------------------------------------------------------------------


def flip(store: BlockStore, block: LogBlock, column: str, place: float) -> None:
    data = bytearray(getattr(block, column))
    data[int((len(data) - 1) * place)] ^= 0x55
    LogBlock.objects.using(store.database).filter(pk=block.pk).update(**{column: bytes(data)})


@pytest.mark.parametrize("place", [0, 0.5, 1])
@pytest.mark.parametrize("column", ["header", *COLUMN_NAMES])
def test_everything_goes_on_around_a_damaged_block(
    store: BlockStore, column: str, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    batch = entries(corpus(300))
    for entry in batch:
        store.append([entry])
    blocks = list(LogBlock.objects.using(store.database).order_by("pk"))
    flip(store, blocks[1], column, place)
    lost = set(stored([batch[1]]))
    left = [record for record in stored(batch) if record not in lost]

    paged, after = list[LogRecord](), None
    while True:
        page = store.search(OPENING, limit=30, after=after)
        paged += page.records
        after = page.next
        if after is None:
            break
    assert paged == left
    counted = sum(lines for _, lines in store.values(OPENING, "service").counts)
    assert counted == (300 if column == "sequences" else 200)  # counting doesn't open every column
    for record in (left[0], left[-1]):
        assert store.get(record.position) == record
        assert record in store.context(record.position, node=OPENING)
    assert store.context(left[0].position, node=OPENING, before=199, after=0) == left
    assert {number for number, _ in store.committed_after(0, limit=1_000).records} == {
        blocks[0].commit,
        blocks[2].commit,
    }
    store.maintain(budget=60)
    assert store.delete_before(START + clock.DAY, levels=LOW) == sum(record.level in LOW for record in left)
    assert store.search(OPENING, limit=1_000).records == [record for record in left if record.level not in LOW]
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1
    assert said[0].startswith(f"Log block {blocks[1].pk} is damaged")
    store.delete_before(START + clock.DAY)  # the damaged block goes as well
    assert store.stats()["blocks"] == 0


@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_merged_block_without_its_commit_numbers_can_still_be_searched(
    store: BlockStore, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    batch = entries(corpus(300))
    for entry in batch:
        store.append([entry])
    assert store.maintain(budget=60)
    block = LogBlock.objects.using(store.database).get()
    flip(store, block, "commits", place)
    assert store.search(OPENING, limit=1_000).records == stored(batch)
    assert store.committed_after(0, limit=1_000).records == []
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


@pytest.mark.postgres
def test_a_reader_notices_that_its_connection_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    store, connection = BlockStore(database="postgres"), connections["postgres"]
    for name, value in (("CONN_HEALTH_CHECKS", True), ("CONN_MAX_AGE", 60)):  # as in our settings
        monkeypatch.setitem(connection.settings_dict, name, value)
    connection.close()
    store.append(entries(corpus(10)))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (broken,) = cursor.fetchone() or [0]
    killer = connection.copy()
    with killer.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [broken])
    killer.close()
    close_old_connections()  # as each thread does before its next work
    assert len(store.search(Everything()).records) == 10
    connection.close()
