"""The contract of a log store, against the block store on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import product
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from django.db import connections

from core import clock
from logs import patterns, query
from logs.lines import Lines
from logs.models import LogBlock, LogBlockGrams
from logs.query import Everything
from logs.records import LEVELS, Level, LogRecord
from logs.sequence import sequence_at
from logs.store import BaseLogStore, Counts, Dropped, Singles, Values, codec, reading, shelf
from logs.store.base import Counted
from logs.store.blocks import BlockStore
from logs.store.shelf import Shelf
from logs.store.tallies import Tallies, Tally
from tests.logs.corpus import ENTRY_MS, START, corpus, entries, stored
from tests.logs.opened import note_opened

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


ALL = Everything()


@pytest.fixture(params=["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> BaseLogStore:
    return BlockStore(database=request.param)


def everything(store: BaseLogStore, node: query.Node = ALL, limit: int = 1_000) -> list[LogRecord]:
    """All records, page by page."""
    records, after = [], None
    while True:
        page = store.search(node, limit=limit, after=after)
        assert page.complete
        records += page.records
        after = page.next
        if after is None:
            return records


# --- Appending -----------------------------------------------------------------------------------------------------


def test_what_was_appended_is_found_to_the_byte(store: BaseLogStore) -> None:
    batch = entries(corpus(1_000))
    commit = store.append(batch)
    assert (commit.lines, commit.duplicates) == (1_000, 0)
    assert everything(store) == stored(batch)


def test_single_records_and_ready_blocks_are_the_same(store: BaseLogStore) -> None:
    records = corpus(300)
    store.append(entries(records, ready=False))
    assert everything(store) == stored(entries(records))


def test_an_entry_that_comes_twice_is_stored_once(store: BaseLogStore) -> None:
    batch = entries(corpus(500))
    store.append(batch[:3])
    again = store.append(batch)
    assert (again.lines, again.duplicates) == (200, 3)
    nothing = store.append(batch)
    assert (nothing.number, nothing.lines, nothing.duplicates) == (0, 0, 5)
    assert everything(store) == stored(batch)


def test_single_lines_that_come_again_among_new_ones_are_stored_once(store: BaseLogStore) -> None:
    keys = [(ENTRY_MS, number) for number in range(30)]
    lines = Lines.of(corpus(30))
    lines.sequence = [sequence_at(*key, 0) for key in keys]
    store.append([Singles("pharos:logs", keys[:20], lines[:20])])
    again = store.append([Singles("pharos:logs", keys[10:], lines[10:])])
    assert (again.lines, again.duplicates) == (10, 10)
    nothing = store.append([Singles("pharos:logs", keys, lines)])
    assert (nothing.number, nothing.lines, nothing.duplicates) == (0, 0, 30)
    other = store.append([Singles("another", keys[:1], lines[:1])])
    assert (other.lines, other.duplicates) == (1, 0)
    assert len(everything(store)) == 31


def test_late_and_unordered_batches_are_listed_in_order(store: BaseLogStore) -> None:
    batch = entries(corpus(2_000), size=50)
    for entry in batch[::-2] + batch[::2] if len(batch) % 2 else batch[1::2] + batch[::2]:
        store.append([entry])
    assert everything(store, limit=77) == stored(batch)


def test_lines_days_apart_in_one_batch_are_found(store: BaseLogStore) -> None:
    records = [record for day in range(5) for record in corpus(20, seed=day, start=START + day * clock.DAY)]
    batch = entries(records, size=100)
    store.append(batch)
    assert everything(store) == stored(batch)


def test_several_writers_at_once_lose_and_double_nothing(store: BaseLogStore) -> None:
    batch = entries(corpus(1_200), size=40)
    # Each entry is given to two writers, as after a reclaim.
    shares = [batch[:20], batch[10:], batch[:10] + batch[20:]]
    errors: list[BaseException] = []

    def write(share: list) -> None:  # type: ignore[type-arg]
        try:
            for begin in range(0, len(share), 5):
                store.append(share[begin : begin + 5])
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert everything(store) == stored(batch)


# --- Searching -----------------------------------------------------------------------------------------------------

QUERIES = [
    "timeout", "TIMEOUT", "-timeout", "level:error", "level:>=warn", "service:worker", "service:über-dienst",
    "service:w*", "logger:app.tasks", "logger:app.*", "title:request", "message:handled", "exists:trace_id",
    "NOT exists:title", "request_id:r-7", "request_id:R-7*", "user_id:3", "metadata.user_id:3", "userId:u-3",
    "duration_ms:>1900", "duration_ms:[100 TO 110]", "duration_ms:<5 OR level:fatal", "tags:b", "ok:true",
    "exists:none", "exists:tags", "grüße", "σίσυφος", "ΣΊΣΥΦΟς", "SS", "日本", "🚀", "multi\nline",
    "/api/v1/orders/", "?q=a%20b&c=[1]", '"100 %"', "__wild", "\\backslashes\\", "u-3", '"userId":"u-3"', "r-7",
    "timeout service:api level:warn", "(timeout OR handled) -service:api", "nothing-has-this", '"\\"1"',
]  # fmt: skip


@pytest.mark.parametrize("text", QUERIES)
def test_a_search_finds_what_the_predicate_matches(store: BaseLogStore, text: str) -> None:
    batch = entries(corpus(700))
    store.append(batch)
    node = query.parse(text)
    expected = [record for record in stored(batch) if node.matches(record)]
    assert everything(store, node) == expected


def test_the_queries_above_tell_something() -> None:
    records = corpus(700)
    found = {text: sum(map(query.parse(text).matches, records)) for text in QUERIES}
    assert [text for text, count in found.items() if count == 0] == ["exists:none", "nothing-has-this"]


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_hold_every_line_once_in_both_directions(store: BaseLogStore, limit: int) -> None:
    batch = entries(corpus(60 if limit == 1 else 300), size=30)
    store.append(batch)
    expected = stored(batch)
    assert everything(store, limit=limit) == expected
    ascending: list[LogRecord] = []
    after = (0, 0)
    while True:
        page = store.search(Everything(), limit=limit, after=after, direction="newer")
        ascending += page.records[::-1]
        if page.next is None:
            break
        after = page.next
    assert ascending == expected[::-1]


def test_lines_of_the_same_microsecond_are_neither_skipped_nor_doubled(store: BaseLogStore) -> None:
    same = [msgspec.structs.replace(record, timestamp=START) for record in corpus(250)]
    batch = entries(same, size=10)
    store.append(batch)
    assert everything(store, limit=9) == stored(batch)


def test_a_time_range_holds_its_start_and_not_its_end(store: BaseLogStore) -> None:
    records = [msgspec.structs.replace(record, timestamp=START + n) for n, record in enumerate(corpus(10))]
    store.append(entries(records))
    page = store.search(Everything(), start=START + 2, end=START + 5)
    assert [record.timestamp - START for record in page.records] == [4, 3, 2]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks whose columns were read, one by one."""
    return note_opened(monkeypatch)


