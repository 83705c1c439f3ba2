"""How all processes know of each other: every few seconds each writes what it has counted into one hash of Redis.

A process that ends in peace removes its field. One that was killed stays there for an hour, with an age: so it is known
that there was one. Times are those of Redis, whatever the clocks of the hosts say.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from core import clock, meters
from core.meters import Numbers

log = logging.getLogger(__name__)

PROCESSES: Final = "pharos:processes"
EVERY: Final = 5.0  # seconds
ALIVE_FOR: Final = 20.0  # seconds since its last report
KNOWN_FOR: Final = 3_600.0  # seconds that one which was killed is remembered
TIMEOUT: Final = 2.0  # seconds
PROCESSES_MAX: Final = 500

_STARTED: Final = time.time()


class Report(msgspec.Struct, frozen=True):
    process: str  # what it is: "web", "ingest", "listen", "worker", "beat"
    replica: str  # which of them: "shop1:4711", its host and number
    at: int  # µs, by the clock of Redis
    clock: float  # seconds that the clock of its host is ahead of that of Redis
    numbers: list[Numbers]
    age: float = 0.0  # seconds, for who reads it

    @property
    def alive(self) -> bool:
        return self.age <= ALIVE_FOR

    def value(self, name: str) -> float | None:
        """The number of a counter or a gauge without labels."""
        found = next((each for each in self.numbers if each.name == name and each.series), None)
        return found.series[0][1][0] if found else None


class Reporter:
    """`begin` starts a thread, once for a process."""

    def __init__(self, process: str) -> None:
        self.process = process
        self.replica = f"{socket.gethostname()}:{os.getpid()}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    @property
    def field(self) -> str:
        return f"{self.process}/{self.replica}"

    def begin(self) -> None:
        self._thread.start()
        atexit.register(self.end)

    def end(self) -> None:
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT)  # what it is writing would come back
        with suppress(redis.RedisError, OSError), connect() as client:
            client.hdel(PROCESSES, self.field)

    def report(self, client: redis.Redis) -> None:
        """Raises RedisError."""
        before = clock.now()
        at = _time(client)
        ahead = ((before + clock.now()) / 2 - at) / clock.SECOND
        report = Report(self.process, self.replica, at, round(ahead, 3), [*meters.counted(), *own_process()])
        client.hset(PROCESSES, self.field, cast(Any, msgspec.msgpack.encode(report)))

    def _run(self) -> None:
        client = connect()
        forgotten = failing = False
        while not self._stopped.is_set():
            try:
                self.report(client)
                if not forgotten:
                    forgotten = bool(forget(client) + 1)
                failing = False
            except (redis.RedisError, OSError) as error:
                if not failing:
                    log.debug("This process can't report: %s", error)
                failing = True
            except Exception:
                if not failing:
                    log.exception("This process can't report")
                failing = True
            self._stopped.wait(EVERY)


def connect() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0),
        protocol=2,
    )  # fmt: skip


_reporter: Reporter | None = None


def begin(process: str) -> None:
    """From now on this process reports, as one of these."""
    global _reporter
    if _reporter is None and settings.PROCESS_REPORTS:
        _reporter = Reporter(process)
        _reporter.begin()


def own() -> Report | None:
    """As it is just now; None for a process that doesn't report."""
    if _reporter is None:
        return None
    return Report(_reporter.process, _reporter.replica, 0, 0.0, [*meters.counted(), *own_process()])


def reports(client: redis.Redis) -> list[Report]:
    """Of those that report, and of those that did so in the last hour. Raises RedisError."""
    found: Any = client.hgetall(PROCESSES)
    now = _time(client)
    known = []
    for value in [*found.values()][:PROCESSES_MAX]:
        with suppress(msgspec.DecodeError):  # of another version
            report = msgspec.msgpack.decode(value, type=Report)
            known.append(msgspec.structs.replace(report, age=max(now - report.at, 0) / clock.SECOND))
    recent = [each for each in known if each.age <= KNOWN_FOR]
    return sorted(recent, key=lambda each: (each.process, each.replica))


def gone(found: Sequence[Report]) -> dict[str, float]:
    """Processes of which there was one, and is none any more: for how many seconds nothing was heard of each kind."""
    alive = {each.process for each in found if each.alive}
    ages: dict[str, float] = {}
    for each in found:
        if each.process not in alive:
            ages[each.process] = min(each.age, ages.get(each.process, each.age))
    return ages


def forget(client: redis.Redis) -> int:
    """Removes what is too old to be of interest. Raises RedisError."""
    known = {f"{each.process}/{each.replica}".encode() for each in reports(client)}
    names: Any = client.hkeys(PROCESSES)
    old = [name for name in names if name not in known]
    return client.hdel(PROCESSES, *old) if old else 0


def _time(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return seconds * clock.SECOND + micros


# --- The process itself ----------------------------------------------------------------------------------------------


def own_process() -> list[Numbers]:
    """Under the names that Prometheus' client libraries use."""
    found = [
        ("process_cpu_seconds", "Seconds that the process has computed.", "counter", time.process_time()),
        ("process_start_time_seconds", "When the process began, since 1970.", "gauge", _STARTED),
        ("process_resident_memory_bytes", "Memory that the process has.", "gauge", _resident()),
        ("process_open_fds", "Files and connections that it has open.", "gauge", _open_files()),
        ("process_threads", "Threads that it has.", "gauge", threading.active_count()),
    ]
    return [Numbers(name, text, kind, (), [((), [value])]) for name, text, kind, value in found if value is not None]


def _resident() -> float | None:
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the most it had: nothing better without /proc
    return most if sys.platform == "darwin" else most * 1_024


def _open_files() -> float | None:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(folder))  # noqa: PTH208 - without an object for each
    return None
