"""Pub/Sub: what is published becomes a line, once however many ingesters run, on real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from core import clock
from logs import ingest, live, stream
from logs.models import DeadLetter, LogSource
from logs.sources import channels, streams
from logs.sources.channels import Listener
from monitor import valkey
from tests import servers
from tests.logs.ingesting import lines, messages, running
from tests.logs.test_live import alice, viewer
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

FIRST = "pharos:logs"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "REFRESH_EVERY", 0.05)
    monkeypatch.setattr(ingest, "BLOCK_MS", 50)
    monkeypatch.setattr(channels, "RENEW_EVERY", 0.1)


@pytest.fixture
def own_redis(settings: Settings) -> Iterator[redis.Redis]:
    """A Valkey of the test's own: publish and subscribe know no database numbers."""
    with servers.valkey_server() as (url, _), redis.Redis.from_url(url) as client:
        settings.REDIS_URL = url
        yield client


def add(name: str, kind: str = "channel", **more: Any) -> LogSource:
    return LogSource.objects.create(kind=kind, name=name, **more)


def heard(client: redis.Redis, count: int = 1) -> bool:
    """Does somebody listen, with so many subscriptions?"""
    names: Any = client.pubsub_channels()
    return len(names) + client.pubsub_numpat() == count


def report(client: redis.Redis) -> channels.Report:
    return streams.left(client.get(channels.REPORT), channels.Report)


def test_what_is_published_is_stored(own_redis: redis.Redis) -> None:
    add("shop")
    with running():
        until(lambda: heard(own_redis))
        own_redis.publish("shop", '{"msg": "object", "service": "shop"}')
        own_redis.publish("shop", '[{"msg": "array 1"}, {"msg": "array 2"}]')
        own_redis.publish("shop", '{"msg": "line 1"}\n{"msg": "line 2"}\n')
        own_redis.publish("other", '{"msg": "nobody asked"}')
        until(lambda: messages() == ["array 1", "array 2", "line 1", "line 2", "object"])
        until(lambda: report(own_redis).taken == 3)
    assert not own_redis.pubsub_channels()
    assert not own_redis.exists(channels.LEASE)


def test_a_channel_that_is_added_in_the_admin_is_heard_without_a_restart(
    own_redis: redis.Redis, client: Client
) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    page = "/admin/logs/logsource/"
    with running():
        client.post(f"{page}add/", {"kind": "channel", "name": "shop.*", "enabled": "on"})
        until(lambda: heard(own_redis))
        own_redis.publish("shop.orders", '{"msg": "heard"}')
        until(lambda: messages() == ["heard"])
        until(lambda: "of all channels 1 messages taken" in client.get(page).content.decode())
        client.post(f"{page}{LogSource.objects.get().pk}/change/", {"kind": "channel", "name": "shop.*"})
        until(lambda: heard(own_redis, 0))
        add("billing")
        until(lambda: heard(own_redis))
        own_redis.publish("billing", '{"msg": "again"}')
        until(lambda: messages() == ["again", "heard"])


def test_a_message_that_several_sources_match_is_taken_once_and_two_alike_are_two(own_redis: redis.Redis) -> None:
    for name in ("shop.orders", "shop.*", "*.orders", "sh?p.*"):
        add(name)
    with running():
        until(lambda: heard(own_redis, 4))
        for message in ("same", "same", "other", "same"):
            own_redis.publish("shop.orders", json.dumps({"msg": message}))
        own_redis.publish("shop.returns", '{"msg": "same"}')
        until(lambda: lines() == 5)
        own_redis.publish("shop.orders", '{"msg": "the last"}')
        until(lambda: "the last" in messages())
    assert messages() == ["other", "same", "same", "same", "same", "the last"]


