"""Files that are followed: their formats, and that each line is taken once whatever rotates, cuts or kills."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from core import clock
from logs.models import LogSource
from logs.records import Level, LogRecord
from logs.sources import files, listen, states
from logs.sources.files_lines import Assembler, labels_of, service_of
from logs.sources.outlet import LEASE, POSITIONS
from tests import servers
from tests.logs.listening import listening, start, until
from tests.logs.streamed import FIRST, messages, records

NOW = clock.now()
POD = "/var/log/pods/shop_web-7d9f_0e1c2d3e/nginx/0.log"
ID = "0123456789abcdef" * 4


# --- Lines ---------------------------------------------------------------------------------------------------------


def read(*lines: str, path: str = "/var/log/app.log", service: str = "") -> list[tuple[LogRecord, int]]:
    assembler, end = Assembler(path, service), 0
    found: list[tuple[LogRecord, int]] = []
    for line in lines:
        end += len(line) + 1
        found += assembler.feed(line.encode(), end, NOW)
    return found + list(assembler.flush())


def test_lines_of_kubernetes_with_a_long_one_in_parts() -> None:
    found = read(
        "2026-11-21T10:00:00.123456789Z stdout F GET /",
        "2026-11-21T10:00:01Z stdout P a long ",
        "2026-11-21T10:00:01Z stdout P line in ",
        "2026-11-21T10:00:02Z stdout F parts",
        '2026-11-21T10:00:03Z stderr F {"level":"error","msg":"failed"}',
        path=POD,
    )
    assert [(record.message, record.level, record.service) for record, _ in found] == [
        ("GET /", Level.INFO, "nginx"),
        ("a long line in parts", Level.INFO, "nginx"),
        ("failed", Level.ERROR, "nginx"),
    ]
    assert clock.iso(found[0][0].timestamp) == "2026-11-21T10:00:00.123456Z"
    assert json.loads(found[2][0].metadata) == {
        "file": POD, "namespace": "shop", "pod": "web-7d9f", "container": "nginx", "stream": "stderr",
    }  # fmt: skip


def test_lines_of_docker_with_a_long_one_in_parts() -> None:
    def line(log: str, stream: str = "stdout") -> str:
        return json.dumps({"log": log, "stream": stream, "time": "2026-11-21T10:00:00.5Z"}, separators=(",", ":"))

    found = read(
        line("one\n"),
        line("a long "),
        line("line\n"),
        line("two\n", "stderr"),
        path=f"/x/containers/{ID}/{ID}-json.log",
    )
    assert [record.message for record, _ in found] == ["one", "a long line", "two"]
    assert {record.timestamp for record, _ in found} == {
        clock.micros(clock.moment(NOW).replace(2026, 11, 21, 10, 0, 0, 500_000))
    }
    assert found[0][0].service == ID[:12]
    assert json.loads(found[2][0].metadata)["container_id"] == ID


def test_a_trace_is_one_record_with_the_position_behind_its_last_line() -> None:
    lines = ["before", "Traceback (most recent call last):", '  File "a.py", line 1, in x', "ValueError: no", "after"]
    found = read(*lines)
    assert "line 1, in x" in str(found[1][0])
    ends = [sum(len(line) + 1 for line in lines[:count]) for count in (1, 4, 5)]
    assert [end for _, end in found] == ends


@pytest.mark.parametrize(
    "line", ['{"log":5}', '{"log":"x"}', "2026-11-21T10:00:00Z stdout X y", "2026-99-21T10:00:00Z stdout F y", "\udcff"]
)
def test_what_is_nearly_a_format_is_a_plain_line(line: str) -> None:
    assembler = Assembler("/var/log/app.log")
    list(assembler.feed(line.encode("utf-8", "surrogateescape"), 9, NOW))
    ((record, end),) = assembler.flush()
    assert (record.service, end) == ("app", 9)


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/var/log/app.log", "app"),
        ("/var/log/app.log.1", "app"),
        ("/var/log/app-20261121.log", "app"),
        ("/var/log/app_2026-11-21.log", "app"),
        (f"/var/log/containers/web-7d9f_shop_nginx-{ID}.log", "nginx"),
        (POD, "nginx"),
    ],
)
def test_the_service_of_a_path(path: str, service: str) -> None:
    assert service_of(path) == service


def test_the_links_of_kubernetes_name_the_pod() -> None:
    assert labels_of(f"/var/log/containers/web-7d9f_shop_nginx-{ID}.log").items() >= {
        "namespace": "shop", "pod": "web-7d9f", "container": "nginx",
    }.items()  # fmt: skip


# --- Following -----------------------------------------------------------------------------------------------------

followed = pytest.mark.django_db(transaction=True, databases=["default", "logs"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REFRESH_EVERY", "RENEW_EVERY", "PAUSE"):
        monkeypatch.setattr(listen, name, 0.05)
    for name in ("POLL_EVERY", "LOOK_EVERY", "GROUP_WAIT"):
        monkeypatch.setattr(files, name, 0.03)


def write(path: Path, *lines: object) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def state(source: LogSource) -> str:
    return states.states([source])[source.pk]


async def add(pattern: Path | str, **more: str) -> LogSource:
    return await LogSource.objects.acreate(kind="files", name=str(pattern), **more)


@asynccontextmanager
async def following(pattern: Path | str, **more: str) -> AsyncIterator[LogSource]:
    source = await add(pattern, **more)
    async with listening():
        await until(lambda: "taken since" in state(source) or "no file" in state(source))
        yield source


async def until_taken(client: redis.Redis, *wanted: object) -> None:
    """All of these, each once, in any order."""
    try:
        await until(lambda: len(messages(client)) >= len(wanted))
    finally:
        assert sorted(messages(client)) == sorted(map(str, wanted))


@followed
async def test_a_file_is_read_from_its_beginning_and_then_followed(redis_client: redis.Redis, tmp_path: Path) -> None:
    write(tmp_path / "app.log", "before")
    async with following(tmp_path / "*.log", service="shop") as source:
        await until_taken(redis_client, "before")
        write(tmp_path / "app.log", "now")
        await until_taken(redis_client, "before", "now")
        write(tmp_path / "new.log", "of a new file")
        await until_taken(redis_client, "before", "now", "of a new file")
        await until(lambda: state(source).startswith("2 files followed, 3 lines taken"))

    assert {record.service for record in records(redis_client)} == {"shop"}


@followed
async def test_a_line_without_an_end_waits_for_it(redis_client: redis.Redis, tmp_path: Path) -> None:
    async with following(tmp_path / "app.log"):
        with (tmp_path / "app.log").open("w", buffering=1) as file:
            file.write("one\nhalf a ")
            await until_taken(redis_client, "one")
            file.write("line\n")
            await until_taken(redis_client, "one", "half a line")


@followed
async def test_a_listener_goes_on_where_the_last_one_was(redis_client: redis.Redis, tmp_path: Path) -> None:
    write(tmp_path / "app.log", "one")
    async with following(tmp_path / "app.log"):
        await until_taken(redis_client, "one")
    write(tmp_path / "app.log", "two")
    async with listening():
        await until_taken(redis_client, "one", "two")


@followed
async def test_of_a_long_file_that_was_there_before_its_row_only_the_end_is_read(
    redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BEGIN_MAX", 25)
    write(tmp_path / "app.log", *(f"line {number:03}" for number in range(100)))
    async with following(tmp_path / "*.log"):
        await until_taken(redis_client, "line 098", "line 099")
        write(tmp_path / "new.log", *(f"line {number:03}" for number in range(50)))
        await until(lambda: len(messages(redis_client)) == 52)


@followed
async def test_rotation_by_renaming(redis_client: redis.Redis, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    async with following(log):
        with log.open("w", buffering=1) as old:
            old.write("one\n")
            await until_taken(redis_client, "one")
            log.rename(tmp_path / "app.log.1")
            write(log, "of the new one")
            await until_taken(redis_client, "one", "of the new one")
            old.write("late\n")
            await until_taken(redis_client, "one", "of the new one", "late")


@followed
async def test_what_was_renamed_while_nobody_listened_is_read_to_its_end(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    write(log, "one")
    async with following(log):
        await until_taken(redis_client, "one")
    write(log, "two")
    log.rename(tmp_path / "app.log.1")
    write(log, "three")
    async with listening():
        await until_taken(redis_client, "one", "two", "three")


@followed
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("listens", [True, False])
async def test_rotation_by_copying(redis_client: redis.Redis, tmp_path: Path, pattern: str, listens: bool) -> None:
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    write(log, "one")
    source = await add(tmp_path / pattern)
    async with listening():
        await until_taken(redis_client, "one")
        await until(lambda: "1 line" in state(source))
        if listens:
            # All within one look: the last line before the cut stands in the copy only.
            write(log, "two")
            copy.write_bytes(log.read_bytes())
            os.truncate(log, 0)
            write(log, "three")
            await until_taken(redis_client, "one", "two", "three")
    if not listens:
        write(log, "two")
        copy.write_bytes(log.read_bytes())
        os.truncate(log, 0)
        write(log, "three")
    async with listening():
        await until_taken(redis_client, "one", "two", "three")
        write(log, "four")
        await until_taken(redis_client, "one", "two", "three", "four")


@followed
async def test_a_copy_of_a_file_that_goes_on_is_not_taken(redis_client: redis.Redis, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, "one", "two")
    async with following(tmp_path / "app*") as source:
        await until_taken(redis_client, "one", "two")
        (tmp_path / "app.bak").write_bytes(log.read_bytes())
        write(log, "three")
        await until_taken(redis_client, "one", "two", "three")
        assert "1 file followed" in await asyncio.to_thread(state, source)


@followed
async def test_a_file_that_begins_like_another_one_is_no_copy_as_soon_as_it_goes_on(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    write(tmp_path / "app.log", "start", "one")
    async with following(tmp_path / "app*"):
        await until_taken(redis_client, "start", "one")
        write(tmp_path / "app-2.log", "start")
        await asyncio.sleep(0.2)
        write(tmp_path / "app-2.log", "two")
        await until_taken(redis_client, "start", "one", "start", "two")


@followed
async def test_a_file_that_is_cut_without_a_copy_is_read_anew(redis_client: redis.Redis, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, "a long first line")
    async with following(log):
        await until_taken(redis_client, "a long first line")
        log.write_text("short\n")
        await until_taken(redis_client, "a long first line", "short")
        log.write_text("as long as it was: another file\n")
        await until_taken(redis_client, "a long first line", "short", "as long as it was: another file")


@followed
async def test_a_deleted_file_is_let_go_and_forgotten_and_one_that_comes_again_is_read(
    redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LET_GO", 0.1)
    log = tmp_path / "app.log"
    log.write_text("one\nno end")
    async with following(log) as source:
        await until_taken(redis_client, "one")
        log.unlink()
        await until_taken(redis_client, "one", "no end")
        await until(lambda: state(source) == "no file matches yet")
        await until(lambda: redis_client.hkeys(POSITIONS) == [f"files:{source.pk}:{log}".encode()])
        write(log, "again")
        await until_taken(redis_client, "one", "no end", "again")


@followed
async def test_two_rows_that_match_one_file_take_it_once(redis_client: redis.Redis, tmp_path: Path) -> None:
    await add(tmp_path / "*.log")
    async with following(tmp_path / "app.*"):
        write(tmp_path / "app.log", "one")
        await until_taken(redis_client, "one")
        write(tmp_path / "app.log", "two")
        await until_taken(redis_client, "one", "two")


@followed
async def test_packed_files_and_directories_are_no_logs(redis_client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "app.log.1.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "app.log.d").mkdir()
    async with following(tmp_path / "app.log*") as source:
        await until(lambda: state(source) == "no file matches yet")


@followed
async def test_more_files_than_can_be_followed_are_counted(
    redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FILES_MAX", 2)
    for number in range(3):
        write(tmp_path / f"{number}.log", number)
    async with following(tmp_path / "*.log") as source:
        await until(lambda: "1 files are left out, 2 is the most" in state(source))


# --- A real logrotate, and kill -9 ---------------------------------------------------------------------------------

ROTATE = """
{log} {{
    rotate 50
    size 1
    missingok
    nodateext
    {how}
}}
"""


class Writer(threading.Thread):
    """Appends numbered lines, as a program that opens its log anew when it is renamed."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log, self.count, self.ended = log, 0, threading.Event()
        self.lock = threading.Lock()

    def run(self) -> None:
        while not self.ended.wait(0.002):
            with self.lock, self.log.open("a") as file:
                for _ in range(5):
                    file.write(f"{self.count:06}\n")
                    self.count += 1


