"""Who keeps the store in order: one process at a time, whoever holds the lease of its database.

The lease ends with its holder, however that dies. Nobody waits for it, and appends don't ask for it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import Error, connections

LEASE: Final = 0x7061726B  # PostgreSQL's advisory locks are numbers: "park"


@contextmanager
def held(database: str) -> Iterator[bool]:
    """Whether the lease is ours for as long as the block lasts; False at once if it is another's."""
    hold = _held_in_postgresql if connections[database].vendor == "postgresql" else _held_beside_the_file
    with hold(database) as mine:
        yield mine


@contextmanager
def _held_in_postgresql(database: str) -> Iterator[bool]:
    """A lock of the session: the server ends it with the connection."""
    connection = connections[database]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LEASE])
        (mine,) = cursor.fetchone()
    try:
        yield mine
    finally:
        if mine:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [LEASE])
            except Error:
                connection.close()  # and so the lease


@contextmanager
def _held_beside_the_file(database: str) -> Iterator[bool]:
    """A lock on a file of its own: closing the database's would end the locks that SQLite has on it."""
    handle = os.open(f"{connections[database].settings_dict['NAME']}.lease", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
