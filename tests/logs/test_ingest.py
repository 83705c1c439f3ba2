"""From the stream into the store, on real Redis: every entry once, whatever dies on the way."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import DataError, OperationalError, connections
from pytest_django.fixtures import Settings

from logs import ingest, stream
from logs.ingest import Ingester, consumer_name
from logs.models import DeadLetter
from logs.records import Level, LogRecord
from logs.sequence import sequence_of
from logs.store import Commit, Incoming, log_stores
from logs.store.blocks import BlockStore
from monitor import valkey
from tests import servers
from tests.logs.corpus import START, corpus
from tests.logs.ingesting import lines, records, running
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

STREAM = "pharos:logs"


def test_after_a_bulk_it_waits_longer_for_more_and_while_more_is_there_not_at_all(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append("long" if timeout and timeout > ingest.LINGER else "short")
            return super().wait(0.0)

    def run() -> None:
        try:
            ingester.run()
        finally:
            connections.close_all()

    monkeypatch.setattr(ingest, "BULK", 3)
    monkeypatch.setattr(ingest, "LINGER_BULK", 3_600.0)
    monkeypatch.setattr(ingest, "COUNT", 4)
    monkeypatch.setattr(ingest, "COUNT_LEAST", 4)
    for number in range(9):  # read as four, four, and one
        redis_client.xadd(STREAM, {"payload": json.dumps({"message": f"{number}"})})
    ingester = Ingester("one", log_stores["default"], lambda commit: None)
    ingester._stopped = Stopped()
    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: lines() == 9)
    redis_client.xadd(STREAM, {"payload": "\n".join(['{"message": "x"}'] * 3)})
    until(lambda: lines() == 12 and len(waits) == 2)
    ingester.stop()
    thread.join(10)
    assert waits == ["short", "long"]


# --- The three layouts ---------------------------------------------------------------------------------------------

SAMPLE = {
    "timestamp": "2025-01-15T10:30:45.123Z",
    "level": "ERROR",
    "source": "worker",
    "title": "OCR Service Timeout",
    "message": "Failed to extract text",
    "correlationId": "550e8400",
    "metadata": {"receiptId": "abc-123"},
}


def test_one_json_field_and_flat_fields_become_the_same_record(redis_client: redis.Redis) -> None:
    redis_client.xadd(STREAM, {"payload": json.dumps(SAMPLE)})
    redis_client.xadd(STREAM, {n: v if isinstance(v, str) else json.dumps(v) for n, v in SAMPLE.items()})
    with running():
        until(lambda: lines() == 2)
    one, other = records()
    assert one.position != other.position
    assert {**one.as_json(), "id": "", "received": ""} == {**other.as_json(), "id": "", "received": ""}
    assert one.level is Level.ERROR


def test_several_objects_in_one_field_are_several_lines(redis_client: redis.Redis) -> None:
    redis_client.xadd(STREAM, {"data": '[{"msg": "a"}, {"msg": "b"}]'})
    redis_client.xadd(STREAM, {"data": '{"msg": "c"}\n{"msg": "d"}\n'})
    with running():
        until(lambda: lines() == 4)
    assert {record.message for record in records()} == {"a", "b", "c", "d"}


def test_a_sealed_chunk_is_stored_and_leaves_the_stream(redis_client: redis.Redis) -> None:
    wanted = corpus(1_500)
    for entry in stream.chunks(wanted):
        redis_client.xadd(STREAM, entry)  # type: ignore[arg-type]
    with running():
        until(lambda: lines() == 1_500)
        until(lambda: redis_client.xlen(STREAM) == 0)
    assert sorted(r.message for r in records()) == sorted(r.message for r in wanted)
    assert len({record.id for record in records()}) == 1_500


def test_among_objects_read_together_only_the_bad_one_is_buried(redis_client: redis.Redis) -> None:
    sent = ['{"msg": "a"}', '{"msg": "b", "timestamp": "soon"}', '{"msg": "c"}', '{"msg": ', '{"msg": "d", "n": 1}']
    ids: list[Any] = [redis_client.xadd(STREAM, {"payload": text}) for text in sent]
    with running():
        until(lambda: lines() == 3 and DeadLetter.objects.count() == 2)
        until(lambda: stream_pending(redis_client) == 0)
    assert {letter.entry_id for letter in DeadLetter.objects.all()} == {ids[1].decode(), ids[3].decode()}
    stored = {record.sequence: record.message for record in records()}
    assert stored == {sequence_of(ids[place].decode(), 0): text for place, text in ((0, "a"), (2, "c"), (4, "d"))}


def test_what_came_before_the_first_start_is_stored(redis_client: redis.Redis) -> None:
    redis_client.xadd(STREAM, {"msg": "early"})
    with running():
        until(lambda: [record.message for record in records()] == ["early"])


# --- Entries that are no lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"payload": '{"msg": '}, "expected JSON"),
        ({"payload": "just text"}, "one field 'payload' that is no JSON object"),
        ({"payload": '[{"msg": "a"}, 7]'}, "line 2: expected a JSON object"),
        ({"msg": "x", "timestamp": "soon"}, "timestamp: expected ISO 8601"),
        ({"chunk": b"\x93\x00", "seal": b"0" * 16}, "not made with this installation's secret key"),
    ],
)
def test_an_unreadable_entry_becomes_a_dead_letter_and_the_rest_goes_on(
    redis_client: redis.Redis, fields: dict[str, Any], reason: str
) -> None:
    redis_client.xadd(STREAM, {"msg": "before"})
    entry_id: Any = redis_client.xadd(STREAM, fields)  # type: ignore[arg-type]
    redis_client.xadd(STREAM, {"msg": "after"})
    with running():
        until(lambda: lines() == 2 and redis_client.xpending(STREAM, stream.GROUP)["pending"] == 0)
    letter = DeadLetter.objects.get()
    assert letter.entry_id == entry_id.decode()
    assert reason in letter.reason
    assert set(letter.payload) == set(fields)


@pytest.mark.parametrize("entry_id", ["9999999999999-5", "18446744073709551614-18446744073709551615"])
@pytest.mark.parametrize("chunk", [False, True])
def test_an_entry_may_have_any_id(redis_client: redis.Redis, entry_id: str, chunk: bool) -> None:
    fields: Any = stream.chunks([LogRecord(START, Level.INFO, "a", "far")])[0] if chunk else {"msg": "far"}
    redis_client.xadd(STREAM, fields, id=entry_id)
    with running():
        until(lambda: [record.message for record in records()] == ["far"])
    assert redis_client.xpending(STREAM, stream.GROUP)["pending"] == 0


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), DataError("too long")])
def test_an_entry_that_cannot_be_stored_is_buried_and_the_others_are_stored(
    redis_client: redis.Redis, error: Exception
) -> None:
    class Store(BlockStore):
        def append(self, batch: Any) -> Commit:
            if any(record.message == "poison" for entry in batch for record in entry.content):
                raise error
            return super().append(batch)

    for message in ("one", "poison", "two"):
        redis_client.xadd(STREAM, {"msg": message})
    with running(store=Store(database="logs")):
        until(lambda: lines() == 2 and DeadLetter.objects.count() == 1)
        until(lambda: stream_pending(redis_client) == 0)
    assert DeadLetter.objects.get().reason == f"{type(error).__name__}: {error}"


def test_a_dead_letter_can_be_sent_again(redis_client: redis.Redis, settings: Settings) -> None:
    redis_client.xadd(STREAM, {"msg": "late", "timestamp": "soon"})
    with running():
        until(DeadLetter.objects.exists)
        letter = DeadLetter.objects.get()
        letter.payload["timestamp"] = "2025-01-15T10:30:45Z"  # its cause was mended
        ingest.replay(letter, redis_client)
        until(lambda: lines() == 1)
    letter.refresh_from_db()
    assert letter.replayed_at is not None
    assert DeadLetter.objects.count() == 1


def test_an_entry_that_is_buried_twice_is_one_dead_letter() -> None:
    entry = (STREAM, "1-1", {b"payload": b"\xff\x00?"})
    ingest.bury(entry, "no good")
    ingest.bury(entry, "no good")
    assert DeadLetter.objects.get().payload == {"payload": "\\xff\\x00?"}


# --- Sharing and dying ---------------------------------------------------------------------------------------------


def test_two_ingesters_share_the_work(redis_client: redis.Redis) -> None:
    with running("one") as one, running("two") as two:
        for n in range(100):
            pipe = redis_client.pipeline()
            for m in range(30):
                pipe.xadd(STREAM, {"msg": f"{n}-{m}"})
            pipe.execute()
        until(lambda: lines() == 3_000)
        names = {consumer["name"] for consumer in redis_client.xinfo_consumers(STREAM, stream.GROUP)}
        assert names == {b"one", b"two"}
        until(lambda: one.lines + two.lines == 3_000)
        assert min(one.lines, two.lines) > 0
    assert redis_client.xpending(STREAM, stream.GROUP)["pending"] == 0


class _Dies(BaseException):
    """Stands for kill -9: nothing after it is carried out."""


def _read_and_die(name: str, *, after_commit: bool) -> None:
    """An ingester's life that ends before or right after its commit, and before it acknowledges."""

    class Store(BlockStore):
        def append(self, batch: Any) -> Commit:
            if after_commit:
                super().append(batch)
            raise _Dies

    with pytest.raises(_Dies):
        Ingester(name, Store(database="logs"), lambda commit: None).run()


