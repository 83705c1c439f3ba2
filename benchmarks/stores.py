"""Log stores by themselves, without the rest of Pharos: in a temporary directory, on SQLite and on PostgreSQL.

Everything that opens a store does so in a child process (`in_child`): Django has one set of settings for a process,
and what a child used of CPU and memory is its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import psycopg

from benchmarks import corpus, product, report
from core import memory
from logs import stream
from logs.sources import json_lines
from logs.store import BaseLogStore, Incoming, codec, log_stores
from monitor import valkey
from tests import servers

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
BODY_LINES: Final = 2_000  # of a commit
STREAM: Final = "pharos:logs"
RECEIVED: Final = corpus.START + 365 * 86_400_000_000  # µs; a line from the future would lose its time
FIRST_ENTRY: Final = corpus.START // 1_000  # ms
UPKEEP: Final = 2.0  # seconds of one maintain(), as the worker gives it
UPKEEP_TIMEOUT: Final = 900.0
# PostgreSQL as it is installed, which waits for the disk; the tests' doesn't.
AS_INSTALLED: Final = {"max_connections": "100"}

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where one store has its data, or a table that it is compared with."""

    directory: Path
    url: str = ""  # of its PostgreSQL database; on SQLite it has a file in the directory

    @property
    def bytes(self) -> int:
        """What it takes on the disk, with all indexes. On SQLite, nobody may have it open."""
        if not self.url:
            return sum(path.stat().st_blocks * 512 for path in self.directory.glob("*.sqlite3*"))
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row
        return int(row[0])


@dataclass(frozen=True)
class Site:
    """A database system with a place for the store, and one for the table with a row per line."""

    database: str
    blocks: Place
    rows: Place
    pid: int | None = None  # of PostgreSQL's server

    def server_cpu(self) -> float:
        """CPU seconds of the server so far; 0 on SQLite."""
        return product.cpu_of_all(self.pid) if self.pid else 0.0


@contextmanager
def site(database: str, directory: Path) -> Iterator[Site]:
    """In `directory`, which is made, or has what an earlier site left there. The server ends, its data stay."""
    blocks, rows = directory / "blocks", directory / "rows"
    for place in (directory, blocks, rows):
        place.mkdir(exist_ok=True)
    if database == SQLITE:
        yield Site(database, Place(blocks), Place(rows))
        return
    # The server runs as somebody else, who must be able to pass.
    directory.chmod(0o711)
    (data := directory / "postgres").mkdir(exist_ok=True)
    port = valkey.free_port()
    server = servers.start_postgres(data, port, AS_INSTALLED)
    try:
        url = f"postgres://postgres@127.0.0.1:{port}"
        _create_databases(f"{url}/postgres", ("blocks", "rows"))
        yield Site(database, Place(blocks, f"{url}/blocks"), Place(rows, f"{url}/rows"), server.pid)
    finally:
        server.end()


def _create_databases(url: str, names: Sequence[str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in names:
            if name not in there:
                connection.execute(f"CREATE DATABASE {name}".encode())


@contextmanager
def work_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pharos-benchmark-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


def copy(source: Path, target: Path) -> None:
    """With the owners, for PostgreSQL runs as somebody else."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", source, target], check=True)


# --- A store in a child ----------------------------------------------------------------------------------------------


def in_child(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns in a fresh process, which ends with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def opened(place: Place, block_lines: int = codec.BLOCK_LINES) -> Iterator[BaseLogStore]:
    """The store at `place`, in a process that opens no other; made if there is none."""
    # The store's other modules read it when Django is set up and imports them.
    vars(codec).update(BLOCK_LINES=block_lines, SMALL=block_lines * 3 // 4)
    for name in [name for name in os.environ if name.startswith(product.OURS)]:
        del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "monitor.settings",
        "PHAROS_DATA_DIR": str(place.directory),
        "PHAROS_SECRET_KEY": product.SECRET_KEY,
        "DATABASE_URL": place.url,
    }
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    try:
        if "logs_logblock" not in connections[settings.LOG_DATABASE].introspection.table_names():
            call_command("migrate", database=settings.LOG_DATABASE, verbosity=0)
        memory.settle()  # as our processes do when they have started
        yield log_stores["default"]
    finally:
        # The last one to close SQLite's file moves the write-ahead log into it.
        connections.close_all()


def batch(body: bytes, number: int) -> list[Incoming]:
    """The body as the edge would put it into the stream, and the ingester take it out again."""
    entries = stream.chunks(json_lines.parse(body, RECEIVED).records)
    ids = [f"{FIRST_ENTRY + number}-{place}" for place in range(len(entries))]
    return [stream.incoming(STREAM, entry_id, entry) for entry_id, entry in zip(ids, entries, strict=True)]


def settle(place: Place, block_lines: int = codec.BLOCK_LINES) -> float:
    """Upkeep until there is nothing left to do; returns its seconds."""
    with opened(place, block_lines) as store:
        began = time.monotonic()
        while store.maintain(UPKEEP):
            if time.monotonic() > began + UPKEEP_TIMEOUT:
                report.progress(f"upkeep still had work after {UPKEEP_TIMEOUT:g} s")
                break
        took = time.monotonic() - began
    if place.url:
        vacuum(place.url)
    return took


def vacuum(url: str) -> None:
    """What autovacuum would do some time later."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def peak_mb() -> float:
    """The largest RSS that this process ever had, in MB (10⁶ bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1_024 / 1e6 for line in lines if line.startswith("VmHWM"))


# --- On the command line ---------------------------------------------------------------------------------------------


def parser(description: str, lines: int) -> argparse.ArgumentParser:
    """With the options that all of these benchmarks have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--lines", type=int, default=lines, help=f"lines in a store ({lines:,})")
    made.add_argument("--database", choices=(SQLITE, POSTGRESQL, "both"), default="both")
    return made


def databases(wanted: str) -> list[str]:
    """Those that can be measured here; a sentence for the one that can't."""
    if wanted != SQLITE and not servers.postgres_bin():
        report.progress("PostgreSQL is left out: its server programs (package `postgresql`) are not installed here.")
        return [SQLITE] if wanted == "both" else []
    return [SQLITE, POSTGRESQL] if wanted == "both" else [wanted]


def pin() -> str:
    """Keeps this process and all that it starts, PostgreSQL too, on one core; says so in a phrase for the table."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned to a core"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return f"everything, PostgreSQL's server too, on core {core} alone"