RARE = [
    "request_id:req-31001777", "REQUEST_ID:REQ-31001777", f"trace_id:{77:032x}", f"trace_id:{77:032X}", f"{77:032x}",
    "req-31001777", "request 31001777", '"request 31001777 in"', "message:31001777", "order_id:31001777",
    "metadata.order_id:31001777", "1001777 level:>=debug", "order_name:item-31001777", "order_name:item-31001777*",
    "nobody-wrote-this", "exists:no_such_key", "no_such_key:>5",
]  # fmt: skip


@pytest.mark.parametrize("text", RARE)
def test_a_search_for_something_rare_opens_few_blocks(store: BaseLogStore, text: str, reads: list[int]) -> None:
    records = [
        msgspec.structs.replace(
            record,
            message=f"handled request {n} in {n % 7} ms",
            request_id=f"req-{n}",
            metadata=b'{"order_id":%d,"order_name":"item-%d"}' % (n, n),
        )
        for n, record in enumerate(corpus(3_000), 31_000_000)
    ]
    batch = entries(records, size=30)
    for begin in range(0, 100, 10):
        store.append(batch[begin : begin + 10])
    with patch.multiple("logs.store.blocks", SMALL=1):
        store.maintain(budget=60)
    node = query.parse(text)
    reads.clear()
    assert everything(store, node) == [record for record in stored(batch) if node.matches(record)]
    assert len(set(reads)) <= 3  # of 10: those with the line, and by chance another


def test_blocks_that_may_still_be_merged_get_no_filters(store: BaseLogStore) -> None:
    now = clock.now()
    store.append(entries(corpus(300, start=now - clock.MINUTE)))
    store.append(entries(corpus(300, start=now - clock.DAY), first=now))
    store.maintain(budget=60)
    filtered = LogBlockGrams.objects.using(store.database).values_list("block", flat=True)  # type: ignore[attr-defined]
    blocks = LogBlock.objects.using(store.database).filter(pk__in=filtered)  # type: ignore[attr-defined]
    assert [block.last < now - clock.HOUR for block in blocks] == [True]


