"""Days in the archive: written, added to, restored, and what happens when something is away, killed or damaged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from kombu.exceptions import OperationalError
from pytest_django import Settings

from core import clock
from logs import archive, checks, objects, retention, tasks
from logs.models import ArchivedDay, LogBlock, StoreEvent
from logs.objects import Storage, StorageError
from logs.query import Everything
from logs.records import Level, LogRecord
from logs.store import codec, log_stores
from logs.store.blocks import BlockStore
from logs.store.shelf import Moved
from tests.logs.corpus import START, corpus, entries
from tests.logs.s3 import Bucket, s3

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

DAY = START - START % clock.DAY
TODAY = DAY + 8 * clock.DAY
NOW = TODAY + 10 * clock.HOUR
FIRST = clock.moment(DAY).date()
PLENTY = 60.0
State = ArchivedDay.State


@pytest.fixture(params=["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> BlockStore:
    return BlockStore(database=request.param)


class Time:
    now = NOW


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The clock stands still; a test sets it."""
    clock_of_the_test = Time()
    monkeypatch.setattr(clock, "now", lambda: clock_of_the_test.now)
    return clock_of_the_test


@pytest.fixture(autouse=True)
def lease_is_free(redis_client: redis.Redis) -> redis.Redis:
    return redis_client


@pytest.fixture(autouse=True)
def place(tmp_path: Path, settings: Settings) -> Path:
    """The archive's directory."""
    directory = tmp_path / "archive"
    directory.mkdir()
    settings.LOG_ARCHIVE_URL = str(directory)
    settings.LOG_ARCHIVE_AFTER_DAYS = 3
    settings.LOG_RETENTION_DAYS, settings.LOG_RETENTION_DEBUG_DAYS = 5, 5
    return directory


