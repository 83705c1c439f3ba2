"""The logs of containers, of a real engine: each line once, with what is known of it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from logs.models import LogSource
from logs.records import LogRecord
from logs.sources import docker_logs, listen
from logs.sources.outlet import POSITIONS
from logs.sources.states import states
from services.models import DockerHost
from tests.docker.conftest import Engine
from tests.logs.listening import listening, start, until
from tests.logs.streamed import messages, records
from tests.services.paper_engine import Authority

pytestmark = [
    pytest.mark.docker,
    pytest.mark.xdist_group("docker"),
    pytest.mark.django_db(transaction=True, databases=["default", "logs"]),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "REFRESH_EVERY", 0.05)
    monkeypatch.setattr(listen, "RENEW_EVERY", 0.05)


async def add(address: str, **fields: Any) -> LogSource:
    return await LogSource.objects.acreate(kind="docker", name=address, **fields)


async def followed(source: LogSource, word: str = "followed") -> None:
    """Returns once the report of a source has a word."""
    await until(lambda: word in states([source])[source.pk])


@asynccontextmanager
async def following(engine: Engine) -> AsyncIterator[None]:
    """A listener that knows of all that the engine does from now on."""
    source = await add(engine.address)
    async with listening():
        await followed(source)
        yield


def metadata(record: LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.metadata)
    return found


def numbered(client: redis.Redis) -> list[int]:
    """Of the lines "line 1", "line 2", …, in their order."""
    found = sorted(records(client), key=lambda record: record.timestamp)
    return [int(record.message.split()[1]) for record in found if record.message.startswith("line ")]


# --- Engines that speak TLS ----------------------------------------------------------------------------------------


async def test_certificates_are_those_of_the_docker_host(redis_client: redis.Redis, engine: Engine) -> None:
    cert, key = engine.authority.issue("pharos")
    tls: Any = {"ca": engine.authority.pem, "cert": cert, "key": key}
    await DockerHost.objects.acreate(name="far", address=engine.encrypted, tls=tls)
    source = await add(engine.encrypted)
    async with listening():
        await followed(source)
        engine.run("echo hello")
        await until(lambda: "hello" in messages(redis_client))


@pytest.mark.parametrize(("whose", "sentence"), [("another", "can't be trusted"), ("none", "HTTPS server")])
async def test_an_engine_that_can_not_be_trusted_is_not_asked(engine: Engine, whose: str, sentence: str) -> None:
    if whose == "another":
        tls: Any = {"ca": Authority().pem}
        await DockerHost.objects.acreate(name="far", address=engine.encrypted, tls=tls)
    source = await add(engine.encrypted)
    async with listening():
        await followed(source, sentence)


# --- A line --------------------------------------------------------------------------------------------------------


async def test_a_line_appears_with_the_engines_time_and_all_that_is_known(
    redis_client: redis.Redis, engine: Engine
) -> None:
    async with following(engine):
        labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "orders"}
        container = engine.run("echo WARNING: low stock; echo lost >&2", labels=labels, name="shop_orders_1")
        await until(lambda: len(records(redis_client)) == 2)

    found = {record.message: record for record in records(redis_client)}
    out = next(record for record in found.values() if metadata(record)["stream"] == "stdout")
    assert "low stock" in out.message
    assert out.service == "orders"
    assert out.level.label == "warn"
    assert metadata(out) == {
        "container": "shop_orders_1",
        "container_id": container.short_id,
        "image": "busybox:local",
        "compose_project": "shop",
        "host": engine.client.info()["Name"],
        "stream": "stdout",
    }
    assert metadata(found["lost"])["stream"] == "stderr"
    [line] = container.logs(timestamps=True, stderr=False).splitlines()
    when = line.split()[0].decode()
    assert out.as_json()["timestamp"] == f"{when[:26]}Z"


async def test_a_container_with_a_terminal(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        engine.run("echo one; echo two >&2; head -c 100000 /dev/zero | tr '\\0' x; echo; printf end", tty=True)
        await until(lambda: "end" in messages(redis_client))

    assert messages(redis_client) == ["one", "two", "x" * 100_000, "end"]


async def test_a_long_line_is_whole_and_a_last_line_needs_no_end(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        engine.run(
            "head -c 100000 /dev/zero | tr '\\0' x; echo; head -c 2000000 /dev/zero | tr '\\0' y; echo; printf end"
        )
        await until(lambda: "end" in messages(redis_client))

    first, second, last = messages(redis_client)
    assert first == "x" * 100_000
    assert second.startswith("y" * 1_000_000)
    assert second.endswith("[cut by Pharos: the line is longer than 1 MiB]")
    assert last == "end"


async def test_stdout_and_stderr_interleaved(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        engine.run("i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; echo line $((1000+i)) >&2; done")
        await until(lambda: len(records(redis_client)) == 400)

    streams: dict[str, list[int]] = {"stdout": [], "stderr": []}
    for record in records(redis_client):
        streams[metadata(record)["stream"]].append(int(record.message.split()[1]))
    assert streams == {"stdout": [*range(1, 201)], "stderr": [*range(1_001, 1_201)]}


async def test_a_traceback_is_one_record(redis_client: redis.Redis, engine: Engine) -> None:
    trace = [
        "Traceback (most recent call last):",
        '  File "/app/pay.py", line 7, in pay',
        "    charge(card)",
        "ValueError: no card",
    ]
    async with following(engine):
        engine.run(f"cat >&2 <<'EOF'\n{chr(10).join(trace)}\nEOF\necho INFO after >&2")
        await until(lambda: len(records(redis_client)) == 2)

    record = next(record for record in records(redis_client) if "no card" in record.message + record.title)
    assert all(line.strip() in record.message + record.metadata.decode() for line in ("ValueError: no card",))
    assert "charge(card)" in record.message + record.metadata.decode()
    assert record.level.label == "error"


# --- Which containers ----------------------------------------------------------------------------------------------


async def test_labels_turn_a_container_off_and_name_its_service(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        engine.run("echo secret; sleep 100", labels={"pharos.logs": "False"})
        engine.run("echo one", labels={"pharos.service": "payments", "com.docker.compose.service": "web"})
        engine.run("echo two", name="plain-name")
        await until(lambda: len(records(redis_client)) == 2)

    assert {record.message: record.service for record in records(redis_client)} == {
        "one": "payments",
        "two": "plain-name",
    }


async def test_a_container_that_lives_for_a_moment(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        for number in range(1, 6):
            engine.run(f"echo line {number}; usleep 50000")
        await until(lambda: len(records(redis_client)) == 5)

    assert numbered(redis_client) == [1, 2, 3, 4, 5]


async def test_what_runs_already_is_read_from_its_newest_lines_and_what_has_ended_is_not(
    redis_client: redis.Redis, engine: Engine
) -> None:
    ended = engine.run("echo ended before")
    ended.wait()
    running = engine.run("i=0; while [ $i -lt 1500 ]; do i=$((i+1)); echo line $i; done; sleep 100")
    await until(lambda: len(running.logs().splitlines()) == 1_500)
    await asyncio.sleep(1.1)  # the engine's clock is read in whole seconds: what it wrote is of an earlier one
    await add(engine.address)
    async with listening():
        await until(lambda: len(records(redis_client)) == 1_000)
        await asyncio.to_thread(ended.start)  # what it wrote before stays where it is
        await until(lambda: len(records(redis_client)) == 1_001)

    assert numbered(redis_client) == [*range(501, 1_501)]


async def test_too_many_containers_are_said(
    redis_client: redis.Redis, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_logs, "CONTAINERS_MAX", 2)
    for _ in range(3):
        engine.run("sleep 100")
    source = await add(engine.address)
    async with listening():
        await followed(source, "1 are left out: 2 is the most")


async def test_a_log_that_the_engine_does_not_keep_is_said(redis_client: redis.Redis, engine: Engine) -> None:
    engine.run("sleep 100", log_config={"type": "none", "config": {}})
    source = await add(engine.address)
    async with listening():
        await followed(source, "configured logging driver does not support reading")


async def test_two_hosts(redis_client: redis.Redis, engine: Engine) -> None:
    first, second = await add(engine.address), await add(engine.second, service="second")
    async with listening():
        await followed(first)
        await followed(second)
        engine.run("echo hello", name="both")
        await until(lambda: len(records(redis_client)) == 2)

    assert {record.service for record in records(redis_client)} == {"both", "second"}


# --- Each line once ------------------------------------------------------------------------------------------------

WRITER = "i=0; while [ $i -lt 6000 ]; do i=$((i+1)); echo line $i; [ $((i % 20)) = 0 ] && usleep 10000; done"


def once(client: redis.Redis, last: int) -> bool:
    """Whether line 1 to `last` are there; fails when one is there twice."""
    counted = Counter(numbered(client))
    assert [number for number, times in counted.items() if times > 1] == []
    return counted.keys() == {*range(1, last + 1)}


async def test_every_line_once_when_the_listener_is_killed_again_and_again(
    redis_client: redis.Redis, engine: Engine, tmp_path: Path
) -> None:
    await add(engine.address)
    log = tmp_path / "listen.log"
    listener = start(log)
    try:
        await until(lambda: b"docker:unix" in b"".join(redis_client.hkeys(POSITIONS)))  # type: ignore[arg-type]
        engine.run(WRITER)
        for share in (500, 2_000, 4_000):
            await until(lambda share=share: len(numbered(redis_client)) >= share, seconds=30)  # type: ignore[misc]
            listener.kill()
            listener.wait()
            redis_client.delete("pharos:listen:lease")
            listener = start(log)
        await until(lambda: once(redis_client, 6_000), seconds=30)
    finally:
        listener.send_signal(signal.SIGTERM)
        listener.wait(15)


async def test_every_line_once_when_the_container_is_restarted(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        # Each run goes on counting, and ends in the middle of a line.
        script = (
            "i=$(cat /n 2>/dev/null || echo 0); j=$((i+100)); while [ $i -lt $j ]; do i=$((i+1)); echo line $i; done"
        )
        container = engine.run(f"{script}; echo $i > /n; printf 'half of run %d' $i; trap exit TERM; sleep 100 & wait")
        for run in (1, 2, 3):
            await until(lambda run=run: once(redis_client, 100 * run))  # type: ignore[misc]
            if run < 3:
                await asyncio.to_thread(container.restart, timeout=1)
        await asyncio.to_thread(container.stop, timeout=1)
        await until(lambda: "half of run 300" in messages(redis_client))

    halves = sorted(message for message in messages(redis_client) if message.startswith("half"))
    assert halves == ["half of run 100", "half of run 200", "half of run 300"]


async def test_every_line_once_when_the_engine_is_restarted(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        container = engine.run(WRITER)
        await until(lambda: len(numbered(redis_client)) > 500)
        engine.restart()  # not in a thread: the engine would end with it
        last = int(container.logs().split()[-1])
        await until(lambda: once(redis_client, last))
        engine.run("echo afterwards")
        await until(lambda: "afterwards" in messages(redis_client))


async def test_what_ended_while_nobody_listened_is_read(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        first = engine.run("trap 'echo line 2; exit' TERM; echo line 1; while :; do usleep 10000; done")
        await until(lambda: numbered(redis_client) == [1])
    first.stop(timeout=10)
    engine.run("echo line 3").wait()
    async with listening():
        await until(lambda: numbered(redis_client) == [1, 2, 3])


async def test_the_position_of_a_removed_container_is_forgotten(redis_client: redis.Redis, engine: Engine) -> None:
    async with following(engine):
        container = engine.run("echo line 1")
        await until(lambda: redis_client.hlen(POSITIONS) == 2)
        await asyncio.to_thread(container.remove, force=True)
        await until(lambda: redis_client.hlen(POSITIONS) == 1)
