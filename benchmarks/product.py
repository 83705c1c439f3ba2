"""The product under test: `manage.py up` in a temporary data directory, on free ports, and what /proc says of it.

Linux only. Everything is sent to the loopback address; what was started is stopped by its process id.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, NoReturn, Self
from urllib.parse import urlencode

import msgspec
import redis

from monitor import valkey
from monitor.supervisor import die_with_parent

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"
ADMIN: Final = "admin"
PASSWORD: Final = "benchmark-password"
API_KEY: Final = "benchmark-key-0123456789"
SECRET_KEY: Final = "benchmark-secret-key-0123456789"
STREAM: Final = "pharos:logs"
GROUP: Final = "ingest"
SUPERVISOR: Final = "supervisor"
NAMES: Final = ("valkey", "web", "ingest", "worker", "beat")
OURS: Final = ("PHAROS_", "Logging__", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
START_TIMEOUT: Final = 90.0  # seconds
STOP_TIMEOUT: Final = 30.0
TICKS: Final = os.sysconf("SC_CLK_TCK")


class ProductError(Exception):
    """The product does not do what a benchmark needs. The text is for people."""


class Memory(NamedTuple):
    """MB (10⁶ bytes). PSS shares out what several processes have in common; RSS counts it for each."""

    rss: float
    pss: float


class Product:
    """An installation. As a context manager it starts, and in the end stops and removes everything.

    `data` is where it writes; `variables` are further environment variables.
    """

    def __init__(self, data: Path | None = None, /, **variables: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pharos-benchmark-"))
        self.data = data or self.directory / "data"
        self.port = valkey.free_port()
        self.redis_port = int(variables.get("PHAROS_REDIS_PORT", 0)) or valkey.free_port()
        self.output = self.directory / "output.log"
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self.start_took = 0.0  # seconds to the login page

    def __enter__(self) -> Self:
        try:
            self.start_took = self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    # --- Start and stop ------------------------------------------------------------------------------------------

    def start(self) -> float:
        """Returns, once everything runs, the seconds that it took to the login page."""
        began = time.monotonic()
        self.launch()
        self._until(lambda: self.status("/login/") == 200, "the login page")
        took = time.monotonic() - began
        self.await_ready()
        return took

    def launch(self) -> None:
        """From the main thread: what is started ends with the thread that started it."""
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
            )

    def await_ready(self) -> None:
        self._until(lambda: "Pharos is running" in self._said(), "the word that it runs")
        self._until(lambda: self.status("/health/ready") == 200, "/health/ready")

    def environment(self) -> dict[str, str]:
        rest = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {
            **rest,
            "PHAROS_DATA_DIR": str(self.data),
            "PHAROS_PORT": str(self.port),
            "PHAROS_REDIS_PORT": str(self.redis_port),
            "PHAROS_ADMIN_PASSWORD": PASSWORD,
            "PHAROS_API_KEY": API_KEY,
            "PHAROS_SECRET_KEY": SECRET_KEY,
            **self._variables,
        }

    def _said(self) -> str:
        return self.output.read_text(errors="replace")

    def check(self) -> None:
        """Raises ProductError if it has ended by itself."""
        if self._process is None or self._process.poll() is not None:
            raise ProductError(f"Pharos ended by itself:\n{self._said()[-2_000:]}")

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise ProductError(f"{what} did not come within {START_TIMEOUT:g} s:\n{self._said()[-2_000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self, name: str) -> None:
        """kill -9 of one process. After that of the supervisor, `launch` again."""
        pid = self.pids().get(name)
        if pid is None:
            raise ProductError(f"{name} does not run:\n{self._said()[-2_000:]}")
        os.kill(pid, signal.SIGKILL)
        if name == SUPERVISOR and self._process:
            self._process.wait()
            self._process = None

    # --- Processes -----------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Everything that runs, by name: the supervisor and its children, and theirs."""
        if self._process is None:
            return {}
        found = {SUPERVISOR: self._process.pid}
        for pid in _descendants(self._process.pid):
            name = _name(pid)
            found[name if name not in found else f"{name} {pid}"] = pid
        return found

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU time that each process has used."""
        return {name: used for name, pid in self.pids().items() if (used := _cpu(pid)) is not None}

    def memory(self) -> dict[str, Memory]:
        return {name: used for name, pid in self.pids().items() if (used := _memory(pid)) is not None}

    # --- What it says --------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def status(self, path: str) -> int | None:
        """The status of a page; None if nobody answers."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            return connection.getresponse().status
        return None

    def get(self, path: str, **parameters: object) -> Any:
        """The JSON that the API answers."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        with closing(connection):
            target = f"{path}?{urlencode(parameters)}"
            connection.request("GET", target, headers={"Authorization": f"Bearer {API_KEY}"})
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise ProductError(f"GET {target} answered {answer.status}: {body[:300]!r}")
        return msgspec.json.decode(body)

    def records(self, query: str) -> Iterator[dict[str, Any]]:
        """Every stored record that matches, newest first, page by page."""
        after: dict[str, str] = {}
        while True:
            page = self.get("/api/logs", q=query, limit=1_000, **after)
            yield from page["records"]
            if page["next"] is None:
                return
            after = {"after": page["next"]}

    def count(self, query: str, start: int, end: int) -> int:
        """How many stored records match, with times from `start` to `end` (µs)."""
        step = max((end - start) // 1_000_000 // 1_000, 60)
        answer = self.get("/api/logs/histogram", q=query, **{"from": start, "to": end, "step": step})
        if not answer["complete"]:
            raise ProductError("the histogram did not finish within its time")
        return sum(sum(bucket["counts"].values()) for bucket in answer["buckets"])

    def waiting(self) -> int | None:
        """Entries of the stream that are not stored and acknowledged yet; None while nobody can say."""
        with redis.Redis(HOST, self.redis_port, socket_timeout=5) as client, suppress(redis.RedisError):
            for group in client.xinfo_groups(STREAM):
                if group["name"] == GROUP.encode():
                    # Redis can't tell the number while the last entry that was read is one that was deleted.
                    lag = group["lag"]
                    return int(group["pending"]) + (1 if lag is None else int(lag))
        return None

    # --- What it stored ------------------------------------------------------------------------------------------

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The log store's file, to read from beside the product."""
        with closing(sqlite3.connect(f"file:{self.data / 'logs.sqlite3'}?mode=ro", uri=True, timeout=20)) as connection:
            yield connection

    def file_bytes(self) -> int:
        """Of the log store's files, as the disk counts them."""
        return sum(path.stat().st_blocks * 512 for path in self.data.glob("logs.sqlite3*"))