@pytest.fixture
def small_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object for each block."""
    monkeypatch.setattr(objects.pack, "__defaults__", (1,))


@pytest.fixture
def bucket(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with s3() as made:
        environment = {"ENDPOINT_URL": made.url, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "s", "REGION": "x"}
        for name, value in environment.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        settings.LOG_ARCHIVE_URL = "s3://bucket/logs/"
        yield made


def fill(store: BlockStore, day: int = 0, lines: int = 300, seed: int = 0) -> None:
    """Lines of a day, counted from the first, around noon; each call has a commit of its own."""
    records = corpus(lines, seed=day * 10 + seed, start=DAY + day * clock.DAY + 12 * clock.HOUR + seed * clock.HOUR)
    for number, entry in enumerate(entries(records, first=day * 100_000 + seed * 1_000)):
        store.append([entry])
        assert number < 1_000


def held(store: BlockStore, day: int | None = None) -> list[LogRecord]:
    span = (None, None) if day is None else (DAY + day * clock.DAY, DAY + (day + 1) * clock.DAY)
    return store.search(Everything(), start=span[0], end=span[1], limit=100_000).records


def day_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def row(number: int = 0) -> ArchivedDay:
    return ArchivedDay.objects.get(day=day_of(number))


def manifest(place: Path, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / str(day_of(number)) / "manifest.json").read_text())
    return found


def files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def restore(store: BlockStore, number: int = 0) -> None:
    assert archive.ask_to_restore([day_of(number)]) == 1
    archive.run(store, write=False)


# --- There and back ------------------------------------------------------------------------------------------------


def round_trip(store: BlockStore) -> None:
    fill(store)
    fill(store, day=1)
    before = held(store)
    assert archive.run(store) == 2
    store.delete_before(TODAY)
    assert held(store) == []
    restore(store)
    restore(store, 1)
    assert held(store) == before
    assert [store.get(record.position) for record in before[:20]] == before[:20]


def test_what_was_archived_and_deleted_comes_back_to_the_byte(store: BlockStore, place: Path) -> None:
    round_trip(store)
    assert list(files(place)) == [f"{day_of(n)}/{name}" for n in (0, 1) for name in ("000.pharos", "manifest.json")]


def test_object_storage_is_as_good_as_a_directory(store: BlockStore, bucket: Bucket) -> None:
    round_trip(store)
    assert sorted(bucket.objects) == [
        f"bucket/logs/{day_of(n)}/{name}" for n in (0, 1) for name in ("000.pharos", "manifest.json")
    ]


def test_blocks_are_archived_as_they_are(store: BlockStore, place: Path) -> None:
    fill(store)
    stored = LogBlock.objects.using(store.database).order_by("first", "pk")
    columns = list(stored.values_list("times", "texts", "base"))
    archive.run(store)
    blocks = list(objects.unpack((place / str(FIRST) / "000.pharos").read_bytes()))
    assert [(block.times, block.texts, block.base) for block in blocks] == [
        (bytes(times), bytes(texts), base) for times, texts, base in columns
    ]


def test_the_manifest_and_the_row_say_what_is_there(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    found, lines = manifest(place), held(store)
    assert (found["version"], found["day"], found["lines"]) == (1, str(FIRST), 300)
    assert (found["first"], found["last"]) == (clock.iso(lines[-1].timestamp), clock.iso(lines[0].timestamp))
    assert found["services"]["api"] == sum(record.service == "api" for record in lines)
    assert [each["name"] for each in found["objects"]] == ["000.pharos"]
    archived = row()
    assert (archived.state, archived.lines, archived.bytes) == (State.ARCHIVED, 300, found["bytes"])
    assert archived.services == found["services"]
    assert archived.location == str(place)


def test_only_days_that_are_old_enough_and_complete_are_archived(store: BlockStore) -> None:
    for day in range(9):
        fill(store, day, lines=5)
    archive.run(store)
    # Today is day 8; three days ago was within day 5, so that day 4 was over.
    assert [each.day for each in ArchivedDay.objects.order_by("day")] == [day_of(n) for n in range(5)]


def test_the_second_run_has_nothing_to_do(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    before = files(place)
    assert archive.run(store) == 0
    assert files(place) == before


def test_a_day_may_take_several_objects(store: BlockStore, place: Path, small_objects: None) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    assert len(manifest(place)["objects"]) == 3
    store.delete_before(TODAY)
    restore(store)
    assert held(store) == lines


def test_no_block_reaches_past_midnight(store: BlockStore, place: Path) -> None:
    midnight = DAY + clock.DAY
    records = [LogRecord(midnight + n, Level.INFO, "api", f"{n}") for n in range(-5, 5)]
    store.append(entries(records, ready=False))
    store.append(entries([LogRecord(midnight + n, Level.INFO, "api", f"late {n}") for n in (-9, 9)], first=1))
    store.maintain(PLENTY)
    archive.run(store)
    assert [manifest(place, n)["lines"] for n in (0, 1)] == [6, 6]


def test_without_an_address_nothing_is_archived(store: BlockStore, settings: Settings) -> None:
    settings.LOG_ARCHIVE_URL = ""
    fill(store)
    assert archive.run(store) == 0
    assert not ArchivedDay.objects.exists()


def test_only_one_process_works_on_the_archive(store: BlockStore, redis_client: redis.Redis) -> None:
    fill(store)
    with redis_client.lock(archive.LEASE):
        assert archive.run(store) == 0
    assert archive.run(store) == 1


# --- Late lines ----------------------------------------------------------------------------------------------------


def test_late_lines_are_added_and_nothing_is_written_again(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    first = files(place)[f"{FIRST}/000.pharos"]
    fill(store, lines=120, seed=1)
    store.maintain(PLENTY)  # merges old and late lines into one block
    assert archive.run(store) == 1
    found = manifest(place)
    assert [each["lines"] for each in found["objects"]] == [300, 120]
    assert found["lines"] == row().lines == 420
    assert files(place)[f"{FIRST}/000.pharos"] == first
    lines = held(store)
    store.delete_before(TODAY)
    restore(store)
    assert held(store) == lines


def test_late_lines_of_a_day_whose_other_lines_are_gone_lose_nothing(store: BlockStore) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    store.delete_before(TODAY)
    fill(store, lines=50, seed=1)
    lines += held(store)
    archive.run(store)
    restore(store)
    assert sorted(held(store), key=lambda record: record.position) == sorted(lines, key=lambda record: record.position)


def test_a_day_with_late_lines_is_marked_until_they_are_written(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    fill(store, lines=10, seed=1)
    seen = []

    def note(*_: Any) -> None:
        seen.append(row().state)
        raise StorageError("the disk is full")

    with patch.object(Storage, "manifest", note):
        assert archive.run(store) == 0
    assert seen == [State.STALE]
    assert (row().state, row().error) == (State.FAILED, "the disk is full")
    archive.run(store)
    assert (row().state, row().error, row().lines) == (State.ARCHIVED, "", 310)


def test_lines_that_retention_deleted_stay_in_the_archive(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    store.delete_before(TODAY, levels=frozenset({Level.DEBUG, Level.INFO}))
    assert archive.run(store) == 0
    assert manifest(place)["lines"] == 300


# --- Killed, away, changing ----------------------------------------------------------------------------------------


class KilledError(BaseException):
    """As if the process ended there."""


def killed(after: int, method: str) -> Any:
    """The call number `after` of a method of Storage is the last thing that the process does."""
    original: Callable[..., Any] = getattr(Storage, method)
    calls = []

    def dies(self: Storage, *args: Any, **options: Any) -> Any:
        calls.append(args)
        done = original(self, *args, **options)
        if len(calls) == after:
            raise KilledError
        return done

    return patch.object(Storage, method, dies)


@pytest.mark.parametrize(("method", "after"), [("put", 1), ("put", 2), ("put", 3), ("put", 4), ("put_manifest", 1)])
@pytest.mark.usefixtures("small_objects")
def test_a_run_that_was_killed_anywhere_is_done_again_with_the_same_end(
    store: BlockStore, place: Path, method: str, after: int
) -> None:
    fill(store)
    with killed(after, method), pytest.raises(KilledError):
        archive.run(store)
    # The fourth object is the manifest.
    assert (place / str(FIRST) / "manifest.json").exists() == (after == 4 or method == "put_manifest")
    archive.run(store)
    assert row().state == State.ARCHIVED
    found = manifest(place)
    assert [each["name"] for each in found["objects"]] == ["000.pharos", "001.pharos", "002.pharos"]
    assert (found["lines"], row().lines) == (300, 300)
    assert len(files(place)) == 4


@pytest.mark.usefixtures("small_objects")
def test_what_an_attempt_left_is_cleared_away(store: BlockStore, place: Path) -> None:
    fill(store)
    (place / str(FIRST)).mkdir()
    for name in ("007.pharos", "notes.txt"):
        (place / str(FIRST) / name).write_text("left")
    archive.run(store)
    assert len(list((place / str(FIRST)).glob("*.pharos"))) == 3
    assert (place / str(FIRST) / "notes.txt").exists()


def test_object_storage_that_is_away_is_said_and_tried_again(
    store: BlockStore, bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "RETRIES", 0)
    fill(store)
    bucket.broken = True
    with caplog.at_level(logging.ERROR, "logs.archive"):
        assert archive.run(store) == 0
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("The archive can't be used, tried again within the hour: s3://bucket/logs")
    assert row().state == State.FAILED
    assert row().error.startswith("s3://bucket/logs")
    bucket.broken = False
    assert archive.run(store) == 1
    assert (row().state, row().error) == (State.ARCHIVED, "")


def test_a_directory_that_is_not_there_is_not_made(store: BlockStore, place: Path) -> None:
    place.rmdir()
    fill(store)
    assert archive.run(store) == 0
    assert not place.exists()
    assert str(place) in row().error
    place.mkdir()
    assert archive.run(store) == 1


def test_a_write_that_was_cut_short_is_found_before_the_manifest(store: BlockStore, place: Path) -> None:
    fill(store)
    original = Storage.put

    def cut(self: Storage, path: str, data: bytes) -> None:
        original(self, path, data[:-10] if path.endswith(".pharos") else data)

    with patch.object(Storage, "put", cut):
        archive.run(store)
    assert "000.pharos must have" in row().error
    assert not (place / str(FIRST) / "manifest.json").exists()


def test_blocks_that_are_merged_meanwhile_are_read_again(store: BlockStore, place: Path) -> None:
    fill(store)
    original, calls = BlockStore.export_blocks, []

    def moving(self: BlockStore, *args: Any, **options: Any) -> Iterator[codec.Block]:
        calls.append(args)
        blocks = original(self, *args, **options)
        yield next(blocks)
        if len(calls) == 1:
            raise Moved
        yield from blocks

    with patch.object(BlockStore, "export_blocks", moving):
        assert archive.run(store) == 1
    assert manifest(place)["lines"] == 300


def test_a_block_that_upkeep_took_is_noticed(store: BlockStore) -> None:
    fill(store, lines=50 * 100)
    blocks = store.export_blocks((DAY, DAY + clock.DAY), after=0, upto=1 << 40)
    next(blocks)
    store.delete_before(TODAY)
    with pytest.raises(Moved):
        list(blocks)


def test_the_archive_of_a_lost_database_is_found(store: BlockStore) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    ArchivedDay.objects.all().delete()
    store.delete_before(TODAY)
    archive.run(store)
    assert (row().state, row().lines) == (State.ARCHIVED, 300)
    restore(store)
    assert held(store) == lines


@pytest.mark.parametrize("known", [True, False])
def test_a_damaged_manifest_holds_up_no_other_day(store: BlockStore, place: Path, known: bool) -> None:
    fill(store)
    archive.run(store)
    (place / str(FIRST) / "manifest.json").write_text("{")
    (place / "2026-02-31").mkdir()
    if not known:
        ArchivedDay.objects.all().delete()
    fill(store, lines=20, seed=1)
    fill(store, day=1)
    assert archive.run(store) == 1
    assert row().state == State.FAILED
    assert "manifest.json is damaged" in row().error
    assert row(1).state == State.ARCHIVED


def test_a_day_whose_late_lines_were_deleted_is_in_order_again(store: BlockStore) -> None:
    fill(store)
    archive.run(store)
    fill(store, lines=20, seed=1)
    with patch.object(Storage, "manifest", side_effect=StorageError("away")):
        archive.run(store)
    assert row().state == State.FAILED
    store.delete_before(TODAY)
    archive.run(store)
    assert (row().state, row().error) == (State.ARCHIVED, "")


# --- Restoring -----------------------------------------------------------------------------------------------------


def test_restoring_twice_doubles_nothing(store: BlockStore) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    store.delete_before(TODAY)
    restore(store)
    restore(store)
    assert held(store) == lines
    assert store.stats()["lines"] == store.stats()["restored_lines"] == 300


def test_lines_that_were_still_there_are_not_doubled(store: BlockStore) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    store.delete_before(TODAY, services=frozenset({"api"}))
    left = len(held(store))
    assert 0 < left < 300
    restore(store)
    assert held(store) == lines
    assert store.stats()["restored_lines"] == 300 - left


@pytest.mark.usefixtures("small_objects")
def test_a_restore_that_was_killed_goes_on(store: BlockStore) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    store.delete_before(TODAY)
    archive.ask_to_restore([FIRST])
    with killed(2, "blocks"), pytest.raises(KilledError):
        archive.run(store)
    assert (row().state, row().progress) == (State.RESTORING, "1 of 3 blocks")
    archive.run(store)
    assert (row().state, row().progress) == (State.RESTORED, "")
    assert held(store) == lines


def test_no_live_viewer_is_shown_restored_lines(store: BlockStore) -> None:
    fill(store)
    archive.run(store)
    store.delete_before(TODAY)
    newest = store.last_commit()
    restore(store)
    assert store.last_commit() == newest
    assert store.committed_after(0, limit=10_000).records == []


@pytest.mark.usefixtures("small_objects")
def test_restored_lines_are_neither_merged_nor_archived_again(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    store.delete_before(TODAY)
    restore(store)
    store.append(entries(corpus(20, seed=7, start=DAY + 12 * clock.HOUR), first=5_000))
    lines = held(store)
    store.maintain(PLENTY)
    archive.run(store)
    assert held(store) == lines
    assert manifest(place)["lines"] == 320
    assert store.stats()["restored_lines"] == 300


def test_retention_may_take_some_of_the_restored_lines(store: BlockStore) -> None:
    fill(store)
    archive.run(store)
    store.delete_before(TODAY)
    restore(store)
    store.delete_before(TODAY, services=frozenset({"api"}))
    left = held(store)
    assert left
    assert "api" not in {record.service for record in left}
    assert store.stats()["restored_lines"] == len(left)


@pytest.mark.usefixtures("small_objects")
@pytest.mark.parametrize("harm", ["flip", "cut", "gone", "another"])
def test_a_damaged_object_is_named_and_costs_only_its_own_lines(
    store: BlockStore, place: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store)
    archive.run(store)
    store.delete_before(TODAY)
    path = place / str(FIRST) / "001.pharos"
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "another":
        path.write_bytes((path.parent / "002.pharos").read_bytes())
    else:
        path.write_bytes(data[:-1] if harm == "cut" else data[:900] + bytes([data[900] ^ 1]) + data[901:])
    with caplog.at_level(logging.ERROR, "logs.archive"):
        restore(store)
    assert str(path) in row().error
    assert str(path) in caplog.text
    assert row().state == State.RESTORED
    assert len(held(store)) == 200


def test_a_block_that_was_damaged_in_the_store_costs_only_itself(store: BlockStore) -> None:
    fill(store)
    blocks = LogBlock.objects.using(store.database)
    blocks.filter(pk=blocks.order_by("first")[1].pk).update(times=b"nonsense")
    archive.run(store)
    store.delete_before(TODAY)
    restore(store)
    assert "A block of" in row().error
    assert store.stats()["lines"] == 200


def test_a_day_without_its_manifest_says_so(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    (place / str(FIRST) / "manifest.json").unlink()
    restore(store)
    assert row().error.endswith("manifest.json is not there")


def test_restored_days_stay_for_a_week_and_go(store: BlockStore, time: Time) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    time.now += 30 * clock.DAY
    retention.retain(store, PLENTY, time.now)
    assert held(store) == []
    restore(store)
    time.now += 7 * clock.DAY - 1
    retention.retain(store, PLENTY, time.now)
    archive.run(store)
    assert held(store) == lines
    time.now += 1
    retention.retain(store, PLENTY, time.now)
    archive.run(store)
    assert held(store) == []
    assert (row().state, row().restored_until) == (State.ARCHIVED, None)


def test_lines_that_were_never_gone_stay_as_long_as_the_restored_ones(store: BlockStore, time: Time) -> None:
    fill(store)
    lines = held(store)
    archive.run(store)
    store.delete_before(TODAY, levels=frozenset({Level.DEBUG}))
    restore(store)
    time.now += 5 * clock.DAY
    retention.retain(store, PLENTY, time.now)
    assert held(store) == lines


def test_the_disk_budget_leaves_restored_days_alone_and_does_not_count_them(store: BlockStore) -> None:
    fill(store, lines=1_000)
    lines = held(store)
    archive.run(store)
    store.delete_before(TODAY)
    restore(store)
    fill(store, day=1)
    fill(store, day=2)
    size = store.stats()["bytes"] - store.stats()["restored_bytes"]
    assert retention.enforce_disk_budget(store, size, NOW) is None
    assert retention.enforce_disk_budget(store, size - 1, NOW) is not None
    assert held(store, 0) == lines


def test_removing_takes_what_was_restored_and_no_other_line(store: BlockStore) -> None:
    fill(store)
    archive.run(store)
    store.delete_before(TODAY, services=frozenset({"api"}))
    left = held(store)
    restore(store)
    assert archive.ask_to_remove([FIRST]) == 1
    archive.run(store)
    assert held(store) == left
    assert (row().state, row().restored_until) == (State.ARCHIVED, None)
    assert archive.ask_to_remove([FIRST]) == 0


@pytest.mark.usefixtures("small_objects")
def test_a_restore_can_be_stopped(store: BlockStore) -> None:
    fill(store)
    archive.run(store)
    store.delete_before(TODAY)
    archive.ask_to_restore([FIRST])
    original = Storage.blocks

    def stop(self: Storage, *args: Any) -> list[codec.Block]:
        archive.ask_to_remove([FIRST])
        return original(self, *args)

    with patch.object(Storage, "blocks", stop):
        archive.run(store)
    assert held(store) == []
    assert row().state == State.ARCHIVED


# --- Retention waits for the archive --------------------------------------------------------------------------------


def test_no_line_is_deleted_by_age_before_its_day_is_archived(
    store: BlockStore, caplog: pytest.LogCaptureFixture, place: Path, time: Time
) -> None:
    for day in (0, 1, 2):
        fill(store, day, lines=10)
    archive.run(store)
    row(1).delete()
    (place / str(day_of(1)) / "manifest.json").unlink()
    with caplog.at_level(logging.WARNING, "logs.retention"):
        for _ in range(3):
            retention.retain(store, PLENTY, NOW)
    assert [len(held(store, day)) for day in (0, 1, 2)] == [0, 10, 10]

    def said() -> list[str]:
        return [each.message for each in caplog.records if each.levelno == logging.WARNING]

    sentence = f"{day_of(1)} should be in the archive and isn't: from there on no line is deleted by age."
    assert said() == [sentence]
    assert StoreEvent.objects.get(kind=retention.HELD).detail == {"sentence": sentence}
    assert sentence in archive.sentences(store, NOW)
    retention.retain(store, PLENTY, NOW + clock.DAY)
    assert said() == [sentence] * 2
    archive.run(store)
    retention.retain(store, PLENTY, NOW)
    assert [len(held(store, day)) for day in (0, 1, 2)] == [0, 0, 0]


def test_a_day_that_is_not_due_yet_is_waited_for_in_silence(store: BlockStore, settings: Settings) -> None:
    settings.LOG_RETENTION_DEBUG_DAYS = 1
    fill(store, 6)
    retention.retain(store, PLENTY, NOW)
    assert len(held(store)) == 300
    assert not StoreEvent.objects.exists()


def test_without_an_archive_retention_is_as_ever(store: BlockStore, settings: Settings) -> None:
    settings.LOG_ARCHIVE_URL = ""
    fill(store)
    retention.retain(store, PLENTY, NOW)
    assert held(store) == []


def test_the_disk_budget_does_not_wait_and_says_so(store: BlockStore, caplog: pytest.LogCaptureFixture) -> None:
    fill(store, 0)
    archive.run(store)
    fill(store, 1)
    fill(store, 2)
    size = store.stats()["bytes"]
    with caplog.at_level(logging.WARNING, "logs.retention"):
        retention.enforce_disk_budget(store, size - 1, NOW)
        assert "not in the archive" not in caplog.messages[-1]
        retention.enforce_disk_budget(store, size // 2, NOW)
    assert caplog.messages[-1].endswith("; some were not in the archive yet")
    assert StoreEvent.objects.first().detail["unarchived"] is True  # type: ignore[union-attr]


# --- Objects -------------------------------------------------------------------------------------------------------


def test_an_object_gives_back_its_blocks_and_none_that_was_changed() -> None:
    blocks = codec.encode(corpus(5_000))
    data = b"".join(part for part, _ in objects.pack(blocks))
    assert [codec.dump(block) for block in objects.unpack(data)] == [codec.dump(block) for block in blocks]
    for harmed in (data[:-1], data[:20], b"x" + data[1:], data[:500] + b"\x00\x01" + data[502:], b""):
        with pytest.raises(ValueError, match=r"it |block "):
            list(objects.unpack(harmed))


def test_objects_are_bounded() -> None:
    parts = list(objects.pack(codec.encode(corpus(20_000)), size=100_000))
    assert len(parts) > 2
    assert all(100_000 <= len(data) < 300_000 for data, _ in parts[:-1])
    assert sum(contents.lines for _, contents in parts) == 20_000


def test_a_manifest_of_a_later_version_is_refused(store: BlockStore, place: Path) -> None:
    fill(store)
    archive.run(store)
    path = place / str(FIRST) / "manifest.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(StorageError, match="was written by a newer Pharos"):
        Storage(str(place)).manifest(FIRST)


# --- Settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["backup", "ftp://host/logs", "s3://", "file://logs", "file:", "https://host/logs", "az://container/logs"]
)
def test_an_address_that_cannot_be_is_refused(settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    settings.LOG_ARCHIVE_URL = url
    (found,) = checks.log_settings(None)
    assert found.id == "logs.E004"
    assert found.msg.startswith("PHAROS_ARCHIVE_URL")
    assert found.hint


@pytest.mark.parametrize("url", ["", "s3://bucket", "s3://bucket/logs", "gs://bucket/logs"])
def test_an_address_that_can_be_is_not(settings: Settings, url: str) -> None:
    settings.LOG_ARCHIVE_URL = url
    assert checks.log_settings(None) == []


def test_a_directory_has_two_spellings(settings: Settings, place: Path) -> None:
    for url in (str(place), f"file://{place}"):
        settings.LOG_ARCHIVE_URL = url
        assert checks.log_settings(None) == []
        Storage(url).put("2026-01-01/x", b"1")


def test_a_directory_that_is_away_is_a_warning(settings: Settings, place: Path) -> None:
    place.rmdir()
    assert [found.id for found in checks.log_settings(None)] == ["logs.W001"]


def test_lines_must_live_until_they_are_archived(settings: Settings) -> None:
    settings.LOG_ARCHIVE_AFTER_DAYS = 5
    assert [found.id for found in checks.log_settings(None)] == ["logs.E005"]
    settings.LOG_RETENTION_DAYS = 0
    assert checks.log_settings(None) == []


# --- Where people meet it --------------------------------------------------------------------------------------------

LIST = "/admin/logs/archivedday/"


@pytest.fixture
def default(place: Path) -> BlockStore:
    """The store of the installation, with a day in the archive."""
    store = log_stores["default"]
    assert isinstance(store, BlockStore)
    fill(store)
    archive.run(store)
    store.delete_before(TODAY)
    return store


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are done where they are asked for."""
    monkeypatch.setattr(tasks.archive, "delay", tasks.archive)


