"""A backup is put back: checked first, then written, brought up to date and compared with what was counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from auditlog.models import LogEntry
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections
from django.db.migrations.loader import MigrationLoader

from accounts.trail import recording
from logs.store import log_stores
from monitor import __version__, prepare
from monitor.backups import file, postgres, sqlite, waiting
from monitor.backups.file import BackupError, Keys, Manifest

Say = Callable[[str], object]


def restore(path: Path, say: Say, *, force: bool) -> Manifest:
    """What is wrong with the file or the place is said before anything is written. Raises BackupError, PrepareError."""
    say(f"Reading {path} …")
    manifest, keys = file.check(path)
    _refuse_foreign(path, manifest)
    _refuse_newer(path, manifest)
    _refuse_key(keys)
    if waiting.running():
        raise BackupError("Pharos runs: stop all its processes, wait 15 seconds, and restore again.")
    if not force and not _is_empty():
        raise BackupError(
            "There are users or log lines here already: restore into an empty place, or use --force to replace all of "
            "it. Nothing was changed."
        )
    say("Writing the databases …")
    if manifest.vendor == "sqlite":
        _restore_sqlite(path, manifest)
    else:
        _restore_postgres(path)
    _write_key(keys)
    _compare(manifest)
    prepare.migrate(say)
    if manifest.vendor == "sqlite" and not manifest.has_logs:
        sqlite.continue_commits(manifest.last_commit)
    recording.event("backup_restored", LogEntry, "backup", file=path.name, made_at=manifest.made_at, rows=manifest.rows)
    if older := {*keys.fallbacks} - {settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS}:
        say(
            f"Set PHAROS_SECRET_KEY_FALLBACKS as it was: {len(older)} of its keys are not known here (the backup has "
            f"them in {file.KEYS})."
        )
    return manifest


# --- What is refused ----------------------------------------------------------------------------------------------


def _refuse_foreign(path: Path, manifest: Manifest) -> None:
    here = connections["default"].vendor
    if manifest.vendor != here:
        raise BackupError(f"{path} is of {manifest.vendor}, and DATABASE_URL says {here}: they can't be exchanged.")
    if here == "postgresql":
        postgres.program("pg_restore")
        if postgres.server() < manifest.server:
            raise BackupError(
                f"{path} is of PostgreSQL {manifest.server}, and the server here is {postgres.server()}: use a newer "
                "one."
            )


def _refuse_newer(path: Path, manifest: Manifest) -> None:
    loader = MigrationLoader(None)
    known = {*loader.disk_migrations, *(old for new in loader.disk_migrations.values() for old in new.replaces)}
    unknown = [
        f"{application}.{name}"
        for application in loader.migrated_apps & manifest.migrations.keys()
        for name in manifest.migrations[application]
        if (application, name) not in known
    ]
    if unknown or _numbers(manifest.version) > _numbers(__version__):
        named = f" (it has the migration {min(unknown)})" if unknown else ""
        raise BackupError(
            f"{path} is of Pharos {manifest.version}{named}, and this is {__version__}, which is older: restore it "
            "with that version or a newer one."
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _refuse_key(keys: Keys) -> None:
    if keys.secret_key != settings.SECRET_KEY and not _key_is_ours():
        raise BackupError(
            "PHAROS_SECRET_KEY is set here, and it is not the key of the backup, which stored secrets need: set it to "
            "the one of then, or leave it unset, so that the restore writes the key of the backup."
        )


def _key_is_ours() -> bool:
    """Whether the secret key is the one in the data directory, which the restore may replace."""
    try:
        return _key_path().read_text().strip() == settings.SECRET_KEY
    except FileNotFoundError:
        return False


def _key_path() -> Path:
    return Path(settings.DATA_DIR) / "secret_key"


def _is_empty() -> bool:
    try:
        return not get_user_model().objects.exists() and not log_stores["default"].last_commit()
    except DatabaseError:
        return True  # no tables


# --- What is written ----------------------------------------------------------------------------------------------


def _restore_sqlite(path: Path, manifest: Manifest) -> None:
    unpacked: dict[str, Path | None] = dict.fromkeys(alias for alias in sqlite.ALIASES if alias in settings.DATABASES)
    try:
        for alias in unpacked:
            if sqlite.ALIASES[alias] in manifest.members:
                with file.reading(path, sqlite.ALIASES[alias]) as member:
                    unpacked[alias] = sqlite.unpack(alias, member)
        for alias, copy in unpacked.items():
            sqlite.replace(alias, copy)
    except OSError as error:
        raise BackupError(f"The databases can't be written: {error.strerror or error}.") from error
    finally:
        for copy in filter(None, unpacked.values()):
            copy.unlink(missing_ok=True)


def _restore_postgres(path: Path) -> None:
    with file.reading(path, postgres.DUMP) as dump:
        postgres.empty()
        postgres.restore(dump)


def _write_key(keys: Keys) -> None:
    if keys.secret_key == settings.SECRET_KEY:
        return
    new = _key_path().with_suffix(".restoring")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        output.write(keys.secret_key)
    new.replace(_key_path())
    settings.SECRET_KEY = keys.secret_key  # for the migrations of this process


def _compare(manifest: Manifest) -> None:
    for name, member in manifest.members.items():
        if not member.rows:
            continue
        found = postgres.rows() if name == postgres.DUMP else sqlite.rows_now(name)
        if found != member.rows:
            table = min(key for key in found.keys() | member.rows if found.get(key) != member.rows.get(key))
            raise BackupError(
                f"After the restore {table} has {found.get(table, 0):,} rows, but the backup counted "
                f"{member.rows.get(table, 0):,}: don't use this installation, and restore once more."
            )
