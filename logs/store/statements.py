"""What is asked most, in SQL: to be made into it, a queryset takes longer each time than the database with it.

The same text for SQLite and PostgreSQL. The tables and columns are those of the models.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from django.db import connections
from django.db.backends.utils import CursorWrapper

from logs.models import LogBlock, LogCommit
from logs.store.base import Direction

_BLOCKS: Final = LogBlock._meta.db_table
_COMMITS: Final = LogCommit._meta.db_table
_STORED: Final = [field.attname for field in LogBlock._meta.concrete_fields if not field.primary_key]
# In the order of the indexes: otherwise those with the same time would have to be sorted.
_ORDER: Final[dict[Direction, str]] = {"older": "last DESC, first DESC, id DESC", "newer": "first, last, id"}
_LIST: Final = f"SELECT id, first, last FROM {_BLOCKS} WHERE first <= %s AND last >= %s ORDER BY"  # noqa: S608
_ENTRIES: Final = f"SELECT entries FROM {_COMMITS} WHERE oldest_entry <= %s AND newest_entry >= %s"  # noqa: S608
_INSERT: Final = "INSERT INTO {} ({}) VALUES ({})".format(  # noqa: S608
    _BLOCKS, ", ".join(f'"{name}"' for name in _STORED), ", ".join(["%s"] * len(_STORED))
)


def list_blocks(
    database: str, oldest: int, newest: int, direction: Direction, count: int
) -> list[tuple[int, int, int]]:
    """(id, first, last) of the blocks that touch a range, in the order in which a reader meets them."""
    return _rows(database, f"{_LIST} {_ORDER[direction]} LIMIT %s", (newest, oldest, count))


def read_blocks(database: str, pks: Collection[int], names: Collection[str]) -> list[tuple[Any, ...]]:
    """(id, base, …) with the columns of these names, those that there are, in no order."""
    columns, some = ", ".join(names), ", ".join(["%s"] * len(pks))
    return _rows(database, f"SELECT id, base, {columns} FROM {_BLOCKS} WHERE id IN ({some})", tuple(pks))  # noqa: S608


def insert_blocks(database: str, blocks: Iterable[LogBlock]) -> None:
    rows = [[getattr(block, name) for name in _STORED] for block in blocks]
    with _cursor(database) as cursor:
        cursor.executemany(_INSERT, rows)


def entries_between(database: str, oldest: int, newest: int) -> Iterator[bytes]:
    """What the commits that touch a range of entries (ms) have stored, packed."""
    with _cursor(database) as cursor:
        cursor.execute(_ENTRIES, (newest, oldest))
        for (entries,) in cursor:
            yield entries


def _rows(database: str, statement: str, parameters: Sequence[int]) -> list[tuple[Any, ...]]:
    with _cursor(database) as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _cursor(database: str) -> CursorWrapper:
    """Columns go to PostgreSQL and come from there as they are. Django writes them into the statement, as hex digits
    that both sides read and write: that took a third of an append.
    """
    connection = connections[database]
    if connection.vendor != "postgresql":
        return connection.cursor()
    import psycopg  # only installations with PostgreSQL pay for it

    connection.close_if_health_check_failed()
    connection.ensure_connection()
    cursor = psycopg.Cursor(connection.connection)
    cursor.format = psycopg.pq.Format.BINARY
    return connection.make_cursor(cursor)  # type: ignore[arg-type]  # it wraps any
