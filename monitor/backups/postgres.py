"""PostgreSQL: pg_dump and pg_restore, with a snapshot in which the rows are counted, too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from django.db import connections, transaction
from psycopg.conninfo import make_conninfo

from logs.store.router import STORE_MODELS
from monitor.backups.file import STEP, BackupError

DUMP: Final = "pharos.dump"
# What Django tells its driver, and no program of PostgreSQL understands.
DJANGOS: Final = {
    "client_encoding", "context", "cursor_factory", "isolation_level", "prepare_threshold", "server_side_binding",
}  # fmt: skip
STORE_TABLES: Final = frozenset(f"logs_{model}" for model in STORE_MODELS)


def server() -> int:
    """The major version."""
    return int(_connection().pg_version) // 10_000


def program(name: str) -> str:
    """The path of pg_dump or pg_restore. Raises BackupError if it is missing, or older than the server."""
    path, wanted = shutil.which(name), server()
    if path is None:
        raise BackupError(
            f"There is no {name} here: install the client programs of PostgreSQL {wanted} or newer "
            f"(Debian: postgresql-client-{wanted}), and have them in PATH."
        )
    said = subprocess.run(  # noqa: S603 - found in PATH
        [path, "--version"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    found = re.search(r"\s(\d+)", said)
    if found is None or int(found[1]) < wanted:
        has = found[1] if found else "of an unknown version"
        raise BackupError(f"{path} is {has}, older than the server ({wanted}): install postgresql-client-{wanted}.")
    return path


@contextmanager
def snapshot() -> Iterator[str]:
    """The name of what the database is now; it holds, for this connection and for others, as long as the block."""
    with transaction.atomic(), _connection().cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def dump(path: Path, snapshot_name: str, *, logs: bool) -> None:
    """Lines of log blocks are compressed already, so little is spent on that here."""
    left_out = [] if logs else [f"--exclude-table-data={table}" for table in sorted(STORE_TABLES)]
    _run(
        [
            program("pg_dump"), "--format=custom", "--compress=1", "--no-owner", "--no-acl", "--no-password",
            f"--snapshot={snapshot_name}", f"--file={path}", *left_out,
        ]
    )  # fmt: skip


def rows() -> dict[str, int]:
    """By table."""
    connection = _connection()
    with connection.cursor() as cursor:
        counted = {}
        for name in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(name)}")  # noqa: S608
            counted[name] = cursor.fetchone()[0]
    return counted


def empty() -> None:
    """Drops every table."""
    connection = _connection()
    with transaction.atomic(), connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(name)} CASCADE")


def restore(file: IO[bytes]) -> None:
    """All or nothing."""
    _run([program("pg_restore"), "--no-owner", "--no-acl", "--no-password", "--single-transaction"], file)


def _run(command: list[str], source: IO[bytes] | None = None) -> None:
    given = {name: value for name, value in _connection().get_connection_params().items() if name not in DJANGOS}
    # The password goes by the environment: other users can read arguments.
    password = given.pop("password", "")
    process = subprocess.Popen(  # noqa: S603 - found in PATH
        [*command, f"--dbname={make_conninfo(**given)}"],
        env={**os.environ, **({"PGPASSWORD": password} if password else {})},
        stdin=subprocess.DEVNULL if source is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            if source is not None and process.stdin:
                _pour(source, process.stdin)
            said = process.communicate()[1].decode(errors="replace").strip()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        name = Path(command[0]).name
        raise BackupError(f"{name} failed: {said.splitlines()[0] if said else f'exit code {process.returncode}'}")


def _pour(source: IO[bytes], into: IO[bytes]) -> None:
    try:
        while data := source.read(STEP):
            into.write(data)
        into.flush()
    except BrokenPipeError:
        pass  # it says why it has ended


def _connection() -> Any:
    return connections["default"]