@pytest.mark.usefixtures("at_once")
def test_a_day_is_restored_and_removed_in_the_admin(admin: Client, default: BlockStore) -> None:
    chosen = {"_selected_action": [row().pk]}
    assert str(FIRST.year) in admin.get(LIST).content.decode()
    answer = admin.post(LIST, {"action": "restore", **chosen}, follow=True).content.decode()
    assert "Days that are being restored: 1." in answer
    assert "archived and restored" in answer
    assert len(held(default)) == 300
    usage = admin.get("/logs/usage/").content.decode()
    assert "300 of them restored from the archive" in usage
    assert f"{FIRST} is restored until" in usage
    admin.post(LIST, {"action": "remove_restored", **chosen})
    assert held(default) == []


def test_the_list_shows_how_far_it_is(admin: Client, default: BlockStore) -> None:
    ArchivedDay.objects.update(state=State.RESTORING, blocks_done=12, blocks_all=4_000)
    assert "12 of 4,000 blocks" in admin.get(LIST).content.decode()
    assert "12 of 4,000 blocks" in admin.get(f"{LIST}{row().pk}/change/").content.decode()


def test_nobody_changes_adds_or_deletes_days(admin: Client, default: BlockStore) -> None:
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(f"{LIST}{row().pk}/change/", {"state": "failed"}).status_code == 403
    assert admin.post(f"{LIST}{row().pk}/delete/", {"post": "yes"}).status_code == 403