def test_damaged_filters_hide_no_line(store: BaseLogStore) -> None:
    batch = entries(corpus(1_000))
    store.append(batch)
    store.maintain(budget=60)
    filters = LogBlockGrams.objects.using(store.database).get()  # type: ignore[attr-defined]
    damaged = bytearray(filters.texts)
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    LogBlockGrams.objects.using(store.database).update(texts=bytes(damaged))  # type: ignore[attr-defined]
    node = query.parse("timeout")
    assert everything(store, node) == [record for record in stored(batch) if node.matches(record)] != []


def test_neighbours_that_make_a_full_block_are_merged(store: BaseLogStore) -> None:
    """A body of 2,000 lines comes as chunks of 1,024 and 976."""
    batch = entries(corpus(4_000), size=1_000)
    store.append(batch)
    store.maintain(budget=60)
    blocks = LogBlock.objects.using(store.database)  # type: ignore[attr-defined]
    assert sorted(blocks.values_list("lines", flat=True)) == [2_000, 2_000]
    assert everything(store) == stored(batch)


def test_the_filters_of_a_block_go_with_it(store: BaseLogStore) -> None:
    store.append(entries(corpus(1_200)))
    store.maintain(budget=60)
    grams = LogBlockGrams.objects.using(store.database)  # type: ignore[attr-defined]
    assert grams.count() == 1
    store.delete_before(START + clock.DAY)
    assert grams.count() == 0


def test_a_search_out_of_time_says_how_far_it_came_and_goes_on_from_there(store: BaseLogStore) -> None:
    batch = entries(corpus(400), size=20)
    store.append(batch)
    found, after, rounds = [], None, 0
    while True:
        page = store.search(Everything(), limit=1_000, after=after, deadline=-1 if rounds % 2 == 0 else None)
        found += page.records
        rounds += 1
        if page.next is None:
            break
        assert not page.complete
        assert all(record.timestamp >= page.searched_to for record in page.records)
        after = page.next
    assert rounds == 2
    assert found == stored(batch)


def test_a_listing_longer_than_one_read_of_headers_is_whole(store: BaseLogStore) -> None:
    batch = entries(corpus(300), size=1)
    for entry in batch:  # a block for each line, and 256 headers are read at once
        store.append([entry])
    assert everything(store) == stored(batch)


def test_many_blocks_over_the_same_hours_are_no_trap(store: BaseLogStore) -> None:
    records = []
    for n in range(300):
        records += [
            LogRecord(START + n, Level.INFO, "a", f"early {n}"),
            LogRecord(START + codec.SPAN_MAX - 300 + n, Level.INFO, "a", f"late {n}"),
        ]
    batch = entries(records, size=2)
    for entry in batch:
        store.append([entry])
    assert everything(store, limit=50) == stored(batch)


# --- One line and its surroundings ---------------------------------------------------------------------------------


def test_a_line_is_found_by_its_position_and_others_are_not(store: BaseLogStore) -> None:
    batch = entries(corpus(200))
    store.append(batch)
    record = stored(batch)[50]
    assert store.get(record.position) == record
    assert store.get((record.timestamp, record.sequence + 1)) is None


def test_a_line_is_found_by_its_id_and_others_are_not(store: BaseLogStore) -> None:
    batch = entries(corpus(200))
    store.append(batch)
    records = stored(batch)
    record = records[50]
    assert everything(store, query.parse(f"id:{record.id}")) == [record]
    assert everything(store, query.parse(f"-id:{record.id}")) == [each for each in records if each != record]
    assert everything(store, query.parse(f"id:{record.timestamp}-*")) == [
        each for each in records if each.timestamp == record.timestamp
    ]
    assert everything(store, query.parse(f"id:*{record.id[8:]}")) == [record]
    for other in (f"{record.timestamp}-{record.sequence + 1}", f"0{record.id}", f"{record.timestamp}", "x"):
        assert everything(store, query.parse(f"id:{other}")) == []


