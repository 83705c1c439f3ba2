"""What a SQLite file is begun with, and that opening one later writes nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper

from core import sqlite

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])


def another(alias: str, **changes: Any) -> DatabaseWrapper:
    """A connection of its own that doesn't wait for locks."""
    settings = connections[alias].settings_dict | changes
    return DatabaseWrapper(settings | {"OPTIONS": settings["OPTIONS"] | {"timeout": 0}}, alias)


def answer(connection: DatabaseWrapper, pragma: str) -> object:
    with connection.cursor() as cursor:
        return cursor.execute(f"PRAGMA {pragma}").fetchone()[0]


@pytest.mark.parametrize(("alias", "page_size"), [("default", 4_096), ("logs", 16_384)])
def test_a_new_file_has_its_layout_for_ever(alias: str, page_size: int, tmp_path: Path) -> None:
    for _ in range(2):
        connection = another(alias, NAME=str(tmp_path / "new.sqlite3"))
        try:
            with connection.cursor() as cursor:
                cursor.execute("CREATE TABLE IF NOT EXISTS a (b)")
            found = [answer(connection, pragma) for pragma in ("page_size", "auto_vacuum", "journal_mode")]
            assert found == [page_size, 2, "wal"]
        finally:
            connection.close()


@pytest.mark.parametrize("alias", ["default", "logs"])
def test_a_reader_opens_its_database_while_somebody_writes(alias: str) -> None:
    reader = another(alias)
    try:
        with transaction.atomic(alias):  # takes the write lock at its beginning
            assert answer(reader, "schema_version")
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("took", "inside", "vendor", "pauses"),
    [(1.0, False, "sqlite", 1), (0.0, False, "sqlite", 0), (1.0, True, "sqlite", 0), (1.0, False, "postgresql", 0)],
)
def test_who_has_written_for_long_leaves_others_the_time_to_try_again(
    monkeypatch: pytest.MonkeyPatch, took: float, inside: bool, vendor: str, pauses: int
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("core.sqlite.time.sleep", slept.append)
    monkeypatch.setattr(type(connections["default"]), "vendor", vendor)
    monkeypatch.setattr(connections["default"], "in_atomic_block", inside)
    sqlite.give_way(User, time.monotonic() - took)
    monkeypatch.undo()
    assert slept == [sqlite.PAUSE] * pauses
