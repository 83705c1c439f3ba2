"""The Redis users of docs/sending-logs.md, as the page has them: they can do their work and nothing else."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as real
from pytest_django import Settings
from redis.exceptions import NoPermissionError

from logs import ingest, stream
from logs.models import DeadLetter, LogSource
from logs.records import Level, LogRecord
from logs.sources import streams
from monitor import health
from tests import servers
from tests.logs.corpus import START
from tests.logs.ingesting import lines, messages, running
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

PAGE = (Path(real.BASE_DIR) / "docs" / "sending-logs.md").read_text()
STREAM = "pharos:logs"
INGEST, SECRET = "pharos-ingest", "a-long-secret"


def commands(heading: str) -> list[list[str]]:
    """What the section tells to type, after `redis-cli`."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    found = re.findall(r"^    redis-cli (.+)$", section, re.MULTILINE)
    assert found, f"no redis-cli in the section {heading!r}"
    return [shlex.split(line) for line in found]


def command(client: redis.Redis, *words: Any) -> Any:
    send: Any = client.execute_command
    return send(*words)


def rights() -> dict[str, list[str]]:
    """The table of further rights: what the first cell allows → its words for ACL SETUSER."""
    cells = re.findall(r"^\| `([^`]*\+[^`]*)` \| ", PAGE, re.MULTILINE)
    return {cell: shlex.split(cell.replace("\\|", "|")) for cell in cells}


@pytest.fixture
def owner() -> Iterator[redis.Redis]:
    with servers.valkey_server() as (url, _), redis.Redis.from_url(url) as client:
        yield client


def as_user(owner: redis.Redis, name: str) -> str:
    """The URL for a user of this server."""
    path = owner.connection_pool.connection_kwargs["path"]
    return f"unix://{name}:{SECRET}@{path}?db=0"