def test_the_context_is_the_lines_around_and_the_line(store: BaseLogStore) -> None:
    batch = entries(corpus(200))
    store.append(batch)
    records = stored(batch)
    assert store.context(records[100].position, node=Everything(), before=5, after=3) == records[97:106]
    assert store.context(records[0].position, node=Everything(), before=2, after=5) == records[:3]


# --- Counting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "level:error", "service:api OR level:warn", "timeout", "-timeout", "user_id:3"])
@pytest.mark.parametrize("step", [clock.SECOND, clock.MINUTE, clock.HOUR])
@pytest.mark.parametrize("offset", [0, 12_345_678])
def test_the_histogram_counts_every_line_once(store: BaseLogStore, text: str, step: int, offset: int) -> None:
    batch = entries(corpus(900), size=90)
    store.append(batch)
    node = query.parse(text)
    start, end = START + offset - START % clock.MINUTE, START + 30 * clock.SECOND
    expected: Counter[tuple[int, Level]] = Counter(
        (record.timestamp - record.timestamp % step, record.level)
        for record in stored(batch)
        if start <= record.timestamp < end and node.matches(record)
    )
    histogram = store.histogram(node, start=start, end=end, step=step)
    counted = {(t, Level(n)): c for t, counts in histogram.buckets.items() for n, c in enumerate(counts) if c}
    assert counted == dict(expected)
    assert histogram.complete
    assert sum(histogram.totals) == sum(expected.values()) > 0
    times = sorted(histogram.buckets)
    assert times == list(range(start - start % step, end, step))


@pytest.mark.parametrize("text", ["timeout", "-timeout level:error", "user_id:3", "nowhere"])
def test_what_a_histogram_counted_is_not_unpacked_again(store: BaseLogStore, text: str) -> None:
    batch = entries(corpus(900, start=START + 25 * clock.SECOND), size=90)  # a minute ends among them
    store.append(batch)
    node, begin, end = query.parse(text), START - START % clock.MINUTE, START + clock.HOUR

    def count(start: int, end: int, step: int) -> dict[int, list[int]]:
        return store.histogram(node, start=start, end=end, step=step).buckets

    def expected(start: int, end: int, step: int) -> Counter[tuple[int, Level]]:
        found = [record for record in stored(batch) if start <= record.timestamp < end and node.matches(record)]
        return Counter((record.timestamp - record.timestamp % step, record.level) for record in found)

    spans = [(begin + offset, end - cut) for offset, cut in product((0, 7_654_321), (0, clock.HOUR - 20_000_001))]
    steps = [clock.HOUR, clock.MINUTE, 7 * clock.SECOND, clock.MINUTE, clock.HOUR]
    with patch.object(codec, "SMALL", 1):  # these blocks are remembered, too
        for span, step in product(spans, steps):
            counted = {(t, Level(n)): c for t, counts in count(*span, step).items() for n, c in enumerate(counts) if c}
            assert counted == dict(expected(*span, step))
        once = count(begin, end, clock.MINUTE)
        with patch.object(Shelf, "read", side_effect=AssertionError("a block was opened")):
            assert count(begin, end, clock.MINUTE) == once


def test_queries_that_were_asked_last_are_remembered() -> None:
    tallies = Tallies()
    first, second = query.parse("first"), query.parse("second")
    tally = Tally(True, ((0, 1, 2), (0, 2, 3)))
    with patch("logs.store.tallies.TALLIES_MAX", 8):
        for node in (first, second, first):
            tallies.of(node)
        for pk in (1, 1):
            tallies.keep(first, pk, tally)
            tallies.keep(second, pk, tally)
        assert tallies.of(first) == tallies.of(second) == {1: tally}
        tallies.keep(second, 2, tally)
        assert (tallies.of(second), tallies.of(first)) == ({1: tally, 2: tally}, {})


OF_RECORD: dict[str, Callable[[LogRecord], list[str]]] = {
    "service": lambda record: [record.service],
    "app": lambda record: [record.service],  # an alias
    "logger": lambda record: [record.logger],
    "level": lambda record: [record.level.label],
    "title": lambda record: [record.title],
    "request_id": lambda record: [record.request_id],
    "user_id": lambda record: [str(query.lookup(_metadata(record), ("user_id",)))],
    "metadata.context.userId": lambda record: [_metadata(record).get("context", {}).get("userId", "")],
    "tags": lambda record: _metadata(record).get("tags", []),
    "ok": lambda record: [json.dumps(value) for value in [_metadata(record).get("ok")] if value is not None],
    "nothing": lambda record: [],
}


