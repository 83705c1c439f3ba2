"""Brings the databases and the static files up to date, and does nothing quickly when they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2s
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import DatabaseError, Error, connections
from django.db.migrations.executor import MigrationExecutor

from core import disk

Say = Callable[[str], object]

LOCK: Final = 0x50484152  # any number that nobody else locks in this database
DAMAGED: Final = "What to do: docs/troubleshooting.md#the-database-is-damaged"


class PrepareError(Exception):
    """The text is a sentence for the operator."""


@contextmanager
def alone() -> Iterator[None]:
    """One at a time prepares a database of PostgreSQL, on whatever machine; the lock ends with its connection. SQLite
    is one machine's, where `up` has a lock of its own."""
    connect("default")
    connection = connections["default"]
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def migrate(say: Say) -> None:
    for alias in settings.DATABASES:
        connect(alias)
        try:
            _bring_up_to_date(alias, say)
        except DatabaseError as error:
            if not disk.is_damaged(error):
                raise
            raise _trouble(alias, error) from error


def _bring_up_to_date(alias: str, say: Say) -> None:
    executor = MigrationExecutor(connections[alias])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        say(f"Bringing the database {alias!r} up to date …")
        call_command("migrate", database=alias, interactive=False, verbosity=0)


def connect(alias: str) -> None:
    try:
        connections[alias].ensure_connection()
    except Error as error:
        raise _trouble(alias, error) from error


def _trouble(alias: str, error: Error) -> PrepareError:
    reason = (str(error).strip().splitlines() or ["no reason was given"])[0].rstrip(".")
    if disk.is_damaged(error):
        return PrepareError(f"{_where(alias)} is damaged: {reason}. {DAMAGED}")
    return PrepareError(f"{_where(alias)} can't be reached: {reason}.")


def _where(alias: str) -> str:
    """Which database, without its password, and the variable that says so."""
    database = settings.DATABASES[alias]
    if connections[alias].vendor == "sqlite":
        return f"The SQLite database {database['NAME']}"
    host = database.get("HOST") or "localhost"
    return f"The database {database['NAME']!r} on {host} (DATABASE_URL)"


def collect_static(say: Say) -> None:
    """Copies the files if one of them was added, removed or changed since the last time."""
    if settings.STATIC_COLLECTED:
        return
    stamp, digest = Path(settings.DATA_DIR) / "static.stamp", static_digest()
    if stamp.exists() and stamp.read_text() == digest and Path(settings.STATIC_ROOT).is_dir():
        return
    say("Collecting the static files …")
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(digest)


def static_digest() -> str:
    """Of names, sizes and times of all static files, and of the storage that they are copied into."""
    digest = blake2s(repr((storages.backends["staticfiles"], str(settings.STATIC_ROOT))).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = Path(storage.path(name)).stat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
