"""A full disk and a damaged file, as databases tell of them."""

from __future__ import annotations

from typing import Final

from django.db import connections

SQLITE_FULL: Final = "SQLITE_FULL"
POSTGRESQL_FULL: Final = "53100"  # SQLSTATE disk_full
SQLITE_DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")  # and longer names of the first
POSTGRESQL_DAMAGED: Final = ("XX001", "XX002")  # SQLSTATE data_corrupted, index_corrupted


def is_full(error: BaseException) -> bool:
    """Whether Django's `error` comes from a disk that has no room left."""
    cause = error.__cause__  # the driver's own error
    return (
        getattr(cause, "sqlite_errorname", None) == SQLITE_FULL or getattr(cause, "sqlstate", None) == POSTGRESQL_FULL
    )


def is_damaged(error: BaseException) -> bool:
    """Whether Django's `error` comes from a database whose files don't hold together."""
    cause = error.__cause__
    name = getattr(cause, "sqlite_errorname", None) or ""
    return name.startswith(SQLITE_DAMAGED) or getattr(cause, "sqlstate", None) in POSTGRESQL_DAMAGED


def disk_of(alias: str) -> str:
    """Where to make room: "the disk of /srv/pharos/logs.sqlite3"."""
    database = connections[alias].settings_dict
    if connections[alias].vendor == "sqlite":
        return f"the disk of {database['NAME']}"
    return f"the disk of the PostgreSQL server on {database['HOST'] or 'localhost'}"