def _metadata(record: LogRecord) -> Any:
    return json.loads(record.metadata)


@pytest.mark.parametrize("text", ["", "level:error", "timeout"])
@pytest.mark.parametrize("field", OF_RECORD)
def test_values_are_counted_most_frequent_first(store: BaseLogStore, text: str, field: str) -> None:
    batch = entries(corpus(900))
    store.append(batch)
    node = query.parse(text)
    found = [value for record in stored(batch) if node.matches(record) for value in OF_RECORD[field](record)]
    expected = sorted(Counter(filter(None, found)).items(), key=lambda item: (-item[1], item[0]))
    assert store.values(node, field, limit=2_000) == Values(expected, complete=True)
    assert store.values(node, field, limit=1).counts == expected[:1]


@pytest.mark.parametrize("field", ["timestamp", "id", "metadata"])
def test_what_has_no_values_to_count_is_refused(store: BaseLogStore, field: str) -> None:
    with pytest.raises(query.QueryError, match=field):
        store.values(Everything(), field)


def test_values_out_of_time_say_so(store: BaseLogStore) -> None:
    store.append(entries(corpus(100)))
    assert store.values(Everything(), "service", deadline=-1) == Values([], complete=False)


def test_values_can_be_narrowed_by_their_beginning(store: BaseLogStore) -> None:
    store.append(entries(corpus(300)))
    assert [value for value, _ in store.values(Everything(), "service", prefix="ÜBER").counts] == ["Über-Dienst"]


# --- What live viewers ask -----------------------------------------------------------------------------------------


def test_what_was_committed_after_a_number_comes_whole_and_in_order(store: BaseLogStore) -> None:
    batch = entries(corpus(500), size=100)
    numbers = [store.append([entry]).number for entry in batch]
    assert numbers == sorted(set(numbers))
    assert store.last_commit() == numbers[-1]
    backlog = store.committed_after(numbers[1], limit=10_000)
    assert backlog.newest == numbers[-1]
    assert backlog.skipped == 0
    expected = [(n, r) for n, entry in zip(numbers[2:], batch[2:], strict=True) for r in stored([entry])[::-1]]
    assert backlog.records == expected


def test_a_commit_is_the_same_after_its_blocks_were_merged(store: BaseLogStore) -> None:
    batch = entries(corpus(600), size=20)
    numbers = [store.append([entry]).number for entry in batch]
    before = [store.committed_after(number, limit=10_000) for number in numbers]
    assert store.maintain(budget=60) > 0
    assert [store.committed_after(number, limit=10_000) for number in numbers] == before


def test_of_too_many_lines_the_newest_come_and_the_rest_is_counted(store: BaseLogStore) -> None:
    batch = entries(corpus(500), size=100)
    for entry in batch:
        store.append([entry])
    backlog = store.committed_after(0, limit=250)
    assert len(backlog.records) == 200
    assert backlog.skipped == 300
    assert [record for _, record in backlog.records] == [r for entry in batch[3:] for r in stored([entry])[::-1]]


def test_an_empty_store_has_nothing_and_says_so(store: BaseLogStore) -> None:
    assert store.last_commit() == 0
    assert everything(store) == []
    assert store.committed_after(0, limit=10).records == []
    assert set(store.stats().values()) == {0}
    assert sum(store.histogram(Everything(), start=0, end=clock.HOUR, step=clock.MINUTE).totals) == 0


# --- Counting by time and value --------------------------------------------------------------------------------------


def counted(records: Collection[LogRecord], text: str, fields: list[str], step: int, start: int, end: int) -> Any:
    """What `counts` shall find, by bucket and values."""
    node = query.parse(text)
    found: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for record in records:
        bucket = record.timestamp - record.timestamp % step
        if start - start % step <= bucket < end and node.matches(record):
            for key in product(*(filter(None, OF_RECORD[name](record)) for name in fields)):
                found[bucket, key] += 1
    return dict(found)


def flat(counts: Counts) -> Any:
    found: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for bucket, key, lines in counts.lines:
        found[bucket, key] += lines
    return dict(found)