def test_what_was_asked_for_ahead_is_left_to_the_successor(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "COUNT", 10)
    monkeypatch.setattr(ingest, "COUNT_LEAST", 10)
    for n in range(100):
        redis_client.xadd(STREAM, {"msg": str(n)})
    ingester = Ingester("one", log_stores["default"], lambda commit: ingester.stop())
    ingester.run()
    assert lines() == 10
    until(lambda: redis_client.xpending(STREAM, stream.GROUP)["pending"] == 10)  # they were on their way
    with running("one"):
        until(lambda: lines() == 100)
    assert redis_client.xpending(STREAM, stream.GROUP)["pending"] == 0


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_successor_with_the_same_name_goes_on_at_once(redis_client: redis.Redis, after_commit: bool) -> None:
    for n in range(50):
        redis_client.xadd(STREAM, {"msg": str(n)})
    _read_and_die("one", after_commit=after_commit)
    assert redis_client.xpending(STREAM, stream.GROUP)["pending"] == 50
    with running("one"):
        until(lambda: redis_client.xpending(STREAM, stream.GROUP)["pending"] == 0)
    assert sorted(int(record.message) for record in records()) == list(range(50))


@pytest.mark.parametrize("after_commit", [False, True])
def test_the_entries_of_a_dead_ingester_are_taken_over(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, after_commit: bool
) -> None:
    monkeypatch.setattr(ingest, "CLAIM_IDLE_MS", 50)
    monkeypatch.setattr(ingest, "CLAIM_EVERY", 0.1)
    for n in range(50):
        redis_client.xadd(STREAM, {"msg": str(n)})
    _read_and_die("dead", after_commit=after_commit)
    with running("heir"):
        until(lambda: redis_client.xpending(STREAM, stream.GROUP)["pending"] == 0)
    assert sorted(int(record.message) for record in records()) == list(range(50))


