"""What no real engine does at will: lines with one time, answers that break off, proxies. An engine of paper does."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import redis
from aiohttp import web

from core import clock
from logs.models import LogSource
from logs.sources import docker_logs, listen
from logs.sources.docker_engine import Container, Engine, EngineError
from logs.sources.docker_logs import metadata_of, service_of
from logs.sources.states import states
from tests.logs.listening import listening, until
from tests.logs.streamed import messages, records

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

ID = "c" * 64
SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "REFRESH_EVERY", 0.05)
    monkeypatch.setattr(listen, "RENEW_EVERY", 0.05)
    monkeypatch.setattr(listen, "PAUSE", 0.05)
    monkeypatch.setattr(docker_logs, "EVENTS_MIN", 0.0)


class PaperEngine:
    """One container, made just now, with lines of `(time in ns, stream, text)`."""

    def __init__(self) -> None:
        self.now = clock.now() * 1_000
        self.lines: list[tuple[int, int, str]] = []
        self.running = True
        self.started = 1
        self.cuts: list[int] = []  # bytes after which the next answers break off
        self.asked = 0
        self.info_status = 200
        self.silence = asyncio.Event()  # ends what is followed, and the events

    def say(self, nanosecond: int, *texts: str, stream: int = 1) -> None:
        self.lines += [(self.now + nanosecond, stream, text) for text in texts]

    @asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/info", self._info)
        app.router.add_get("/events", self._events)
        app.router.add_get("/containers/json", self._list)
        app.router.add_get("/containers/{id}/json", self._inspect)
        app.router.add_get("/containers/{id}/logs", self._logs)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        try:
            yield f"unix://{path}"
        finally:
            self.silence.set()
            await runner.cleanup()

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response({"Name": "paper"}, status=self.info_status)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await self.silence.wait()
        return answer

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response([{"Id": ID, "State": "running" if self.running else "exited", "Labels": {}}])

    async def _inspect(self, request: web.Request) -> web.Response:
        state = {"Running": self.running, "StartedAt": f"run {self.started}"}
        config = {"Image": "paper:1", "Tty": False, "Labels": None}
        created = clock.iso(self.now // 1_000 + clock.SECOND)
        found = {"Id": ID, "Name": "/sheet", "Created": created, "State": state, "Config": config}
        return web.json_response(found)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        seconds, _, rest = request.query.get("since", "0.0").partition(".")
        since = int(seconds) * SECOND + int(rest)
        answer = web.StreamResponse()
        await answer.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        data = b"".join(_message(*line) for line in self.lines if line[0] >= since)
        await answer.write(data[:cut])
        if cut is not None:
            assert request.transport
            request.transport.close()
        elif request.query["follow"] == "1" and self.running:
            await self.silence.wait()
        return answer


def _message(at: int, stream: int, text: str) -> bytes:
    when = f"{clock.moment(at // 1_000):%Y-%m-%dT%H:%M:%S.%f}{at % 1_000:03}Z"
    body = f"{when} {text}\n".encode()
    return struct.pack(">BxxxI", stream, len(body)) + body


async def add(address: str) -> LogSource:
    return await LogSource.objects.acreate(kind="docker", name=address)


# --- Each line once ------------------------------------------------------------------------------------------------


async def test_lines_with_one_time_are_each_sent_once(redis_client: redis.Redis, tmp_path: Path) -> None:
    engine = PaperEngine()
    engine.say(1, "a", "b", "c")
    async with engine.serve(tmp_path / "s") as address:
        await add(address)
        async with listening():
            await until(lambda: messages(redis_client) == ["a", "b", "c"])
        engine.say(1, "d", "e")
        engine.say(2, "f")
        async with listening():
            await until(lambda: messages(redis_client)[3:] == ["d", "e", "f"])
        engine.say(2, "g")
        engine.say(2, "h", stream=2)
        async with listening():
            await until(lambda: sorted(messages(redis_client)[6:]) == ["g", "h"])


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("cut", [1, 45, 80, 130, 180, 230])
async def test_an_answer_that_breaks_off_is_asked_for_again(
    redis_client: redis.Redis, tmp_path: Path, cut: int, running: bool
) -> None:
    trace = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "    f()", "ValueError: no"]
    engine = PaperEngine()
    engine.say(1, "before")
    engine.say(2, *trace)
    engine.say(3, "after")
    engine.cuts = [cut, cut + 40]
    engine.running = running
    async with engine.serve(tmp_path / "s") as address:
        await add(address)
        async with listening():
            await until(lambda: "after" in messages(redis_client))

    before, error, after = records(redis_client)
    assert (before.message, after.message) == ("before", "after")
    assert "ValueError: no" in error.message + error.metadata.decode()
    assert engine.asked >= 3


async def test_what_was_sent_is_not_asked_for_again_and_again(redis_client: redis.Redis, tmp_path: Path) -> None:
    """A log of gigabytes, whose stderr is empty."""
    engine = PaperEngine()
    engine.say(1, "old")
    engine.say(100 * SECOND, "new")
    async with engine.serve(tmp_path / "s") as address:
        await add(address)
        async with listening():
            await until(lambda: messages(redis_client) == ["old", "new"])
    position: Any = redis_client.hget("pharos:positions", f"docker:{ID}")

    assert json.loads(position)["since"] == engine.now + 90 * SECOND


async def test_when_events_end_what_started_meanwhile_is_found(redis_client: redis.Redis, tmp_path: Path) -> None:
    engine = PaperEngine()
    engine.running = False
    engine.say(1, "first run")
    async with engine.serve(tmp_path / "s") as address:
        await add(address)
        async with listening():
            await until(lambda: messages(redis_client) == ["first run"])
            engine.say(2, "second run")
            engine.silence.set()  # the events end
            await until(lambda: messages(redis_client) == ["first run", "second run"])


# --- What is said --------------------------------------------------------------------------------------------------


async def test_an_engine_that_keeps_its_name_to_itself(redis_client: redis.Redis, tmp_path: Path) -> None:
    engine = PaperEngine()
    engine.info_status = 403
    engine.say(1, "hello")
    async with engine.serve(tmp_path / "s") as address:
        await add(address)
        async with listening():
            await until(lambda: messages(redis_client) == ["hello"])
    [record] = records(redis_client)
    assert json.loads(record.metadata)["host"] == address


async def test_an_engine_that_is_away_is_said_and_followed_once_it_is_there(
    redis_client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = PaperEngine()
    engine.say(1, "hello")
    source = await add(f"unix://{tmp_path}/s")
    async with listening():
        await until(lambda: "There is no Docker engine at unix://" in states([source])[source.pk])
        await until(lambda: "tried again in 0.4 s" in states([source])[source.pk])
        async with engine.serve(tmp_path / "s"):
            await until(lambda: messages(redis_client) == ["hello"])
        await until(lambda: "There is no Docker engine at unix://" in states([source])[source.pk])
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 2, "once each time, not for each container"


def test_a_socket_that_may_not_be_opened_is_explained() -> None:
    key: Any = None
    refused = aiohttp.ClientConnectorError(key, PermissionError(13, "Permission denied"))

    error = Engine("unix:///var/run/docker.sock")._unreachable(refused)

    assert str(error).startswith("This user may not open /var/run/docker.sock: put a socket proxy before it")


async def test_what_is_no_engine_is_said(tmp_path: Path) -> None:
    app = web.Application()
    app.router.add_get("/info", _page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    async with Engine(f"unix://{tmp_path}/s") as engine:
        with pytest.raises(EngineError, match="Expected the answer of a Docker engine, got b'<html>'"):
            await engine.name()
        with pytest.raises(EngineError, match="answers /containers/json with 404"):
            await engine.containers()
    await runner.cleanup()


async def _page(request: web.Request) -> web.Response:
    return web.Response(text="<html>", content_type="text/html")


# --- Labels --------------------------------------------------------------------------------------------------------


def container(**labels: str) -> Container:
    state, config = {"Running": True}, {"Image": "shop:1", "Labels": labels}
    fields = {"Id": ID, "Name": "/shop-orders-1", "Created": "", "State": state, "Config": config}
    return msgspec.convert(fields, Container)


@pytest.mark.parametrize(
    ("labels", "default", "service"),
    [
        ({}, "", "shop-orders-1"),
        ({"com.docker.compose.service": "orders"}, "", "orders"),
        ({"com.docker.swarm.service.name": "shop_orders"}, "", "shop_orders"),
        ({"io.kubernetes.container.name": "orders"}, "", "orders"),
        ({"com.docker.compose.service": "orders"}, "shop", "shop"),
        ({"pharos.service": "payments", "com.docker.compose.service": "orders"}, "shop", "payments"),
        ({"pharos.service": " \n"}, "", "shop-orders-1"),
        ({"pharos.service": "x" * 5_000}, "", "x" * 200),
        ({"pharos.service": "a\0b\x1b[31m"}, "", "a\ufffdb\ufffd[31m"),
    ],
)
def test_the_service_of_a_container(labels: dict[str, str], default: str, service: str) -> None:
    assert service_of(container(**labels), default) == service


def test_what_is_known_of_a_container_is_bounded() -> None:
    hostile = {"com.docker.compose.project": "<script>" + "x" * 5_000, "io.kubernetes.pod.name": "a\nb", "other": "y"}
    assert metadata_of(container(**hostile), "box") == {
        "container": "shop-orders-1",
        "container_id": "c" * 12,
        "image": "shop:1",
        "host": "box",
        "compose_project": "<script>" + "x" * 192,
        "pod": "a\ufffdb",
    }