def committed(connection: sqlite3.Connection) -> tuple[int, int]:
    """Lines that were stored, and the time (ms since the epoch) at which the newest of them reached the stream."""
    row = connection.execute("SELECT COALESCE(SUM(lines), 0), COALESCE(MAX(newest_entry), 0) FROM logs_logcommit")
    lines, newest = row.fetchone()
    return int(lines), int(newest)


def run(main: Callable[[], int]) -> NoReturn:
    """Ends this program with what `main` returns."""
    try:
        code = main()
    except ProductError as error:
        sys.exit(str(error))
    sys.exit(code)


# --- /proc -----------------------------------------------------------------------------------------------------------


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _name(pid: int) -> str:
    """As `up` calls it, from the environment that it gives its processes; Valkey puts its title over that."""
    with suppress(OSError):
        if b"valkey-server" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return "valkey"
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if variable.startswith(b"PHAROS_PROCESS=pharos-"):
                return variable.partition(b"=pharos-")[2].decode()
    return "other"


def _cpu(pid: int) -> float | None:
    with suppress(OSError):
        # proc(5): after the name in brackets, utime and stime are the 12th and 13th field.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return None


def cpu_of_all(pid: int) -> float:
    """Seconds of CPU time of a process and its descendants, those that have ended included."""
    ticks = 0
    for each in (pid, *_descendants(pid)):
        with suppress(OSError):
            # proc(5): utime, stime, and both of the children that were waited for.
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def _memory(pid: int) -> Memory | None:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
        return Memory(kilobytes["Rss"] * 1_024 / 1e6, kilobytes["Pss"] * 1_024 / 1e6)
    return None