def test_the_first_free_slot_gives_the_name(tmp_path: Path) -> None:
    with consumer_name(tmp_path) as one:
        with consumer_name(tmp_path) as two:
            assert one != two
        with consumer_name(tmp_path) as again:
            assert again == two


# --- Bad days ------------------------------------------------------------------------------------------------------


def test_while_the_database_is_away_nothing_is_acknowledged_and_then_all_is_stored(redis_client: redis.Redis) -> None:
    away = threading.Event()
    away.set()

    class Store(BlockStore):
        def append(self, batch: Any) -> Commit:
            if away.is_set():
                raise OperationalError("the disk is full")
            return super().append(batch)

    redis_client.xadd(STREAM, {"msg": "patient"})
    with running(store=Store(database="logs")):
        until(lambda: stream_pending(redis_client) == 1, ignoring=redis.ResponseError)  # no group yet
        time.sleep(0.3)
        assert stream_pending(redis_client) == 1
        assert lines() == 0
        away.clear()
        until(lambda: lines() == 1 and stream_pending(redis_client) == 0)


def stream_pending(client: redis.Redis) -> int:
    return int(client.xpending(STREAM, stream.GROUP)["pending"])


def test_a_stream_that_is_deleted_is_made_again_and_the_history_stays(redis_client: redis.Redis) -> None:
    with running():
        redis_client.xadd(STREAM, {"msg": "one"})
        until(lambda: lines() == 1)
        redis_client.delete(STREAM)
        redis_client.xadd(STREAM, {"msg": "two"})
        until(lambda: lines() == 2)


