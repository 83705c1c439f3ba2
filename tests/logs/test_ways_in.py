"""No secret is left, whichever way it came in: not in the database, not in Redis, not in what viewers get.

A new way in is a function in WAYS: it sends the lines of `secrets(way)`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest
import redis
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connections
from django.http import QueryDict
from django.test import Client
from pytest_django import Settings

from accounts import keys
from accounts.models import Scope
from core import clock
from logs import ingest, live, plain, stream
from logs.api import events
from logs.edge import Edge
from logs.handler import StreamHandler
from logs.models import DeadLetter, LogSource
from logs.search import parse_search
from logs.sources.outlet import Outlet
from tests import servers
from tests.logs.ingesting import lines, records, running
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

FIRST: Final = "pharos:logs"
CARD: Final = "4111111111111111"


def secrets(way: str) -> list[dict[str, Any]]:
    """Lines with secrets, each of which has the way's name in it, and the card."""
    word = f"s3cr3t-{way}"
    return [
        {"msg": f"{way} login password={word} ok", "token": word, "deep": {"a": [{"dbPassword": word}]}},
        {
            "msg": f"{way} postgres://bob:{word}@db/x, card {CARD}",
            "title": f"secret: {word}",
            "h": f"Bearer {word}-123",
        },
    ]


def post(content: bytes, path: str = "/api/logs") -> None:
    async def send() -> int:
        edge = Edge()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=edge), base_url="http://pharos") as client:  # type: ignore[arg-type]
            answer = await client.post(path, content=content, headers=headers)
        await edge.close()
        assert "s3cr3t" not in answer.text
        return answer.status_code

    _, key = keys.create("sender", [Scope.INGEST])
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    assert async_to_sync(send)() in (200, 202, 204, 400)


def post_object(client: redis.Redis) -> None:
    for line in secrets("object"):
        post(json.dumps(line, indent=1).encode())


def post_array(client: redis.Redis) -> None:
    post(json.dumps(secrets("array")).encode())


def post_lines(client: redis.Redis) -> None:
    bad = [b'{"password": "s3cr3t-refused", ', b'"s3cr3t"'[:2]]
    post(b"\n".join([*(json.dumps(line).encode() for line in secrets("ndjson")), *bad]))


def push_to_loki(client: redis.Redis) -> None:
    values = [[str(clock.now() * 1_000), json.dumps(line), {"token": "s3cr3t-label"}] for line in secrets("loki")]
    post(json.dumps({"streams": [{"stream": {"app": "x"}, "values": values}]}).encode(), "/loki/api/v1/push")


def export_to_otlp(client: redis.Redis) -> None:
    records = [
        {"body": {"stringValue": line.pop("msg")}, "attributes": [attribute(*pair) for pair in line.items()]}
        for line in secrets("otlp")
    ]
    post(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode(), "/v1/logs")


