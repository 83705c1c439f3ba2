"""`manage.py up` as a user runs it: real processes, a data directory and ports of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from django.conf import settings

from monitor import valkey

MANAGE = [sys.executable, "manage.py", "up"]
OURS = ("PHAROS_", "Logging__", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
NAMES = ["valkey", "web", "ingest", "worker", "beat"]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes in /proc")


def environment(**variables: str) -> dict[str, str]:
    """Without what the tests themselves run with."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**rest, **variables}


class Up:
    """A running `manage.py up`."""

    def __init__(self, data: Path, **variables: str) -> None:
        self.port = valkey.free_port()
        # Of its own, since other tests run at the same time.
        redis_port = str(valkey.free_port())
        self.output = data.parent / f"output-{self.port}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                MANAGE,
                cwd=settings.BASE_DIR,
                env=environment(
                    PHAROS_DATA_DIR=str(data), PHAROS_PORT=str(self.port), PHAROS_REDIS_PORT=redis_port, **variables
                ),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def until(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        found: list[re.Match[str]] = []

        def look() -> bool:
            assert self.process.poll() is None, self.said
            found[:] = re.finditer(pattern, self.said)
            return bool(found)

        await_true(look, lambda: self.said, seconds)
        return found[0]

    def children(self) -> dict[str, int]:
        """The processes that it has started, by name."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {named: int(child) for child in children if (named := name_of(child))}

    def stop(self, signum: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(signum)
        return self.process.wait(30)


def name_of(pid: str) -> str | None:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
        marks = {
            "valkey-server": "valkey",
            "monitor.web": "web",
            " ingest": "ingest",
            " worker": "worker",
            " beat": "beat",
        }
        return next((name for mark, name in marks.items() if mark in words), None)
    return None


@contextmanager
def up(data: Path, **variables: str) -> Iterator[Up]:
    started = Up(data, **variables)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                started.stop(signal.SIGTERM)
            started.process.kill()
            started.process.wait()


def await_true(condition: Callable[[], object], explain: Callable[[], str] = str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)


def gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return " Z " in status.read_text()
    except OSError:
        return True


def failing(**variables: str) -> str:
    """The output of a start that must fail."""
    done = subprocess.run(
        MANAGE, cwd=settings.BASE_DIR, env=environment(**variables), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


# --- What works ----------------------------------------------------------------------------------------------------


@linux_only
def test_from_nothing_to_an_accepted_line_and_back_to_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data) as first:
        first.until("Pharos is running")
        first.until(r"User +admin\n")
        first.until(r"Password +[a-z0-9-]{23} ")

        # The line that is printed does what it says when it is pasted.
        curl = first.until(r"Send a line:\n +(curl .*)\n").group(1)
        answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=30)
        assert '"accepted":1' in answer.stdout.replace(" ", "")

        # Local services find the stream on the loopback port that is printed.
        redis_url, stream = first.until(r"Redis +(redis://\S+), stream (\S+)").groups()
        with redis.Redis.from_url(redis_url) as client:
            assert client.xadd(stream, {"message": "from a service", "level": "info"})

        pids = first.children()
        assert sorted(pids) == sorted(NAMES)
        second = failing(PHAROS_DATA_DIR=str(data), PHAROS_PORT=str(valkey.free_port()))
        assert second == f"pharos: It already runs with the data directory {data}, as process {first.process.pid}."

        assert first.stop() == 0
        assert "Stopped beat, worker, ingest, web, valkey." in first.said
        assert all(gone(pid) for pid in pids.values())

    with up(data) as later:
        later.until("Pharos is running")
        assert "changepassword admin" in later.said
        assert "up to date" not in later.said
        assert "Collecting" not in later.said


@linux_only
def test_a_killed_process_comes_back_and_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    with up(tmp_path / "data", PHAROS_ADMIN_PASSWORD="given-password", PHAROS_API_KEY="given-key-123") as running:
        running.until("Pharos is running")
        assert "given-password" not in running.said
        await_true(lambda: len(running.children()) == len(NAMES))
        before = running.children()

        os.kill(before["worker"], signal.SIGKILL)
        running.until(r"worker was ended by SIGKILL\. It is started again in 0\.5 s\.")
        await_true(lambda: running.children().get("worker", before["worker"]) != before["worker"])

        pids = running.children()
        running.process.kill()
        running.process.wait()
        await_true(lambda: all(gone(pid) for pid in pids.values()))


@linux_only
def test_a_listener_runs_while_a_source_of_the_admin_needs_one(tmp_path: Path) -> None:
    data, port = tmp_path / "data", valkey.free_port()
    with up(data, PHAROS_API_KEY="given-key-123") as running:
        running.until("Pharos is running")
        with closing(sqlite3.connect(data / "pharos.sqlite3", timeout=30)) as database:
            database.execute(
                "INSERT INTO logs_logsource (kind, name, service, senders, enabled, comment)"
                " VALUES ('syslog', ?, '', '', 1, '')",
                [f"udp+tcp://127.0.0.1:{port}"],
            )
            database.commit()
            running.until("Starting listen")
            running.until("Listening to the sources")
            logger = ["logger", "--server", "127.0.0.1", "--port", str(port), "--tcp", "--tag", "shop", "Order placed"]
            await_true(lambda: not subprocess.run(logger, capture_output=True, timeout=30).returncode)
            url = f"http://127.0.0.1:{running.port}/api/logs?q=service:shop"
            request = urllib.request.Request(url, headers={"Authorization": "Bearer given-key-123"})
            await_true(lambda: b"Order placed" in urllib.request.urlopen(request, timeout=10).read())

            database.execute("DELETE FROM logs_logsource")
            database.commit()
        running.until(r"Stopped listen\.")
        assert sorted(running.children()) == sorted(NAMES)


# --- What doesn't --------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_named_with_its_variable(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        said = failing(PHAROS_DATA_DIR=str(tmp_path), PHAROS_PORT=str(port))

    assert said == f"pharos: Port {port} on 127.0.0.1 is taken by another program; set PHAROS_PORT to a free one."


def test_an_address_of_another_machine_is_named_with_its_variable(tmp_path: Path) -> None:
    said = failing(PHAROS_DATA_DIR=str(tmp_path), PHAROS_HOST="192.0.2.1")

    assert said.startswith("pharos: The web server can't listen on 192.0.2.1 port 8000 (")
    assert "set PHAROS_HOST" in said


def test_a_value_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    said = failing(PHAROS_DATA_DIR=str(tmp_path), PHAROS_PORT="eighty")

    assert said == "pharos: PHAROS_PORT must be a whole number from 1 to 65,535, but it is 'eighty'."


def test_a_data_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    said = failing(PHAROS_DATA_DIR=str(tmp_path / "file" / "data"))

    assert said.startswith("pharos: PHAROS_DATA_DIR must be a directory that can be written, but ")


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    said = failing(
        PHAROS_DATA_DIR=str(tmp_path),
        PHAROS_PORT=str(valkey.free_port()),
        DATABASE_URL=f"postgres://user:secret@127.0.0.1:{valkey.free_port()}/pharos",
    )

    assert said.startswith("pharos: The database 'pharos' on 127.0.0.1 (DATABASE_URL) can't be reached: ")
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize("place", [100, 4096])  # of the list of its tables, and of the first one
def test_a_database_that_is_damaged_is_named_with_what_to_do(tmp_path: Path, place: int) -> None:
    file = tmp_path / "pharos.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE django_migrations (id, app, name, applied)")
        connection.commit()
    content = bytearray(file.read_bytes())
    content[place : place + 8] = b"\xff" * 8
    file.write_bytes(content)

    said = failing(PHAROS_DATA_DIR=str(tmp_path), PHAROS_PORT=str(valkey.free_port()))

    assert said == (
        f"pharos: The SQLite database {file} is damaged: database disk image is malformed. "
        "What to do: docs/troubleshooting.md#the-database-is-damaged"
    )


def test_a_database_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "pharos.sqlite3").write_text("this is a letter to my aunt, and not a database" * 100)

    said = failing(PHAROS_DATA_DIR=str(tmp_path), PHAROS_PORT=str(valkey.free_port()))

    assert said == (
        f"pharos: The SQLite database {tmp_path / 'pharos.sqlite3'} is damaged: file is not a database. "
        "What to do: docs/troubleshooting.md#the-database-is-damaged"
    )