def test_who_may_only_look_restores_nothing(client: Client, default: BlockStore) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert client.get(LIST).status_code == 403
    bob.user_permissions.add(Permission.objects.get(codename="view_archivedday"))
    assert client.get(LIST).status_code == 200
    client.post(LIST, {"action": "restore", "_selected_action": [row().pk]})
    assert row().state == State.ARCHIVED


def test_without_redis_the_wish_is_kept(admin: Client, default: BlockStore) -> None:
    with patch.object(tasks.archive, "delay", side_effect=OperationalError("away")):
        answer = admin.post(LIST, {"action": "restore", "_selected_action": [row().pk]}, follow=True)
    assert "Redis is away: it is done within the hour after it is back." in answer.content.decode()
    assert row().state == State.RESTORING
    tasks.archive()
    assert row().state == State.RESTORED


def command(*words: str) -> str:
    out = StringIO()
    call_command("logs_archive", *words, stdout=out)
    return out.getvalue()


def test_the_command_lists_runs_restores_and_forgets(default: BlockStore) -> None:
    fill(default, day=1)
    assert command("run") == "1 days were archived.\n"
    assert f"{FIRST}            300 lines" in command()
    assert command() == command("list")
    assert "archived and restored, until" in command("restore", str(FIRST))
    assert len(held(default, 0)) == 300
    assert command("forget", str(FIRST)).strip().endswith("archived")
    assert held(default, 0) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["restore", "2020-01-01"], "2020-01-01 is not in the archive."),
     (["forget", "2020-01-01"], "2020-01-01 is not restored."),
     (["restore", "yesterday"], "invalid fromisoformat value")],
)  # fmt: skip
def test_the_command_says_what_it_cannot_do(words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        command(*words)


def test_the_command_without_redis_says_so(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandError, match="The archive's lease is in Redis, which is away"):
        command("run")


def test_the_command_needs_an_archive(settings: Settings) -> None:
    settings.LOG_ARCHIVE_URL = ""
    with pytest.raises(CommandError, match="set PHAROS_ARCHIVE_URL"):
        command("run")
    assert command() == ""


def test_beat_knows_the_task(settings: Settings) -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["archive-logs"]
    assert entry["task"] == tasks.archive.name
    assert entry["options"]["expires"] <= entry["schedule"]