def attribute(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": {"stringValue": value if isinstance(value, str) else json.dumps(value)}}


def listen(client: redis.Redis) -> None:
    """What syslog, files and containers of Docker have in common."""

    async def hand_over() -> None:
        out = Outlet("test")
        sending = asyncio.create_task(out.run())
        for line in secrets("text"):
            await out.put(plain.read(line["msg"] + " " + json.dumps(line), clock.now(), labels={"token": "s3cr3t"}))
        await out.finish(10)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await out.close()

    asyncio.run(hand_over())


def xadd_packed(client: redis.Redis) -> None:
    client.xadd(FIRST, {"data": gzip.compress("\n".join(map(json.dumps, secrets("packed"))).encode())})


def xadd_json(client: redis.Redis) -> None:
    for line in secrets("json"):
        client.xadd(FIRST, {"data": json.dumps(line)})


def xadd_array(client: redis.Redis) -> None:
    client.xadd(FIRST, {"data": json.dumps(secrets("xarray"))})


def xadd_flat(client: redis.Redis) -> None:
    for line in secrets("flat"):
        client.xadd(
            FIRST, {name: value if isinstance(value, str) else json.dumps(value) for name, value in line.items()}
        )


def publish(client: redis.Redis) -> None:
    for line in secrets("channel"):
        client.publish("shop", json.dumps(line))


def own_handler(client: redis.Redis) -> None:
    handler = StreamHandler(service="own")
    logger = logging.Logger("own")
    logger.addHandler(handler)
    for line in secrets("handler"):
        logger.error("%s", line.pop("msg"), extra=line)
    handler.flush()
    handler.close()


WAYS: Final[dict[str, Callable[[redis.Redis], None]]] = {
    "object": post_object,
    "array": post_array,
    "ndjson": post_lines,
    "loki": push_to_loki,
    "otlp": export_to_otlp,
    "text": listen,
    "packed": xadd_packed,
    "json": xadd_json,
    "xarray": xadd_array,
    "flat": xadd_flat,
    "channel": publish,
    "handler": own_handler,
}


@pytest.fixture
def own_redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    monkeypatch.setattr(ingest, "REFRESH_EVERY", 0.05)
    monkeypatch.setattr(ingest, "BLOCK_MS", 50)
    live._feeds.clear()
    with servers.valkey_server() as (url, _), redis.Redis.from_url(url) as client:
        settings.REDIS_URL = url
        yield client


def in_redis(client: redis.Redis) -> str:
    """All keys with all they hold."""
    found: list[Any] = []
    for key in cast("list[bytes]", client.keys()):
        kind = cast("bytes", client.type(key))
        found.append((key, client.xrange(key) if kind == b"stream" else client.dump(key)))
    return repr(found)


def in_files() -> str:
    """The database files as they are, and the lines in the compressed blocks."""
    files = [Path(connections[alias].settings_dict["NAME"]) for alias in ("default", "logs")]
    raw = b"".join(path.read_bytes() for file in files for path in file.parent.glob(file.name + "*"))
    return raw.decode("latin-1") + repr(records()) + repr(list(DeadLetter.objects.values()))


async def sse(count: int) -> str:
    search = parse_search(QueryDict(""), now=clock.now(), period="")
    parts = []
    found = events(search, (0, (0, 0)))
    async with asyncio.timeout(10):
        async for part in found:
            parts.append(part.decode())
            if "".join(parts).count("\nid: ") + "".join(parts).startswith("id: ") >= count:
                break
    await cast("Any", found).aclose()
    return "".join(parts)


def test_no_secret_is_left_whichever_way_it_came(own_redis: redis.Redis, client: Client) -> None:
    LogSource.objects.create(kind="channel", name="shop")
    count = 2 * len(WAYS)
    with running():
        until(lambda: own_redis.pubsub_channels())
        for way in WAYS.values():
            way(own_redis)
        own_redis.xadd(FIRST, {"data": '{"password": "s3cr3t-broken", '})
        own_redis.xadd(FIRST, {"level": "x", "timestamp": "no time", "password": "s3cr3t-dead"})
        own_redis.xadd(FIRST, {"data": '{"msg": "clean"}'})
        until(lambda: lines() >= count + 1 and DeadLetter.objects.count() >= 1)
        until(lambda: own_redis.xpending(FIRST, stream.GROUP)["pending"] == 0)
    stored = repr(records())
    assert [way for way in WAYS if f"{way} login password=[redacted] ok" not in stored] == []
    client.force_login(User.objects.create_superuser("admin"))
    page = client.get("/logs/").content.decode()
    live_lines = async_to_sync(sse)(count)
    assert "channel login password=[redacted] ok" in page
    assert "channel login password=[redacted] ok" in live_lines
    places = {"files": in_files(), "Redis": in_redis(own_redis), "SSE": live_lines, "page": page}
    for name, text in places.items():
        assert [secret for secret in ("s3cr3t", CARD) if secret in text] == [], name
    assert "clean" in in_redis(own_redis)  # what has no secret stays for other readers