def test_two_ingesters_store_each_message_once(own_redis: redis.Redis) -> None:
    add("shop")
    with running("one"), running("two"):
        until(lambda: heard(own_redis))
        for n in range(200):
            assert own_redis.publish("shop", json.dumps({"msg": f"{n:03}"})) == 1  # subscriber
        until(lambda: lines() == 200)
        until(lambda: own_redis.xpending(FIRST, stream.GROUP)["pending"] == 0)
    assert messages() == [f"{n:03}" for n in range(200)]


def test_when_the_one_that_listens_is_stopped_another_takes_over(own_redis: redis.Redis) -> None:
    add("shop")
    with running("two") as two:
        with running("one"):
            until(lambda: heard(own_redis))
        assert two.streams
        until(lambda: heard(own_redis))
        own_redis.publish("shop", '{"msg": "after"}')
        until(lambda: messages() == ["after"])


def test_when_the_one_that_listens_dies_its_lease_runs_out(
    own_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "LEASE_MS", 500)
    add("shop")
    own_redis.set(channels.LEASE, "of one that was killed", px=500)
    with running():
        until(lambda: heard(own_redis))
        own_redis.publish("shop", '{"msg": "heir"}')
        until(lambda: messages() == ["heir"])


def test_who_lost_the_lease_adds_nothing_more(own_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "RENEW_EVERY", 5.0)
    listener = Listener()
    listener.listen(frozenset(["shop"]))
    try:
        until(lambda: report(own_redis).at > 0)  # it renewed the lease just now
        own_redis.set(channels.LEASE, "of another")
        own_redis.publish("shop", '{"msg": "the other has it, too"}')
        until(lambda: heard(own_redis, 0))
    finally:
        listener.stop()
    assert not own_redis.exists(FIRST)
    assert own_redis.get(channels.LEASE) == b"of another"


def test_a_stop_takes_a_moment_and_loses_nothing_that_has_come(
    own_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "BATCH", 5)
    monkeypatch.setattr(channels, "LEAVE_MAX", 30.0)
    listener = Listener()
    listener.listen(frozenset(["shop"]))
    until(lambda: heard(own_redis))
    pipe = own_redis.pipeline(transaction=False)
    for n in range(200):
        pipe.publish("shop", json.dumps({"msg": str(n)}))
    pipe.execute()
    listener.stop()
    assert own_redis.xlen(FIRST) == 200
    assert not own_redis.exists(channels.LEASE)


def test_a_stop_before_it_listens_is_no_error(own_redis: redis.Redis) -> None:
    listener = Listener()
    listener.listen(frozenset(["shop"]))
    listener.stop()
    assert not own_redis.exists(channels.LEASE)


# --- Hostile, too much, away ---------------------------------------------------------------------------------------


def test_what_is_no_line_becomes_a_dead_letter_and_holds_up_nothing(own_redis: redis.Redis) -> None:
    add("shop")
    bad = [b'{"msg": ', b"plain text", b"\xff\x00", b"", b"7", b'"x"', b'{"broken": "' + b"y" * 1_000_000]
    with running():
        until(lambda: heard(own_redis))
        own_redis.publish("shop", '{"msg": "before"}')
        for data in bad:
            own_redis.publish("shop", data)
        own_redis.publish("shop", b'{"msg": "' + b"z" * (2 << 20) + b'"}')
        own_redis.publish("shop", '{"msg": "after"}')
        until(lambda: messages() == ["after", "before"])
        until(lambda: DeadLetter.objects.count() == len(bad))
        until(lambda: report(own_redis).dropped == {"it is longer than 1,048,576 bytes": 1})
    assert {name for letter in DeadLetter.objects.all() for name in letter.payload} == {"channel:shop"}
    assert (
        "one field 'channel:shop' that is no JSON object" in DeadLetter.objects.get(payload__icontains="plain").reason
    )


def test_a_channel_may_have_the_name_of_a_field(own_redis: redis.Redis) -> None:
    add("message")
    with running():
        until(lambda: heard(own_redis))
        own_redis.publish("message", "plain text")
        until(DeadLetter.objects.exists)


