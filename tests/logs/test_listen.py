"""The process that listens: which sources it works for, how it restarts, hands over and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from django.conf import settings as real
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django import Settings

from logs.models import LogSource
from logs.sources import listen, states, streams
from logs.sources.outlet import LEASE
from logs.sources.streams import Sources
from tests.logs.listening import listening, until
from tests.logs.streamed import messages

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

WAYS = {"files": "tests.logs.listening"}
PAGE = "/admin/logs/logsource/"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "REFRESH_EVERY", 0.05)
    monkeypatch.setattr(listen, "RENEW_EVERY", 0.05)
    monkeypatch.setattr(listen, "PAUSE", 0.05)


async def add(service: str, kind: str = "files", name: str = "") -> LogSource:
    return await LogSource.objects.acreate(kind=kind, name=name or f"/var/log/{service}.log", service=service)


def state(source: LogSource) -> str:
    return states.states([source])[source.pk]


# --- Rows ----------------------------------------------------------------------------------------------------------


async def test_a_row_is_worked_for_as_soon_as_it_is_saved_and_no_more_when_it_is_off(redis_client: redis.Redis) -> None:
    async with listening(WAYS):
        source = await add("one")
        await until(lambda: messages(redis_client) == ["began one"])
        await until(lambda: state(source) == "works for one")
        source.enabled = False
        await source.asave()
        await until(lambda: messages(redis_client) == ["began one", "ended one"])
        assert await asyncio.to_thread(state, source) == "off"


async def test_a_row_that_is_changed_begins_anew_and_one_that_is_deleted_ends(redis_client: redis.Redis) -> None:
    source = await add("one")
    async with listening(WAYS):
        await until(lambda: messages(redis_client) == ["began one"])
        source.comment = "no difference"
        await source.asave()
        source.service = "two"
        await source.asave()
        await until(lambda: messages(redis_client) == ["began one", "ended one", "began two"])
        await source.adelete()
        await until(lambda: messages(redis_client)[3:] == ["ended two"])


@pytest.mark.parametrize(("service", "reason"), [("fail", "it may not"), ("end", "it ended by itself")])
async def test_a_source_that_fails_is_started_again_and_holds_up_nobody(
    redis_client: redis.Redis, caplog: pytest.LogCaptureFixture, service: str, reason: str
) -> None:
    source = await add(service)
    await add("other")
    async with listening(WAYS):
        await until(lambda: messages(redis_client).count(f"began {service}") >= 3)
        await until(lambda: state(source).startswith("failed, tried again in"))
        assert "began other" in await asyncio.to_thread(messages, redis_client)

    assert caplog.text.count(f"is started again until it works: {reason}") == 1


async def test_what_sources_say_at_their_end_is_sent(redis_client: redis.Redis) -> None:
    await add("one")
    async with listening(WAYS):
        await until(lambda: messages(redis_client) == ["began one"])

    assert messages(redis_client) == ["began one", "ended one"]
    assert not redis_client.exists(LEASE)


async def test_redis_may_come_later(settings: Settings, redis_client: redis.Redis) -> None:
    there, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    await add("one")
    async with listening(WAYS):
        await asyncio.sleep(0.1)
    settings.REDIS_URL = there
    async with listening(WAYS):
        await until(lambda: messages(redis_client) == ["began one"])


# --- Several -------------------------------------------------------------------------------------------------------


async def test_of_two_one_works_and_the_other_takes_over_when_it_ends(redis_client: redis.Redis) -> None:
    await add("one")
    async with listening(WAYS) as first:
        await until(lambda: messages(redis_client) == ["began one"])
        holder = redis_client.get(LEASE)
        async with listening(WAYS):
            first.stop()
            await until(lambda: messages(redis_client) == ["began one", "ended one", "began one"])
            assert redis_client.get(LEASE) != holder


async def test_one_that_lost_its_lease_ends_its_sources(
    redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await add("one")
    async with listening(WAYS):
        await until(lambda: messages(redis_client) == ["began one"])
        redis_client.set(LEASE, "another")
        await until(lambda: messages(redis_client) == ["began one", "ended one"])
        assert redis_client.get(LEASE) == b"another"
        redis_client.delete(LEASE)
        await until(lambda: messages(redis_client)[2:] == ["began one"])

    assert "Another process listens now" in caplog.text


# --- Whether anybody needs it --------------------------------------------------------------------------------------


def test_an_ingester_asks_for_a_listener_while_a_source_needs_one(redis_client: redis.Redis) -> None:
    marker = real.DATA_DIR / streams.LISTEN_WANTED
    sources = Sources(redis_client, "one")
    LogSource.objects.create(kind="stream", name="second")
    sources.refresh()
    assert not marker.exists()
    source = LogSource.objects.create(kind="syslog", name="udp://127.0.0.1:5514")
    sources.refresh()
    assert marker.exists()
    LogSource.objects.filter(pk=source.pk).update(enabled=False)
    sources.refresh()
    assert not marker.exists()


def test_without_a_listener_the_list_says_what_to_do(client: Client, redis_client: redis.Redis) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    LogSource.objects.create(kind="syslog", name="udp://127.0.0.1:5514")
    assert "no listener runs: make up starts one within seconds" in client.get(PAGE).content.decode()


# --- Names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("syslog", "udp://127.0.0.1:5514"),
        ("syslog", "tcp://[::]:5514"),
        ("syslog", "udp+tcp://0.0.0.0:5514"),
        ("docker", "unix:///var/run/docker.sock"),
        ("docker", "tcp://host:2375"),
        ("files", "/var/log/pods/*/*.log"),
        ("files", "/var/log/**/my app.log"),
    ],
)
def test_names_that_are_fine(kind: str, name: str) -> None:
    LogSource(kind=kind, name=name).full_clean()


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("syslog", "5514", "write udp://127.0.0.1:5514"),
        ("syslog", "udp://127.0.0.1", "write udp://127.0.0.1:5514"),
        ("syslog", "udp://127.0.0.1:99999", "write udp://127.0.0.1:5514"),
        ("syslog", "tcp://127.0.0.1:5514/x", "write udp://127.0.0.1:5514"),
        ("syslog", "udp://0.0.0.0:514", "Use 5514"),
        ("docker", "/var/run/docker.sock", "write unix:///var/run/docker.sock"),
        ("docker", "tcp://host", "write unix:///var/run/docker.sock"),
        ("files", "app.log", "not absolute"),
        ("files", "/**/*.log", "name at least the first directory"),
        ("files", "/", "name at least the first directory"),
        ("files", "/var/log/", "ends in a file's name"),
        ("files", "/var/../*.log", "ends in a file's name"),
        ("files", "/var/log/a\n.log", "no control characters"),
    ],
)
def test_names_that_are_not_and_what_to_write(kind: str, name: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as told:
        LogSource(kind=kind, name=name).full_clean()
    assert sentence in str(told.value.message_dict["name"])


@pytest.mark.parametrize(("senders", "fine"), [("127.0.0.1, 10.0.0.0/8 ::1", True), ("10.0.0.0/40", False)])
def test_senders_are_networks(senders: str, fine: bool) -> None:
    source: Any = LogSource(kind="syslog", name="udp://127.0.0.1:5514", senders=senders)
    if fine:
        source.full_clean()
    else:
        with pytest.raises(ValidationError, match="is no network"):
            source.full_clean()