@pytest.fixture
def user(owner: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """The ingester's user, made as the page says; Pharos connects as this one."""
    monkeypatch.setattr(ingest, "REFRESH_EVERY", 0.05)
    monkeypatch.setattr(ingest, "TRIM_EVERY", 0.05)
    monkeypatch.setattr(ingest, "CLAIM_EVERY", 0.05)
    for words in commands("A Redis user for ingest"):
        command(owner, *words)
    settings.REDIS_URL = as_user(owner, INGEST)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


def pending(owner: redis.Redis) -> int:
    return int(owner.xpending(STREAM, stream.GROUP)["pending"])


def test_ingest_works_with_its_user(
    owner: redis.Redis, user: redis.Redis, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LOG_STREAM_MAXLEN = 100
    pipe = owner.pipeline()
    for n in range(500):
        pipe.xadd(STREAM, {"msg": f"{n:03}"})
    pipe.xadd(STREAM, {"msg": '{"broken'})
    pipe.xadd(STREAM, stream.chunks([LogRecord(START, Level.INFO, "a", "of a chunk")])[0])  # type: ignore[arg-type]
    pipe.execute()
    with running():
        until(lambda: lines() == 501 and pending(owner) == 0)
        until(lambda: "may not trim streams" in caplog.text and "may not take over" in caplog.text)
        owner.xadd(STREAM, {"msg": "later"})
        until(lambda: "later" in messages())
        until(lambda: streams.left(owner.get(streams.REPORT), streams.Report).streams == [STREAM])
        assert owner.exists(f"{stream.ALIVE}ingest:one")
    assert owner.xlen(STREAM) == 503  # not trimmed
    assert DeadLetter.objects.get().payload == {"msg": '{"broken'}
    assert "Redis is away" not in caplog.text
    for denied in ("may not trim streams", "may not take over"):
        assert caplog.text.count(denied) == 1
    assert "may not say that it is alive" not in caplog.text


def test_its_user_is_denied_everything_else(owner: redis.Redis, user: redis.Redis) -> None:
    owner.set("theirs", "secret")
    owner.xadd("other", {"msg": "secret"})
    owner.xgroup_create("other", stream.GROUP, id="0")
    owner.xadd(STREAM, {"msg": "x"})
    denied: list[list[Any]] = [
        ["SET", "x", "1"],
        ["SET", STREAM, "1"],
        ["GET", "theirs"],
        ["GET", streams.REPORT],
        ["DEL", STREAM],
        ["XADD", STREAM, "*", "a", "b"],
        ["XTRIM", STREAM, "MAXLEN", "0"],
        ["XRANGE", STREAM, "-", "+"],
        ["XREADGROUP", "GROUP", stream.GROUP, "one", "STREAMS", "other", ">"],
        ["XACK", "other", stream.GROUP, "1-1"],
        ["XGROUP", "DESTROY", STREAM, stream.GROUP],
        ["PUBLISH", "theirs", "x"],
        ["SUBSCRIBE", "theirs"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["EVAL", "return 1", "0"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["FLUSHALL"],
    ]
    for words in denied:
        with pytest.raises(NoPermissionError):
            command(user, *words)
    assert command(user, "XREADGROUP", "GROUP", stream.GROUP, "one", "STREAMS", STREAM, ">")
    assert owner.get("theirs") == b"secret"


def test_a_source_that_its_user_may_not_read_holds_up_nothing(
    owner: redis.Redis, user: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("other", "app:*"):
        LogSource.objects.create(kind="stream", name=name)
    owner.xadd("other", {"msg": "secret"})
    with running() as ingester:
        owner.xadd(STREAM, {"msg": "ours"})
        until(lambda: messages() == ["ours"])
        assert ingester.streams == [STREAM]
    assert caplog.text.count("other: this Redis user may not read it as a group") == 1
    assert caplog.text.count("app:*: this Redis user may not SCAN for patterns") == 1


def test_without_the_group_ingest_says_what_to_type_and_goes_on_when_it_is_there(
    owner: redis.Redis, user: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    owner.delete(STREAM)
    with running():
        until(lambda: "XGROUP CREATE pharos:logs ingest 0 MKSTREAM" in caplog.text)
        command(owner, *commands("A Redis user for ingest")[0])
        owner.xadd(STREAM, {"msg": "at last"})
        until(lambda: messages() == ["at last"])


def test_with_the_further_rights_it_trims_claims_and_finds_patterns(
    owner: redis.Redis,
    user: redis.Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.LOG_STREAM_MAXLEN = 100
    monkeypatch.setattr(ingest, "CLAIM_IDLE_MS", 50)
    words = [word for right in rights().values() for word in right]
    command(owner, "ACL", "SETUSER", INGEST, "~app:*", *words)
    LogSource.objects.create(kind="stream", name="app:*")
    pipe = owner.pipeline()
    for n in range(1_000):
        pipe.xadd(STREAM, {"msg": f"{n:04}"})
    pipe.execute()
    owner.xreadgroup(stream.GROUP, "dead", {STREAM: ">"}, count=10)
    with running():
        until(lambda: lines() == 1_000)
        until(lambda: 100 <= owner.xlen(STREAM) <= 200)
        owner.xadd("app:shop", {"msg": "of a pattern"})
        until(lambda: "of a pattern" in messages())
        chunk = stream.chunks([LogRecord(START, Level.INFO, "a", "of a chunk")])[0]
        entry: Any = owner.xadd(STREAM, chunk)  # type: ignore[arg-type]
        until(lambda: "of a chunk" in messages())
        until(lambda: not owner.xrange(STREAM, entry, entry))
    assert "may not" not in caplog.text
    with pytest.raises(NoPermissionError):
        user.set("x", "1")


def test_health_counts_the_restricted_ingester(owner: redis.Redis, user: redis.Redis, settings: Settings) -> None:
    with running():
        until(lambda: owner.exists(f"{stream.ALIVE}ingest:one"))
    settings.REDIS_URL = f"unix://{owner.connection_pool.connection_kwargs['path']}?db=0"
    assert health.ingest_lag() == health.Check(True, "1 ingester, the oldest line waits for 0.0 s")


def test_a_sender_may_add_and_nothing_else(owner: redis.Redis) -> None:
    (words,) = commands("A Redis user for senders")
    command(owner, *words)
    with redis.Redis.from_url(as_user(owner, words[2])) as sender:
        sender.xadd(STREAM, {"payload": json.dumps({"msg": "x"})})
        for denied in (["SET", "x", "1"], ["XADD", "other", "*", "a", "b"], ["XRANGE", STREAM, "-", "+"]):
            with pytest.raises(NoPermissionError):
                command(sender, *denied)
