"""Streams that are added in the admin: read without a restart, by name and by pattern, on real Redis."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from logs import ingest, stream, usage
from logs.ingest import Ingester
from logs.models import LogSource
from logs.sequence import stream_number
from logs.sources import streams
from logs.sources.states import states
from logs.sources.streams import Sources
from logs.store.blocks import BlockStore
from monitor import health
from tests.logs.ingesting import lines, messages, records, running
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

FIRST = "pharos:logs"
PAGE = "/admin/logs/logsource/"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "REFRESH_EVERY", 0.05)
    monkeypatch.setattr(ingest, "BLOCK_MS", 50)


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def add(name: str, kind: str = "stream", **more: Any) -> LogSource:
    return LogSource.objects.create(kind=kind, name=name, **more)


def saved(admin: Client, url: str, name: str, *, enabled: bool = True) -> Any:
    form = {"kind": "stream", "name": name, "comment": ""} | ({"enabled": "on"} if enabled else {})
    answer = admin.post(url, form)
    assert answer.status_code == 302, answer.context["errors"]
    return LogSource.objects.get(name=name)


def state(source: LogSource) -> str:
    return states([source])[source.pk]


# --- What is read --------------------------------------------------------------------------------------------------


def test_a_stream_that_is_added_in_the_admin_is_read_from_its_first_entry(
    admin: Client, redis_client: redis.Redis
) -> None:
    redis_client.xadd("second", {"msg": "history"})
    with running():
        redis_client.xadd(FIRST, {"msg": "first"})
        until(lambda: messages() == ["first"])
        saved(admin, f"{PAGE}add/", "second")
        until(lambda: messages() == ["first", "history"])
        redis_client.xadd("second", {"msg": "news"})
        until(lambda: messages() == ["first", "history", "news"])
        until(lambda: redis_client.xpending("second", stream.GROUP)["pending"] == 0)


def test_a_source_that_is_switched_off_is_not_read_and_goes_on_where_it_was(
    admin: Client, redis_client: redis.Redis
) -> None:
    redis_client.xadd("second", {"msg": "one"})
    source = add("second")
    with running() as ingester:
        until(lambda: messages() == ["one"])
        saved(admin, f"{PAGE}{source.pk}/change/", "second", enabled=False)
        until(lambda: ingester.streams == [FIRST])
        redis_client.xadd("second", {"msg": "two"})
        redis_client.xadd(FIRST, {"msg": "of the first"})
        until(lambda: messages() == ["of the first", "one"])
        assert redis_client.xinfo_groups("second")[0]["lag"] == 1
        saved(admin, f"{PAGE}{source.pk}/change/", "second")
        until(lambda: messages() == ["of the first", "one", "two"])


def test_a_pattern_finds_a_stream_that_is_made_later_and_nothing_but_streams(redis_client: redis.Redis) -> None:
    add("app:*:logs")
    redis_client.hset("app:settings:logs", "a", "b")
    with running() as ingester:
        until(lambda: ingester.streams == [FIRST])
        redis_client.xadd("app:shop:logs", {"msg": "late"})
        redis_client.xadd("other:shop:logs", {"msg": "not ours"})
        until(lambda: messages() == ["late"])
        assert ingester.streams == [FIRST, "app:shop:logs"]
    assert redis_client.xinfo_groups("other:shop:logs") == []


def test_a_stream_is_read_once_however_many_name_it(redis_client: redis.Redis) -> None:
    for name in (FIRST, "pharos:*", "second", "sec*"):
        add(name)
    redis_client.xadd(FIRST, {"msg": "a"})
    redis_client.xadd("second", {"msg": "b"})
    with running() as ingester:
        until(lambda: messages() == ["a", "b"])
        assert ingester.streams == [FIRST, "second"]
        until(lambda: ingester.lines == 2)


def test_a_stream_that_is_not_there_is_not_made_and_one_that_is_deleted_is_waited_for(
    redis_client: redis.Redis,
) -> None:
    source = add("second")
    with running() as ingester:
        until(lambda: state(source) == "no such stream yet")
        assert not redis_client.exists("second")
        redis_client.xadd("second", {"msg": "one"})
        until(lambda: messages() == ["one"])
        redis_client.delete("second")
        until(lambda: ingester.streams == [FIRST])
        redis_client.xadd("second", {"msg": "two"})
        until(lambda: messages() == ["one", "two"])
    assert not redis_client.xinfo_groups("second")[0]["pending"]


def test_a_key_that_is_no_stream_holds_up_nothing(redis_client: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    redis_client.set("second", "a text")
    source = add("second")
    with running():
        redis_client.xadd(FIRST, {"msg": "first"})
        until(lambda: messages() == ["first"])
        until(lambda: state(source) == "the key is no stream")
    assert caplog.text.count("second: the key is no stream") == 1


@pytest.mark.parametrize("name", [b"app:\xff", b"app:\x00", b"app:" + b"x" * 200])
def test_a_name_that_the_database_cannot_keep_is_not_matched(redis_client: redis.Redis, name: bytes) -> None:
    add("app:*")
    redis_client.xadd(name, {"msg": '{"broken'})
    redis_client.xadd("app:good", {"msg": "good"})
    with running() as ingester:
        until(lambda: messages() == ["good"])
        assert ingester.streams == [FIRST, "app:good"]


def test_more_streams_than_can_be_read_are_left_out_and_that_is_said_once(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "STREAMS_MAX", 3)
    source = add("app:*")
    for n in range(5):
        redis_client.xadd(f"app:{n}", {"msg": str(n)})
    with running() as ingester:
        until(lambda: messages() == ["0", "1"])
        redis_client.xadd("app:", {"msg": "before them by name"})  # those that are read stay
        until(lambda: "4 streams are left out" in state(source))
        assert ingester.streams == [FIRST, "app:0", "app:1"]
    assert caplog.text.count("streams match") == 1


def test_a_large_redis_is_looked_through_in_steps(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SCAN_COUNT", 10)
    monkeypatch.setattr(streams, "SCAN_STEPS", 2)
    pipe = redis_client.pipeline()
    for n in range(500):
        pipe.set(f"key:{n}", n)
    for n in range(50):
        pipe.xadd(f"app:{n}", {"msg": "found"})
    pipe.execute()
    add("app:*")
    sources = Sources(redis_client, "one")
    found = [len(sources.refresh()) - 1 for _ in range(40)]
    assert found[0] < 25  # of 550 keys about 20 were looked at
    assert found == sorted(found)
    assert found[-1] == 50
    redis_client.delete("app:0")
    sources.forget()
    assert "app:0" not in sources.refresh()


# --- Bad days ------------------------------------------------------------------------------------------------------


def test_while_the_database_is_away_the_last_known_streams_are_read(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("second")
    redis_client.xadd("second", {"msg": "one"})
    sources = Sources(redis_client, "one")
    assert sources.refresh() == [FIRST, "second"]

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", away)
        assert sources.refresh() == [FIRST, "second"]
    LogSource.objects.all().delete()
    assert sources.refresh() == [FIRST]


def test_a_second_delivery_gives_the_same_ids(redis_client: redis.Redis) -> None:
    """The ingester dies after it read, once before and once after the commit; the ids are those of its successor."""
    add("second")
    for n in range(5):
        redis_client.xadd("second", {"msg": str(n)})
    tried: list[list[int]] = []

    class Dies(BaseException):
        """Stands for kill -9."""

    class Store(BlockStore):
        def append(self, batch: Any) -> Any:
            tried.append([record.sequence for entry in batch for record in entry.content])
            if len(tried) == 2:
                super().append(batch)
            raise Dies

    for _ in range(2):
        stream._number.cache_clear()  # a new process
        with pytest.raises(Dies):
            Ingester("one", Store(database="logs"), lambda commit: None).run()
    with running():
        until(lambda: redis_client.xpending("second", stream.GROUP)["pending"] == 0)
    assert tried[0] == tried[1] == sorted(record.sequence for record in records())
    assert lines() == 5


def test_the_number_of_a_stream_is_its_place_or_a_hash_that_never_changes() -> None:
    named = ["pharos:logs", "wib:logs"]
    assert [stream_number(name, named) for name in named] == [0, 1]
    assert [stream_number(name, named) for name in ("app:shop:logs", "second", "Über")] == [3, 1, 6]


# --- Alike for all -------------------------------------------------------------------------------------------------


def test_health_usage_and_the_edge_know_all_streams(redis_client: redis.Redis) -> None:
    add("second")
    redis_client.xadd("second", {"msg": "one"}, id="1000-0")
    with running():
        until(lambda: messages() == ["one"])
    redis_client.xadd("second", {"msg": "x" * 10_000}, id="2000-0")
    assert [each.name for each in usage.stream_states()[0]] == [FIRST, "second"]
    assert usage.stream_states()[0][1].backlog == 1
    assert not health.ingest_lag().healthy
    names = streams.active(redis_client.get(streams.REPORT))
    assert stream.backlog_bytes_now(redis_client, names) > 4_000
    assert stream.backlog_bytes_now(redis_client, [FIRST, "nobody knows it"]) == 0


def test_added_streams_are_trimmed(
    redis_client: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOG_STREAM_MAXLEN = 100
    monkeypatch.setattr(ingest, "TRIM_EVERY", 0.05)
    add("second")
    pipe = redis_client.pipeline()
    for n in range(1_000):
        pipe.xadd("second", {"msg": str(n)})
    pipe.execute()
    with running():
        until(lambda: lines() == 1_000)
        until(lambda: redis_client.xlen("second") <= 200)


def test_what_is_left_in_redis_may_be_anything() -> None:
    for data in (None, b"", b"[]", b'{"streams": 7}', b"\xff"):
        assert streams.active(data) == [FIRST]


# --- In the admin --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("app logs", "no spaces"),
        ("app\x00logs", "Null characters"),
        ("app\u200blogs", "no control characters"),
        ("*", "matches everything"),
        ("[a-z]?*", "matches everything"),
        ("", "required"),
        ("x" * 201, "at most 200"),
    ],
)
def test_a_name_that_cannot_work_is_refused(admin: Client, name: str, sentence: str) -> None:
    answer = admin.post(f"{PAGE}add/", {"kind": "stream", "name": name, "enabled": "on"})
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not LogSource.objects.exists()


def test_a_source_is_named_once() -> None:
    add("second")
    with pytest.raises(ValidationError):
        LogSource(kind="stream", name="second").full_clean()
    LogSource(kind="channel", name="second").full_clean()


def test_the_list_says_how_each_fares(admin: Client, redis_client: redis.Redis) -> None:
    add("app:*:logs")
    add("missing")
    add("off", enabled=False)
    redis_client.xadd("app:a:logs", {"msg": "a"})
    redis_client.xadd("app:b:logs", {"msg": "b"})
    with running():
        until(lambda: messages() == ["a", "b"])
        until(lambda: "2 streams read, 0 entries wait" in admin.get(PAGE).content.decode())
    redis_client.xadd("app:b:logs", {"msg": "c"})
    page = admin.get(PAGE).content.decode()
    assert "2 streams read, 1 entries wait" in page
    assert "no such stream yet" in page
    add("new")
    assert "not read yet" in admin.get(PAGE).content.decode()


def test_without_an_ingester_or_redis_the_list_says_so(
    admin: Client, redis_client: redis.Redis, settings: Settings
) -> None:
    add("second")
    assert "no ingester runs" in admin.get(PAGE).content.decode()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = admin.get(PAGE)
    assert answer.status_code == 200
    assert "Redis is away" in answer.content.decode()


def test_who_may_not_see_sources_does_not(client: Client) -> None:
    assert client.get(PAGE).status_code == 302
    client.force_login(User.objects.create_user("alice", is_staff=True))
    assert client.get(PAGE).status_code == 403