@pytest.mark.parametrize("text", ["", "level:error", "service:api OR level:warn", "timeout"])
@pytest.mark.parametrize("fields", [[], ["service"], ["service", "logger"], ["tags"], ["service", "service"]])
@pytest.mark.parametrize("step", [clock.SECOND, clock.MINUTE, clock.HOUR])
def test_lines_are_counted_by_time_and_values(store: BaseLogStore, text: str, fields: list[str], step: int) -> None:
    batch = entries(corpus(900), size=90)
    store.append(batch)
    start, end = START + 3 * clock.SECOND, START + 30 * clock.SECOND
    counts = store.counts(query.parse(text), fields, start=start, end=end, step=step)
    assert flat(counts) == counted(stored(batch), text, fields, step, start, end)
    assert counts.complete
    assert counts.lines


def test_lines_are_counted_by_their_patterns(store: BaseLogStore) -> None:
    lines = ["took 12 ms", "took 7 ms", "failed"]
    store.append(entries([LogRecord(START, Level.INFO, "a", text) for text in lines]))
    counts = store.counts(ALL, [patterns.PATTERN], start=START, end=START + clock.SECOND, step=clock.SECOND)
    assert counts.between(0, START + clock.SECOND) == {("took * ms",): 2, ("failed",): 1}