def test_our_own_channels_feed_nothing_back(own_redis: redis.Redis, settings: Settings) -> None:
    prefix: str = settings.CHANNEL_LAYERS["default"]["CONFIG"]["prefix"]
    own_redis.config_set("notify-keyspace-events", "KEA")
    for name in (f"{prefix[:3]}*", "__key*"):
        add(name)
    with running():
        until(lambda: heard(own_redis, 2))
        for name in (f"{prefix}__group__logs.live", f"{prefix}specific.abc"):
            own_redis.publish(name, '{"msg": "wake up"}')
        own_redis.publish(f"{prefix}:alerts", '{"msg": "theirs"}')
        until(lambda: messages() == ["theirs"])
        until(lambda: report(own_redis).taken == 1)


def test_when_too_much_waits_messages_are_dropped_counted_and_said(
    own_redis: redis.Redis, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LOG_BACKLOG_MAX = 10_000
    own_redis.xadd(FIRST, {"msg": "x" * 20_000})
    listener = Listener()
    listener.listen(frozenset(["shop"]))
    reason = "more lines wait to be stored than PHAROS_LOG_BACKLOG_MAX_BYTES allows"
    try:
        until(lambda: heard(own_redis))
        until(lambda: report(own_redis).at > 0)
        for _ in range(5):
            own_redis.publish("shop", '{"msg": "too much"}')
        until(lambda: report(own_redis).dropped == {reason: 5})
        own_redis.delete(FIRST)
        shown = report(own_redis).at
        until(lambda: report(own_redis).at > shown)
        own_redis.publish("shop", '{"msg": "room again"}')
        until(lambda: own_redis.xlen(FIRST) == 1)
    finally:
        listener.stop()
    assert caplog.text.count("messages of channels were dropped") == 1


def test_a_redis_without_memory_costs_messages_and_not_the_listener(
    own_redis: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener()
    listener.listen(frozenset(["shop"]))
    try:
        until(lambda: heard(own_redis))
        until(lambda: report(own_redis).at > 0)
        own_redis.config_set("maxmemory", "1")
        own_redis.publish("shop", '{"msg": "no room"}')
        until(lambda: "Redis has no memory left" in caplog.text)
        own_redis.config_set("maxmemory", "0")
        until(lambda: report(own_redis).dropped == {"Redis has no memory left": 1})
        own_redis.publish("shop", '{"msg": "room again"}')
        until(lambda: own_redis.xlen(FIRST) == 1)
    finally:
        listener.stop()


def test_it_listens_again_when_redis_is_back(settings: Settings) -> None:
    add("shop")
    with servers.valkey_server() as (url, first):
        settings.REDIS_URL = url
        with running():
            with redis.Redis.from_url(url) as client:
                until(lambda: heard(client))
            first.process.terminate()
            first.process.wait()
            second = servers.start_valkey(first.directory, first.directory / "valkey.sock", valkey.free_port())
            try:
                with redis.Redis.from_url(url) as client:
                    until(lambda: heard(client))
                    client.publish("shop", '{"msg": "back"}')
                    until(lambda: messages() == ["back"])
            finally:
                second.process.terminate()
                second.process.wait()


# --- Live ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def _own_feed() -> AsyncIterator[None]:
    live._feeds.clear()
    yield
    if hasattr(layer := get_channel_layer(), "close_pools"):
        await layer.close_pools()


@pytest.mark.usefixtures("_own_feed")
async def test_what_is_published_reaches_live_viewers(redis_client: redis.Redis) -> None:
    channel = f"shop-{clock.now()}"  # other test processes publish on this server, too
    await LogSource.objects.acreate(kind="channel", name=channel)
    socket = viewer(await alice())
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    with running(publish=live.publisher()):
        await asyncio.to_thread(until, lambda: redis_client.pubsub_numsub(channel)[0][1] == 1)
        redis_client.publish(channel, '{"msg": "live", "service": "shop"}')
        frame = json.loads(await socket.receive_from())
    assert [record["message"] for record in frame["records"]] == ["live"]
    await socket.disconnect()
