"""The store against a model of it: whatever happens in whatever order, it holds what a plain list would hold."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from django.db import connections
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from core import clock
from logs import query
from logs.models import LogBlock, LogCommit
from logs.records import Level, LogRecord
from logs.store import Incoming, codec
from logs.store.blocks import BlockStore
from tests.logs.corpus import START, corpus, entries, stored

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

QUERIES = [
    "", "timeout", "level:>=warn -service:api", "user_id:3 OR request_id:r-2", "duration_ms:>1000 exists:trace_id",
    "NOT (logger:app.* OR grüße)", "tags:b", "title:request service:(worker OR billing)",
]  # fmt: skip


class Machine(RuleBasedStateMachine):
    database = "logs"

    def __init__(self) -> None:
        super().__init__()
        for model in (LogBlock, LogCommit):
            model.objects.using(self.database).all().delete()
        self.store = BlockStore(database=self.database)
        self.held: list[LogRecord] = []
        self.sent: list[Incoming] = []

    @rule(seed=st.integers(0, 1_000), lines=st.integers(1, 60), size=st.integers(1, 40), ready=st.booleans(),
          hour=st.integers(0, 5))  # fmt: skip
    def append(self, seed: int, lines: int, size: int, ready: bool, hour: int) -> None:
        records = corpus(lines, seed=seed, start=START + hour * clock.HOUR)
        batch = entries(records, first=len(self.sent), size=size, ready=ready)
        self.sent += batch
        commit = self.store.append(batch)
        assert (commit.lines, commit.duplicates) == (lines, 0)
        self.held += stored(batch)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        again = data.draw(st.lists(st.sampled_from(self.sent), min_size=1, max_size=5, unique_by=lambda e: e.entry_id))
        assert self.store.append(again).lines == 0

    @rule()
    def merge(self) -> None:
        self.store.maintain(budget=60)

    @rule(hour=st.integers(0, 6), levels=st.sets(st.sampled_from(Level), min_size=1), service=st.booleans())
    def delete(self, hour: int, levels: set[Level], service: bool) -> None:
        services = frozenset({"api"}) if service else None
        time = START + hour * clock.HOUR
        before = list(LogBlock.objects.using(self.database).values_list("first", "last"))
        self.store.delete_before(time, levels=frozenset(levels), services=services)
        # A block that reaches beyond the time is kept whole for as long.
        reaching = [(first, last) for first, last in before if first < time <= last]

        def goes(record: LogRecord) -> bool:
            return record.timestamp < time and record.level in levels and (not service or record.service == "api")

        kept = {record.position for record in self.store.search(query.Everything(), limit=100_000).records}
        for record in [record for record in self.held if goes(record) and record.position in kept]:
            assert any(first <= record.timestamp <= last for first, last in reaching)
        self.held = [record for record in self.held if not goes(record) or record.position in kept]

    @invariant()
    def it_holds_what_the_list_holds(self) -> None:
        expected = sorted(self.held, key=lambda record: record.position, reverse=True)
        assert self.store.search(query.Everything(), limit=100_000).records == expected

    @rule(text=st.sampled_from(QUERIES), limit=st.integers(1, 30), newer=st.booleans())
    def search(self, text: str, limit: int, newer: bool) -> None:
        node = query.parse(text)
        expected = sorted(
            (record for record in self.held if node.matches(record)), key=lambda r: r.position, reverse=not newer
        )
        found: list[LogRecord] = []
        after = None
        for _ in range(5):
            page = self.store.search(node, limit=limit, after=after, direction="newer" if newer else "older")
            found += page.records[::-1] if newer else page.records
            after = page.next
            if after is None:
                break
        assert found == expected[: len(found)]
        assert after is not None or len(found) == len(expected)

    @rule(text=st.sampled_from(QUERIES), step=st.sampled_from([clock.SECOND * 7, clock.MINUTE, clock.HOUR]))
    def count(self, text: str, step: int) -> None:
        node = query.parse(text)
        start, end = START + clock.MINUTE, START + 4 * clock.HOUR + 12_345
        expected = sum(node.matches(record) for record in self.held if start <= record.timestamp < end)
        assert sum(self.store.histogram(node, start=start, end=end, step=step).totals) == expected


@pytest.fixture(params=["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def machine(request: pytest.FixtureRequest) -> Iterator[type[Machine]]:
    Machine.database = request.param
    with patch.object(codec, "SMALL", 1):  # small as they are, blocks are remembered, and what was counted of them
        yield Machine
    connections[request.param].close()


def test_any_history_leaves_what_a_plain_list_would_hold(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