def test_redis_going_away_is_said_once_and_survived(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="logs.ingest")
    with servers.valkey_server() as (url, first):
        settings.REDIS_URL = url
        with running(client=stream.connect()):
            with redis.Redis.from_url(url) as client:
                client.xadd(STREAM, {"msg": "before"})
            until(lambda: lines() == 1)
            first.process.terminate()
            first.process.wait()
            until(lambda: "Redis is away" in caplog.text)
            time.sleep(0.5)
            second = servers.start_valkey(first.directory, first.directory / "valkey.sock", valkey.free_port())
            try:
                with redis.Redis.from_url(url) as client:
                    client.xadd(STREAM, {"msg": "after"})
                until(lambda: lines() == 2)
            finally:
                second.process.terminate()
                second.process.wait()
    assert caplog.text.count("Redis is away") <= 2  # once it went; once more when the test ended it
    assert caplog.text.count("Redis is back") == 1


# --- Length --------------------------------------------------------------------------------------------------------


def test_the_stream_is_cut_to_its_length_when_all_is_stored(
    redis_client: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOG_STREAM_MAXLEN = 1_000
    monkeypatch.setattr(ingest, "TRIM_EVERY", 0.05)
    pipe = redis_client.pipeline()
    for n in range(5_000):
        pipe.xadd(STREAM, {"msg": str(n)})
    pipe.execute()
    with running():
        until(lambda: lines() == 5_000)
        until(lambda: 1_000 <= redis_client.xlen(STREAM) <= 1_100)


def test_what_is_not_stored_is_never_cut(redis_client: redis.Redis) -> None:
    redis_client.xgroup_create(STREAM, stream.GROUP, id="0", mkstream=True)
    pipe = redis_client.pipeline()
    for n in range(3_000):
        pipe.xadd(STREAM, {"msg": str(n)})
    pipe.execute()
    trim = redis_client.register_script(ingest.TRIM)
    trim(keys=[STREAM], args=[stream.GROUP, 100])
    assert redis_client.xlen(STREAM) == 3_000  # nothing was read
    redis_client.xreadgroup(stream.GROUP, "one", {STREAM: ">"}, count=2_000)
    trim(keys=[STREAM], args=[stream.GROUP, 100])
    assert redis_client.xlen(STREAM) == 3_000  # nothing was acknowledged


def test_commits_wake_viewers(redis_client: redis.Redis) -> None:
    told: list[int] = []
    with running(publish=told.append):
        redis_client.xadd(STREAM, {"msg": "x"})
        until(lambda: told == [log_stores["default"].last_commit()])


def test_a_body_of_any_size_is_cut_into_entries_with_distinct_identities() -> None:
    found = []
    for number, entry in enumerate(stream.chunks(corpus(2_500))):
        taken = stream.incoming(STREAM, f"{START // 1000}-{number}", entry)
        assert isinstance(taken, Incoming)
        found.append(taken)
    log_stores["default"].append(found)
    assert len({record.id for record in records()}) == 2_500
