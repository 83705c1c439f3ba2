"""The disk of the log store is full: nothing is acknowledged, it is said once, and with room all goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.utils import OperationalError

from core import clock, disk
from logs import tasks, usage
from logs.query import Everything
from logs.records import Level, LogRecord
from logs.store import Commit
from logs.store.blocks import BlockStore
from monitor import health
from tests.logs.corpus import START, corpus, entries
from tests.logs.ingesting import running
from tests.logs.test_ingest import STREAM, stream_pending
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

DISK = 12 << 20  # bytes
Room = Callable[[int], None]  # leaves so many bytes free, about


class Store(BlockStore):
    """Counts how often it was tried in vain."""

    failures = 0

    def append(self, batch: Any) -> Commit:
        try:
            return super().append(batch)
        except DatabaseError:
            self.failures += 1
            raise


def everything(store: BlockStore) -> list[str]:
    return sorted(record.message[:10] for record in store.search(Everything(), limit=10_000).records)


def fill(store: BlockStore) -> None:
    """Appends lines of 50 KB that don't compress until there is no room."""
    for number in range(1_000):
        noise = LogRecord(START + number, Level.INFO, "old", os.urandom(25_000).hex())
        store.append(entries([noise], first=1_000 + number))


def send(client: redis.Redis, *numbers: int) -> list[str]:
    """Lines of 100 KB that don't compress; returns the beginnings of their messages."""
    for number in numbers:
        client.xadd(STREAM, {"msg": f"line {number:5d}{os.urandom(50_000).hex()}"})
    return [f"line {number:5d}" for number in numbers]


@pytest.fixture
def small_disk(tmp_path: Path, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """The log database is on a disk of a few megabytes."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "pharos-test", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not permitted here; the tests with a bounded file do without")
    connection, path, filler = connections["logs"], tmp_path / "logs.sqlite3", tmp_path / "filler"

    def leave(size: int) -> None:
        free = os.statvfs(tmp_path)
        used = filler.stat().st_size if filler.exists() else 0
        with filler.open("ab") as file:
            file.truncate(min(used, max(0, used + free.f_bavail * free.f_frsize - size)))
            missing = os.statvfs(tmp_path).f_bavail * free.f_frsize - size
            file.seek(0, os.SEEK_END)
            file.write(bytes(max(0, missing)))

    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(path)])
    connection.close()
    try:
        with monkeypatch.context() as patch:
            patch.setitem(connection.settings_dict, "NAME", str(path))
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA journal_mode=WAL")
            try:
                yield leave
            finally:
                connection.close()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.fixture
def small_file(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The log database may have a few pages more than it has; SQLite says then what it says of a full disk."""
    connection = connections["logs"]
    with connection.cursor() as cursor:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    options = connection.settings_dict["OPTIONS"]
    with monkeypatch.context() as patch:
        command = f"{options['init_command']} PRAGMA max_page_count={pages + 30}"
        patch.setitem(options, "init_command", command)
        yield
        connection.close()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_on_a_full_disk_nothing_is_acknowledged_and_with_room_all_is_stored(
    small_disk: Room, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="logs.ingest")
    store = Store(database="logs")
    with running(store=store):
        first = send(redis_client, 1)
        until(lambda: everything(store) == first)
        small_disk(0)
        rest = send(redis_client, *range(2, 40))
        until(lambda: store.failures >= 4)

        assert 0 < stream_pending(redis_client) <= len(rest)
        held = everything(store)
        assert len(held) < 40
        file = connections["logs"].settings_dict["NAME"]
        assert errors(caplog) == [
            f"The disk is full, nothing is lost, trying again: free some space on the disk of {file}"
        ]
        assert not any(record.exc_info for record in caplog.records)

        check = health.readiness()["checks"]["ingest"]
        assert (check["status"], check["detail"].partition(";")[0]) == ("unhealthy", "The disk is full")
        assert usage.troubles() == ["The disk is full"]

        connections["logs"].close()  # a reader who comes now can read as well
        assert everything(store) == held
        assert store.committed_after(0, limit=1_000).newest == store.last_commit()

        small_disk(10 << 20)
        until(lambda: everything(store) == first + rest and stream_pending(redis_client) == 0)
    assert "There is room on the disk again after" in caplog.text
    assert len(errors(caplog)) == 1
    with connections["logs"].cursor() as cursor:
        assert cursor.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_upkeep_on_a_full_disk_makes_nothing_worse_and_says_once_why_it_waits(
    small_disk: Room, caplog: pytest.LogCaptureFixture
) -> None:
    store = BlockStore(database="logs")
    for entry in entries(corpus(600, start=START - 3_650 * clock.DAY), size=20):  # too old to be kept
        store.append([entry])
    small_disk(0)
    with pytest.raises(OperationalError) as caught:
        fill(store)
    assert disk.is_full(caught.value)
    before = store.stats()
    records = store.search(Everything(), limit=100_000).records

    tasks._waiting.clear()
    for _ in range(3):
        assert tasks.maintain() == 0
        assert tasks.retain() == 0
    said = [message.partition(":")[0] for message in errors(caplog)]
    assert said == ["Merging waits", "Deleting old lines waits"]
    assert store.stats() == before
    assert store.search(Everything(), limit=100_000).records == records

    small_disk(8 << 20)
    assert store.drop_oldest(before["bytes"] // 2).lines > 0
    assert tasks.maintain() > 0


def test_deleting_the_oldest_makes_room_in_a_file_that_may_not_grow(
    small_file: None, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(database="logs")
    with pytest.raises(OperationalError):
        fill(store)
    held = everything(store)
    with running(store=store):
        sent = send(redis_client, 1, 2, 3)
        until(lambda: store.failures >= 4)
        assert (everything(store), stream_pending(redis_client) > 0) == (held, True)
        assert store.drop_oldest(1 << 40).lines == len(held) > 3
        until(lambda: everything(store) == sent and stream_pending(redis_client) == 0)
    assert len(errors(caplog)) == 1


@pytest.mark.postgres
def test_postgresql_says_so_in_its_own_words(
    redis_client: redis.Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LOG_DATABASE", "postgres")
    store = Store(database="postgres")
    with connections["postgres"].cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        cursor.execute("CREATE TRIGGER full_disk BEFORE INSERT ON logs_logblock EXECUTE FUNCTION full_disk()")
        try:
            with running(store=store):
                redis_client.xadd(STREAM, {"msg": "patient"})
                until(lambda: store.failures >= 3)
                assert stream_pending(redis_client) == 1
                cursor.execute("DROP TRIGGER full_disk ON logs_logblock")
                until(lambda: everything(store) == ["patient"] and stream_pending(redis_client) == 0)
        finally:
            cursor.execute("DROP FUNCTION full_disk CASCADE")
    host = connections["postgres"].settings_dict["HOST"]
    assert errors(caplog) == [
        "The disk is full, nothing is lost, trying again: "
        f"free some space on the disk of the PostgreSQL server on {host}"
    ]


def test_another_trouble_of_the_database_is_no_full_disk() -> None:
    with pytest.raises(DatabaseError) as caught, connections["logs"].cursor() as cursor:
        cursor.execute("SELECT nothing")
    assert not disk.is_full(caught.value)
