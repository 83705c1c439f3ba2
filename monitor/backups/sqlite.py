"""SQLite: the databases copied while others write, and put back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Final

from django.conf import settings
from django.db import connections

from monitor.backups.file import STEP, BackupError

ALIASES: Final = {"default": "pharos.sqlite3", "logs": "logs.sqlite3"}  # and what they are called in a backup
BUSY: Final = 20.0  # seconds
PAGES: Final = 2_048  # copied in one step; in between, Ctrl-C is heard

Snapshot = dict[str, sqlite3.Connection]


@contextmanager
def snapshot(aliases: list[str]) -> Iterator[Snapshot]:
    """Connections that see their databases as they are now, all of them within milliseconds, whatever is written."""
    with ExitStack() as stack:
        opened = {}
        for alias in aliases:
            path = _path(alias)
            if not path.exists():
                raise BackupError(f"There is no database {path} yet; start Pharos once, or set PHAROS_DATA_DIR.")
            opened[alias] = stack.enter_context(closing(sqlite3.connect(path, timeout=BUSY, isolation_level=None)))
        for connection in opened.values():
            # What is read first settles what the transaction sees.
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield opened


def copy(source: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as target:
        target.execute("PRAGMA synchronous=OFF")
        source.backup(target, pages=PAGES, progress=lambda *_: None)


def rows(source: sqlite3.Connection) -> dict[str, int]:
    """By table."""
    listed = source.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    names = [name for (name,) in listed.fetchall()]
    return {name: source.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608


def rows_now(name: str) -> dict[str, int]:
    """Of the database that is called so in a backup."""
    alias = next(alias for alias, called in ALIASES.items() if called == name)
    with snapshot([alias]) as opened:
        return rows(opened[alias])


def unpack(alias: str, file: IO[bytes]) -> Path:
    """Beside the database that it is to replace, so that this is one step."""
    target = _path(alias)
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f"{target.name}.restoring")
    path.touch(mode=0o600)
    with path.open("wb") as output:
        shutil.copyfileobj(file, output, STEP)
    return path


def replace(alias: str, path: Path | None) -> None:
    """Puts a copy in the place of the database; None leaves no database at all."""
    target = _path(alias)
    connections[alias].close()
    for journal in ("-wal", "-shm"):
        target.with_name(target.name + journal).unlink(missing_ok=True)
    if path is None:
        target.unlink(missing_ok=True)
    else:
        path.replace(target)


def continue_commits(number: int) -> None:
    """The next commit of an empty log store gets the number after this: days of the archive remember theirs."""
    with connections[settings.LOG_DATABASE].cursor() as cursor:
        cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('logs_logcommit', %s)", [number])


def _path(alias: str) -> Path:
    return Path(connections[alias].settings_dict["NAME"])
