"""A backup is made: while Pharos runs, and read once more when it is written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from logs.store import log_stores
from monitor import __version__
from monitor.backups import file, postgres, sqlite
from monitor.backups.file import MANIFEST, BackupError, Keys, Manifest


def place(wanted: str) -> Path:
    """The file to write: what was said, or one with the time in its name in that directory. Raises BackupError."""
    path = Path(wanted) if wanted else Path(settings.DATA_DIR) / "backups"
    if not wanted:
        path.mkdir(mode=0o700, exist_ok=True)
    if path.is_dir():
        path /= f"pharos-{timezone.now():%Y%m%d-%H%M%S}{file.SUFFIX}"
    if path.exists():
        raise BackupError(f"{path} is there already: name another file, or a directory.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BackupError(f"{path.parent} is no directory that this user may write to.")
    return path


def make(path: Path, *, logs: bool, redis: str) -> Manifest:
    """Writes the backup and reads it again. Raises BackupError, and leaves no file then."""
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".pharos-backup-", dir=path.parent)
        with scratch as directory, file.writing(path) as writer:
            _write(writer, Path(directory), logs=logs, redis=redis)
        return file.check(path)[0]
    except BackupError:
        path.unlink(missing_ok=True)
        raise
    except OSError as error:
        path.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        raise BackupError(
            f"{path} can't be written: {error.strerror or error} ({free >> 20:,} MB are free there; a backup needs "
            "room for the largest database and for itself)."
        ) from error


def _write(writer: file.Writer, scratch: Path, *, logs: bool, redis: str) -> None:
    vendor = connections["default"].vendor
    with _databases(writer, scratch, logs=logs):
        migrations = _migrations()
        commit = log_stores["default"].last_commit()
    writer.add_json(file.KEYS, Keys(settings.SECRET_KEY, list(settings.SECRET_KEY_FALLBACKS)))
    manifest = Manifest(
        version=__version__,
        made_at=timezone.now().isoformat(timespec="seconds"),
        vendor=vendor,
        server=postgres.server() if vendor == "postgresql" else 0,
        has_logs=logs,
        last_commit=commit,
        migrations=migrations,
        members=dict(writer.members),
        redis=redis,
    )
    writer.add_json(MANIFEST, manifest)


@contextmanager
def _databases(writer: file.Writer, scratch: Path, *, logs: bool) -> Iterator[None]:
    """Adds the databases; the block runs while nothing else is seen of them."""
    if connections["default"].vendor == "postgresql":
        path = scratch / postgres.DUMP
        with postgres.snapshot() as name:
            postgres.dump(path, name, logs=logs)
            counted = postgres.rows()
            yield
        if not logs:
            counted = {table: 0 if table in postgres.STORE_TABLES else number for table, number in counted.items()}
        writer.add_file(postgres.DUMP, path, counted)
        return
    aliases = [alias for alias in sqlite.ALIASES if alias in settings.DATABASES and (logs or alias == "default")]
    with sqlite.snapshot(aliases) as opened:
        yield
        for alias, connection in opened.items():
            name = sqlite.ALIASES[alias]
            sqlite.copy(connection, scratch / name)
            writer.add_file(name, scratch / name, sqlite.rows(connection))
            (scratch / name).unlink()


def _migrations() -> dict[str, list[str]]:
    """By application, those of all databases."""
    found: dict[str, set[str]] = {}
    for alias in {"default", settings.LOG_DATABASE}:
        for application, name in MigrationRecorder(connections[alias]).applied_migrations():
            found.setdefault(application, set()).add(name)
    return {application: sorted(names) for application, names in sorted(found.items())}
