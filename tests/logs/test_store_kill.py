"""kill -9 of processes that append and that merge, at any moment: what was acknowledged is there, and there once."""

from __future__ import annotations

import random
import threading
from collections import defaultdict

import pytest
from django.db import connections

from logs.query import Everything
from logs.records import LogRecord
from logs.store.blocks import BlockStore
from tests.logs.corpus import stored
from tests.logs.store_worker import LINES, Worker, batch

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ROUNDS = 10
BATCHES = 3  # between two deaths, at least
MANY = 100
INSTANT = 0.03  # seconds, in which either process comes to any point of its work
STATEMENTS = 11  # more than an append has, and half as many as a merge has
ALL = 1_000_000


class Appending:
    """Batch after batch, by one process after the other. `commits` has the acknowledged ones: batch → commit."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.commits: dict[int, int] = {}

    def begin(self) -> None:
        """With the last batch that was acknowledged, which changes nothing."""
        last = max(self.commits, default=0)
        self.worker.begin("append", last, MANY)
        if self.commits:
            assert self.worker.line() == f"{last} 0 0"

    def go_on(self, batches: int) -> None:
        for _ in range(batches):
            self.acknowledge(self.worker.line())

    def kill(self) -> None:
        for line in self.worker.kill():
            self.acknowledge(line)

    def acknowledge(self, line: str) -> None:
        number, commit, lines = map(int, line.split())
        assert lines in (LINES, 0)  # never a part
        self.commits.setdefault(number, commit)  # 0: its process died between storing it and saying so


@pytest.fixture(params=["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def holds(store: BlockStore, batches: int) -> bool:
    expected = stored(entry for number in range(batches) for entry in batch(number))
    return store.search(Everything(), limit=ALL).records == expected


def test_whoever_is_killed_at_any_moment_no_line_is_lost_or_doubled(database: str) -> None:
    pick = random.Random(database)
    with Worker(database) as first, Worker(database) as merger:
        appending = Appending(first)
        appending.begin()
        merger.begin("maintain")
        for _ in range(ROUNDS):
            appending.go_on(BATCHES)
            merger.line()  # both are at work
            threading.Event().wait(pick.uniform(0, INSTANT))
            if pick.random() < 0.5:
                merger.kill()
                merger.begin("maintain")
            else:
                appending.kill()
                appending.begin()
        merger.kill()
        appending.kill()

    store = BlockStore(database)
    last = max(appending.commits) + 1
    assert store.append(batch(last)).lines in (LINES, 0)  # nobody knows whether it was stored
    batches = [stored(batch(number)) for number in range(last + 1)]
    assert holds(store, last + 1)
    assert store.stats()["lines"] == len(batches) * LINES

    commits: defaultdict[int, list[LogRecord]] = defaultdict(list)
    backlog = store.committed_after(0, limit=ALL)
    for commit, record in backlog.records:
        commits[commit].insert(0, record)
    assert list(commits.values()) == batches
    known = {number: commit for number, commit in appending.commits.items() if commit}
    assert known == {number: commit for number, commit in enumerate(commits) if number in known}
    assert (backlog.newest, backlog.skipped) == (store.last_commit(), 0) == (max(commits), 0)
    middle = known[len(known) // 2]
    assert store.committed_after(middle, limit=ALL).records == [each for each in backlog.records if each[0] > middle]
    if connections[database].vendor == "sqlite":
        with connections[database].cursor() as cursor:
            assert cursor.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_an_append_that_dies_after_any_statement_is_there_as_a_whole_or_not_at_all(database: str) -> None:
    store = BlockStore(database)
    with Worker(database) as worker:
        for statement in range(1, STATEMENTS):
            worker.begin("dying", statement, "append", 2 * statement - 2, MANY)
            acknowledged = len(worker.last_words())
            store.append([each for number in range(2 * statement) for each in batch(number)])
            assert holds(store, 2 * statement)
    assert acknowledged


def test_a_merge_that_dies_after_any_statement_changes_nothing(database: str) -> None:
    store = BlockStore(database)
    merged: list[str] = []
    with Worker(database) as worker:
        for statement in range(1, 2 * STATEMENTS):
            for number in (2 * statement - 2, 2 * statement - 1):
                store.append(batch(number))
            worker.begin("dying", statement, "maintain")
            merged += worker.last_words()
            assert holds(store, 2 * statement)
    assert any(map(int, merged))