@pytest.mark.parametrize("text", ["level:error", "timeout"])
def test_what_was_counted_once_is_known_while_time_goes_on_and_blocks_are_merged(
    store: BaseLogStore, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = entries(corpus(1_200), size=10)
    known: dict[int, Sequence[Counted]] = {}
    opened = note_opened(monkeypatch)

    def ask() -> Any:
        question = query.parse(text), ["service"]
        return flat(store.counts(*question, start=START, end=START + clock.HOUR, step=clock.SECOND, known=known))

    for begin in range(0, len(batch), 30):
        store.append(batch[begin : begin + 30])
        there = stored(batch[: begin + 30])
        assert ask() == counted(there, text, ["service"], clock.SECOND, START, START + clock.HOUR)
        assert len(opened) == len(set(opened))
        opened.clear()
        assert ask()
        assert not opened
        if begin == 60:
            store.maintain(budget=60)
            opened.clear()
    assert ask() == counted(stored(batch), text, ["service"], clock.SECOND, START, START + clock.HOUR)


def test_what_was_counted_before_a_deadline_is_known_afterwards(
    store: BaseLogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = entries(corpus(1_500), size=100)
    store.append(batch)
    known: dict[int, Sequence[Counted]] = {}
    looks = 0

    def late(stop: reading.Stop) -> bool:
        nonlocal looks
        looks += 1
        stop.late = stop.late or looks % 5 == 0
        return stop.late

    monkeypatch.setattr(reading.Stop, "now", late)
    question = query.parse("timeout"), ["service"]
    rounds = [
        store.counts(*question, start=START, end=START + clock.HOUR, step=clock.SECOND, known=known) for _ in range(9)
    ]
    assert not rounds[0].complete
    assert rounds[-1].complete
    assert flat(rounds[-1]) == counted(stored(batch), "timeout", ["service"], clock.SECOND, START, START + clock.HOUR)


def test_counting_ends_when_there_are_too_many_different_values(store: BaseLogStore) -> None:
    for entry in entries(corpus(1_500), size=100):
        store.append([entry])
    counts = store.counts(ALL, ["user_id"], start=START, end=START + clock.HOUR, step=clock.SECOND, most=300)
    assert not counts.complete
    assert 300 < len(counts.lines) < 400


# --- Upkeep --------------------------------------------------------------------------------------------------------


def test_merging_makes_few_blocks_of_many_and_changes_no_line(store: BaseLogStore) -> None:
    batch = entries(corpus(3_000), size=10)
    for begin in range(0, len(batch), 3):
        store.append(batch[begin : begin + 3])
    many = store.stats()
    store.maintain(budget=60)
    few = store.stats()
    assert few["blocks"] < many["blocks"] / 10
    assert (few["lines"], few["oldest"], few["newest"]) == (many["lines"], many["oldest"], many["newest"])
    assert everything(store) == stored(batch)
    assert store.maintain(budget=60) == 0


def test_readers_see_every_line_once_while_blocks_are_merged(store: BaseLogStore) -> None:
    batch = entries(corpus(1_500), size=5)
    expected = stored(batch)
    for entry in batch:
        store.append([entry])
    merged = threading.Event()
    errors: list[BaseException] = []

    def merge() -> None:
        try:
            while store.maintain(budget=0.02) and not merged.is_set():
                pass
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connections.close_all()

    merger = threading.Thread(target=merge)
    merger.start()
    rounds = 0
    try:
        while merger.is_alive() or rounds < 3:
            assert everything(store, limit=200) == expected
            assert (
                sum(store.histogram(Everything(), start=START, end=START + clock.DAY, step=clock.HOUR).totals) == 1_500
            )
            rounds += 1
    finally:
        merged.set()
        merger.join()
    assert errors == []


def test_what_is_older_is_deleted_and_counted(store: BaseLogStore) -> None:
    old = entries(corpus(200))
    new = entries(corpus(200, start=START + clock.DAY), first=100)
    store.append([*old, *new])
    assert store.delete_before(START + clock.DAY) == 200
    assert everything(store) == stored(new)
    assert store.delete_before(START + clock.DAY) == 0


def test_a_file_gives_room_back_after_a_deletion() -> None:
    store = BlockStore(database="logs")
    for n in range(60):
        store.append(entries(corpus(500, seed=n), first=n * 10))

    def pages() -> int:
        with connections["logs"].cursor() as cursor:
            return int(cursor.execute("PRAGMA page_count").fetchone()[0])

    full = pages()
    store.drop_oldest(1 << 40)
    for _ in range(5):
        store.maintain(budget=1)
    assert pages() < full / 2


def test_some_levels_and_services_can_go_earlier(store: BaseLogStore) -> None:
    batch = entries(corpus(600))
    store.append(batch)
    assert store.maintain(budget=60) > 0
    low = frozenset({Level.TRACE, Level.DEBUG})
    cutoff = START + clock.DAY

    def stays(record: LogRecord) -> bool:
        return record.level not in low or record.service == "billing"

    expected = [record for record in stored(batch) if stays(record)]
    assert store.delete_before(START, levels=low) == 0
    deleted = store.delete_before(cutoff, levels=low, except_services=frozenset({"billing"}))
    assert deleted == 600 - len(expected) > 0
    assert everything(store) == expected
    assert store.delete_before(cutoff, services=frozenset({"api"})) == sum(r.service == "api" for r in expected)
    assert everything(store) == [record for record in expected if record.service != "api"]


def test_what_is_left_of_a_commit_is_still_that_commit(store: BaseLogStore) -> None:
    batch = entries(corpus(300))
    first = store.append(batch[:1]).number
    store.append(batch[1:])
    store.delete_before(START + clock.DAY, levels=frozenset({Level.INFO}))
    backlog = store.committed_after(first, limit=10_000)
    expected = [record for record in stored(batch[1:])[::-1] if record.level is not Level.INFO]
    assert [record for _, record in backlog.records] == expected


def test_a_deletion_out_of_time_stops_where_it_is(store: BaseLogStore) -> None:
    store.append(entries(corpus(400), size=20))
    assert store.delete_before(START + clock.DAY, levels=frozenset({Level.INFO}), budget=-1) == 0


def test_the_oldest_go_first_when_room_is_needed(store: BaseLogStore) -> None:
    for day in range(4):
        store.append(entries(corpus(200, seed=day, start=START + day * clock.DAY), first=day * 10))
    before = store.stats()
    dropped = store.drop_oldest(before["bytes"] // 2)
    after = store.stats()
    assert dropped.bytes >= before["bytes"] // 2
    assert before["bytes"] - after["bytes"] == dropped.bytes
    assert before["lines"] - after["lines"] == dropped.lines
    assert after["oldest"] > dropped.newest > 0
    assert store.drop_oldest(0) == Dropped(0, 0, 0)


def test_usage_tells_what_each_service_takes_each_day(store: BaseLogStore) -> None:
    days = [entries(corpus(200, seed=day, start=START + day * clock.DAY), first=day * 10) for day in range(2)]
    store.append(days[0])
    store.append(days[1])
    counted = Counter(
        (record.timestamp - record.timestamp % clock.DAY, record.service) for day in days for record in stored(day)
    )
    usage = store.usage()
    assert {(each.day, each.service): each.lines for each in usage} == dict(counted)
    assert sum(each.bytes for each in usage) == pytest.approx(store.stats()["bytes"], abs=len(usage))


@pytest.mark.parametrize("column", ["header", "times", "sequences", "labels", "texts", "ids", "metadata"])
def test_a_damaged_block_costs_itself_and_says_so(
    store: BaseLogStore, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(store, BlockStore)
    batch = entries(corpus(300))
    for entry in batch:
        store.append([entry])
    block = LogBlock.objects.using(store.database).order_by("first")[1]
    data = bytearray(getattr(block, column))
    data[len(data) // 2] ^= 0x55
    LogBlock.objects.using(store.database).filter(pk=block.pk).update(**{column: bytes(data)})
    lost = set(stored([batch[1]]))

    found = store.search(query.parse("-nothing-has-this"), limit=1_000).records
    assert found == [record for record in stored(batch) if record not in lost]
    assert next(each.message for each in caplog.records if each.levelname == "ERROR").startswith("Log block")
    histogram = store.histogram(query.parse("-nothing"), start=START, end=START + clock.HOUR, step=clock.HOUR)
    assert sum(histogram.totals) in (200, 300)  # counting doesn't open every column
    assert len(store.committed_after(0, limit=1_000).records) == 200
    assert store.usage()
    store.maintain(budget=60)
    assert store.search(Everything(), limit=1_000).records == found
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1


@pytest.fixture
def when_opening(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Runs something once, right when a reader is about to open its first block."""
    waiting: list[Callable[[], object]] = []
    real = Shelf.read

    def opening(self: Shelf, pks: Collection[int], names: Collection[str]) -> Any:
        if waiting:
            waiting.pop()()
        return real(self, pks, names)

    monkeypatch.setattr(Shelf, "read", opening)
    return waiting.append


@pytest.mark.parametrize("direction", ["older", "newer"])
def test_a_block_that_goes_between_listing_and_opening_costs_no_line(
    store: BaseLogStore, when_opening: Callable[[Callable[[], object]], None], direction: str
) -> None:
    batch = entries(corpus(400), size=10)
    for entry in batch:
        store.append([entry])
    when_opening(lambda: store.maintain(budget=60))
    page = store.search(Everything(), limit=400, direction=direction, after=None)  # type: ignore[arg-type]
    assert page.records == stored(batch)


def test_levels_are_counted_by_name_in_the_order_of_severity(store: BaseLogStore) -> None:
    store.append(entries([LogRecord(START, Level.FATAL, "a", "x"), LogRecord(START, Level.TRACE, "a", "y")]))
    totals = store.histogram(Everything(), start=START, end=START + clock.SECOND, step=clock.SECOND).totals
    assert dict(zip(LEVELS, totals, strict=True)) == {
        "trace": 1, "debug": 0, "info": 0, "warn": 0, "error": 0, "fatal": 1
    }  # fmt: skip


@pytest.mark.postgres
def test_postgresql_does_not_compress_again_what_is_compressed() -> None:
    with connections["postgres"].cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE relname = 'logs_logblock' AND attstorage = 'e' ORDER BY attname"
        )
        external = [name for (name,) in cursor.fetchall()]
    assert external == ["commits", "header", "ids", "labels", "metadata", "sequences", "texts", "times"]


# --- Many questions at once ----------------------------------------------------------------------------------------


def test_what_one_question_opened_lies_open_for_the_next(store: BaseLogStore, reads: list[int]) -> None:
    batch = entries(corpus(900), size=90)
    store.append(batch)
    desk = store.at_once()
    for text in ("timeout", "user_id:3", "level:error request_id:r-7*", "timeout"):
        counts = desk.counts(query.parse(text), ["service"], start=START, end=START + clock.HOUR, step=clock.SECOND)
        assert flat(counts) == counted(stored(batch), text, ["service"], clock.SECOND, START, START + clock.HOUR)
    assert len(reads) == len(set(reads)) == 10


def test_a_desk_keeps_few_blocks_open_and_counts_all(store: BaseLogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "DESK_LINES", 200)
    batch = entries(corpus(900), size=90)
    store.append(batch)
    desk = store.at_once()
    for text in ("timeout", "user_id:3"):
        counts = desk.counts(query.parse(text), start=START, end=START + clock.HOUR, step=clock.SECOND)
        assert flat(counts) == counted(stored(batch), text, [], clock.SECOND, START, START + clock.HOUR)


def test_a_desk_looks_again_when_blocks_were_merged(store: BaseLogStore) -> None:
    batch = entries(corpus(900), size=9)
    for entry in batch:
        store.append([entry])
    desk = store.at_once()
    asked: Any = {"start": START, "end": START + clock.HOUR, "step": clock.SECOND}
    assert desk.counts(query.parse("level:error"), **asked).lines
    store.maintain(budget=60)
    counts = desk.counts(query.parse("timeout"), **asked)
    assert flat(counts) == counted(stored(batch), "timeout", [], clock.SECOND, START, START + clock.HOUR)