async def until_more(client: redis.Redis) -> None:
    before = client.xlen(FIRST)
    await until(lambda: client.xlen(FIRST) > before, 60)


@followed
@pytest.mark.logrotate
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("how", ["create", "copytruncate"])
async def test_each_line_is_taken_once_while_logrotate_rotates_and_the_listener_is_killed(
    redis_client: redis.Redis, tmp_path: Path, how: str, pattern: str
) -> None:
    log, config = tmp_path / "app.log", tmp_path / "rotate.conf"
    config.write_text(ROTATE.format(log=log, how=how))
    write(log)
    await add(tmp_path / pattern)
    writer, chance = Writer(log), random.Random(7)

    def rotate() -> None:
        # copytruncate loses what is written between the copy and the cut: that is not what is tested.
        with writer.lock:
            subprocess.run(
                [servers.program("logrotate") or "logrotate", "-f", "-s", tmp_path / "state", config],
                check=True, capture_output=True, timeout=30,
            )  # fmt: skip

    output = tmp_path / "output"
    writer.start()
    try:
        for _ in range(3):
            process = start(output)
            try:
                await until_more(redis_client)
                await asyncio.to_thread(rotate)
                await asyncio.sleep(chance.random())
            finally:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            redis_client.delete(LEASE)  # its successor needn't wait for it
            await asyncio.to_thread(rotate)  # nobody listens now
    finally:
        writer.ended.set()
        writer.join()
    process = start(output)
    try:
        await until(lambda: redis_client.exists(LEASE))  # one that still begins would end by the signal alone
        await until(lambda: len(messages(redis_client)) >= writer.count, 60)
    finally:
        process.terminate()
        assert process.wait(10) == 0, output.read_text()

    assert sorted(messages(redis_client)) == [f"{number:06}" for number in range(writer.count)]
