"""A bad day: the disk fills, Redis and PostgreSQL go and come back, clocks are wrong. What became of the lines?

    python -m benchmarks.faults --hold 8

For each fault the product starts anew, with what the fault needs beside it. Senders POST bodies of numbered lines and
XADD numbered lines, as in `benchmarks.crash`: what is not acknowledged is sent again. The fault begins, lasts `--hold`
seconds and ends, and the senders go on for a while. *lost* and *twice* are as in `benchmarks.crash`. The *longest gap*
is the longest time in which nobody was acknowledged anything.

A Redis that comes back empty takes with it what was not stored yet: such lines were acknowledged just before it went,
and are counted as *in Redis*. The exit code is 1 if any other line was lost, if one is there twice, or if the product
did not go on by itself.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import crash, report
from benchmarks.clients import HttpClient, NotSentError
from benchmarks.crash import Attempt, Outcome, Sender
from benchmarks.product import HOST, ROOT, Product, ProductError, run
from monitor import valkey
from monitor.supervisor import die_with_parent
from tests import servers

LEAD: Final = 4.0  # seconds of load before the fault, and after it
WEBS: Final = 3
DISK: Final = "400m"  # of the small one
SKEW: Final = 3_600_000_000  # µs
UNSTORED: Final = 5.0  # seconds: what waits in Redis longer than that was not stored for another reason
PATIENCE: Final = 60.0
DURABLE: Final[Mapping[str, str]] = {}  # as it is installed: what is committed survives its end

Strike = Callable[[float], None]  # lets the fault last for so many seconds


class Stage(NamedTuple):
    """An installation under load, and what is done to it."""

    product: Product
    strike: Strike
    senders: Callable[[list[Sender]], list[Sender]] = list
    loses_redis: bool = False


# --- The faults ------------------------------------------------------------------------------------------------------


@contextmanager
def disk_full() -> Iterator[Stage]:
    """A small disk for everything that Pharos writes, its Redis included."""
    place = Path(tempfile.mkdtemp(prefix="pharos-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "pharos-benchmark", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        raise ProductError(f"a small disk can't be mounted: {mounted.stderr.decode().strip()}. Run this as root.")
    try:
        with Product(place / "data") as product:

            def strike(hold: float) -> None:
                ballast = place / "ballast"
                try:
                    until = time.monotonic() + hold
                    while time.monotonic() < until:
                        _fill(ballast)
                        time.sleep(0.05)  # what was freed meanwhile is taken, too
                finally:
                    ballast.unlink()

            yield Stage(product, strike)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
        place.rmdir()


def _fill(path: Path) -> None:
    block = bytes(1 << 16)
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(block)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def database_locked() -> Iterator[Stage]:
    """Somebody holds the write locks of both SQLite files."""
    with Product() as product:

        def strike(hold: float) -> None:
            with ExitStack() as locks:
                for name in ("pharos.sqlite3", "logs.sqlite3"):
                    other = locks.enter_context(closing(sqlite3.connect(product.data / name, timeout=30)))
                    other.isolation_level = None
                    other.execute("BEGIN IMMEDIATE")
                time.sleep(hold)

        yield Stage(product, strike)


@contextmanager
def postgres_restarts() -> Iterator[Stage]:
    """It stops at once, as in a crash, and comes back."""
    with _postgres() as (url, restart), Product(DATABASE_URL=url) as product:
        yield Stage(product, restart)


@contextmanager
def postgres_hangs() -> Iterator[Stage]:
    """It keeps its connections and answers nothing."""
    with _postgres() as (url, _), Product(DATABASE_URL=url) as product:

        def strike(hold: float) -> None:
            several = [pid for pid in _running("postgres") if _mentions(pid, url)]
            _signal(several, signal.SIGSTOP)
            time.sleep(hold)
            _signal(several, signal.SIGCONT)

        yield Stage(product, strike)


@contextmanager
def redis_restarts() -> Iterator[Stage]:
    with _redis(wiped=False) as stage:
        yield stage


@contextmanager
def redis_comes_back_empty() -> Iterator[Stage]:
    with _redis(wiped=True) as stage:
        yield stage


@contextmanager
def clocks_ahead() -> Iterator[Stage]:
    """Those of the senders, by an hour."""
    with _clocks(SKEW) as stage:
        yield stage


@contextmanager
def clocks_behind() -> Iterator[Stage]:
    with _clocks(-SKEW) as stage:
        yield stage


@contextmanager
def one_web_of_three() -> Iterator[Stage]:
    """kill -9 of one, which is back after a while; senders turn to the next one, as a proxy does."""
    with _own_redis() as (variables, _), Product(**variables) as product:
        environment = product.environment() | {"DJANGO_SETTINGS_MODULE": "monitor.settings"}
        ports = [product.port, *(valkey.free_port() for _ in range(WEBS - 1))]
        webs = {port: _web(port, environment) for port in ports[1:]}
        try:

            def strike(hold: float) -> None:
                victim = ports[-1]
                webs[victim].kill()
                webs[victim].wait()
                time.sleep(hold)
                webs[victim] = _web(victim, environment)

            def spread(senders: list[Sender]) -> list[Sender]:
                posting = [each for each in senders if each.name.startswith("post")]
                for number, each in enumerate(posting):
                    first = number % WEBS
                    each.attempt = in_turn([HttpClient(port) for port in ports[first:] + ports[:first]])
                return senders

            yield Stage(product, strike, spread)
        finally:
            for web in webs.values():
                web.terminate()
            for web in webs.values():
                web.wait(30)


FAULTS: Final[Mapping[str, Callable[[], AbstractContextManager[Stage]]]] = {
    "disk full": disk_full,
    "database locked": database_locked,
    "PostgreSQL restarts": postgres_restarts,
    "PostgreSQL hangs": postgres_hangs,
    "Redis restarts": redis_restarts,
    "Redis comes back empty": redis_comes_back_empty,
    "senders' clocks an hour ahead": clocks_ahead,
    "senders' clocks an hour behind": clocks_behind,
    "one web of three killed": one_web_of_three,
}


# --- What they need --------------------------------------------------------------------------------------------------


@contextmanager
def _postgres() -> Iterator[tuple[str, Strike]]:
    directory, port = Path(tempfile.mkdtemp(prefix="pharos-postgres-")), valkey.free_port()
    running = [servers.start_postgres(directory, port, DURABLE)]

    def restart(hold: float) -> None:
        replace(running[0], signum=signal.SIGQUIT).end()
        time.sleep(hold)
        running[0] = servers.start_postgres(directory, port, DURABLE)

    try:
        yield f"postgres://postgres@{HOST}:{port}/postgres", restart
    finally:
        running[0].stop()


@contextmanager
def _own_redis() -> Iterator[tuple[dict[str, str], Callable[[bool, float], None]]]:
    """A Valkey beside the product: the variables that say so, and how to restart it, without its data if wanted."""
    directory = Path(tempfile.mkdtemp(prefix="pharos-valkey-"))
    port = valkey.free_port()
    running = [servers.start_valkey(directory / "data", directory / "valkey.sock", port)]

    def restart(wiped: bool, hold: float) -> None:
        replace(running[0], signum=signal.SIGKILL if wiped else signal.SIGTERM).end()
        if wiped:
            shutil.rmtree(directory / "data")
        time.sleep(hold)
        running[0] = servers.start_valkey(directory / "data", directory / "valkey.sock", port)

    try:
        yield {"REDIS_URL": f"redis://{HOST}:{port}/0", "PHAROS_REDIS_PORT": str(port)}, restart
    finally:
        running[0].stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _redis(*, wiped: bool) -> Iterator[Stage]:
    with _own_redis() as (variables, restart), Product(**variables) as product:
        yield Stage(product, lambda hold: restart(wiped, hold), loses_redis=wiped)


@contextmanager
def _clocks(skew: int) -> Iterator[Stage]:
    def turned(senders: list[Sender]) -> list[Sender]:
        for each in senders:
            each.skew = skew
        return senders

    with Product() as product:
        yield Stage(product, time.sleep, turned)


def _web(port: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run", "web"],
        cwd=ROOT,
        env={**environment, "PHAROS_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(),
    )
    deadline = time.monotonic() + PATIENCE
    client = HttpClient(port)
    while time.monotonic() < deadline:
        with suppress(OSError), closing(client):
            client.connect()
            return process
        time.sleep(0.05)
    process.kill()
    raise ProductError(f"a further web process did not answer within {PATIENCE:g} s")


def in_turn(clients: Sequence[HttpClient]) -> Attempt:
    """The first that is there takes it."""
    attempts = [crash.post(client) for client in clients]

    def attempt(request: bytes) -> int:
        for each in attempts:
            with suppress(NotSentError):
                return each(request)
        raise NotSentError("none of the web processes is there")

    return attempt


def _running(name: str) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if path.read_text().strip() == name:
                yield int(path.parent.name)


def _mentions(pid: int, url: str) -> bool:
    """Whether it is the server at that address, or a child of it."""
    port = url.rpartition(":")[2].partition("/")[0]
    with suppress(OSError):
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        words = [Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0") for each in (pid, parent)]
        return any(port.encode() in each for each in words)
    return False


def _signal(pids: Sequence[int], signum: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


# --- One fault -------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    outcome: Outcome
    in_redis: int  # lines that went with it
    gap: float  # seconds

    @property
    def is_good(self) -> bool:
        return self.outcome.is_good


def measure(fault: str, hold: float, bodies: int, rate: int, stream_rate: int) -> Found:
    with FAULTS[fault]() as stage:
        product = stage.product
        sending = stage.senders(crash.senders(product, bodies, rate, stream_rate))
        with crash.running(sending):
            time.sleep(LEAD)
            began = time.time()
            stage.strike(hold)
            ended = time.time()
            _go_on(product, sending, ended)
            time.sleep(LEAD)
        outcome = crash.judge(sending, crash.stored(product), 0.0)
        gone: set[str] = set()
        if stage.loses_redis:
            gone = {
                name
                for sender in sending
                for unit in sender.units
                if began - UNSTORED <= unit.acknowledged_at <= began + 1.0
                for name in unit.line_names
            }
        lost = [name for name in outcome.lost if name not in gone]
        return Found(replace(outcome, lost=lost), len(outcome.lost) - len(lost), longest_gap(sending))


def _go_on(product: Product, sending: Sequence[Sender], after: float) -> None:
    """Waits until each sender was acknowledged something anew."""
    deadline = time.monotonic() + PATIENCE
    while any(sender.acknowledged_after(after) == float("inf") for sender in sending):
        product.check()
        if time.monotonic() > deadline:
            raise ProductError(f"After the fault nothing was taken for {PATIENCE:g} s.")
        time.sleep(0.05)


def longest_gap(sending: Sequence[Sender]) -> float:
    """Between two answers that acknowledged something, of all senders that POST together."""
    times = sorted(
        unit.acknowledged_at
        for sender in sending
        if sender.name.startswith("post")
        for unit in sender.units
        if unit.acknowledged_at
    )
    return max((later - before for before, later in pairwise(times)), default=0.0)


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = ("fault", "sent", "stored", "lost", "in Redis", "twice", "ambiguous", "again", "longest gap s")


def row(fault: str, found: Found) -> list[report.Cell]:
    outcome = found.outcome
    return [
        fault, outcome.acknowledged, outcome.stored, len(outcome.lost), found.in_redis, len(outcome.twice),
        outcome.ambiguous, outcome.again, found.gap,
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Lets things fail under load and counts what is stored.")
    parser.add_argument("--only", default=",".join(FAULTS), help=f"which faults, of: {', '.join(FAULTS)}")
    parser.add_argument("--hold", type=float, default=8.0, help="seconds that a fault lasts")
    parser.add_argument("--senders", type=int, default=3, help="connections that POST")
    parser.add_argument("--rate", type=int, default=1_000, help="lines a second by POST, of all senders")
    parser.add_argument("--stream-rate", type=int, default=100, help="lines a second by XADD")
    options = parser.parse_args()
    where = report.machine()
    found: dict[str, Found] = {}
    for fault in options.only.split(","):
        if fault not in FAULTS:
            raise ProductError(f"expected faults of: {', '.join(FAULTS)}; not {fault!r}")
        report.progress(fault)
        try:
            found[fault] = measure(fault, options.hold, options.senders, options.rate, options.stream_rate)
        except servers.ServerError as error:
            raise ProductError(str(error)) from error
    load = f"{options.rate:,} lines/s by POST and {options.stream_rate:,} by XADD"
    title = f"Faults of {options.hold:g} s each, at {load}"
    print(report.table(title, where, HEAD, [row(fault, each) for fault, each in found.items()]))
    for fault, each in found.items():
        answers = sorted(each.outcome.answers.items())
        print(f"{fault}: answers {', '.join(f'{status} × {n:,}' for status, n in answers)}")
        if each.outcome.lost:
            print(f"{fault}: lost: {', '.join(each.outcome.lost[:10])}")
    good = all(each.is_good for each in found.values())
    print("No acknowledged line was lost or is there twice." if good else "A promise was broken.")
    return int(not good)


if __name__ == "__main__":
    run(main)
