"""What is different with SQLite: a new file, and who writes next."""

from __future__ import annotations

import time
from typing import Any, Final

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

LONG: Final = 0.05  # seconds of a transaction
PAUSE: Final = 0.11


@receiver(connection_created)
def begin(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """What is settled once for each file, when it is begun: `DATABASES[…]["NEW_FILE"]`.

    It has no place in `init_command`: "PRAGMA auto_vacuum" writes each time that it is carried out, and a reader that
    writes waits for the write lock, and can't open its database at all while the disk is full.
    """
    pragmas = connection.settings_dict.get("NEW_FILE")
    if pragmas and connection.connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.connection.executescript(pragmas)


def give_way(model: type[models.Model], since: float) -> None:
    """Between two transactions of long work; `since` is when the one before began, by the monotonic clock.

    SQLite has no queue for writers: who finds the file locked tries again, every 100 ms in the end, and who writes
    without a pause is always the first.
    """
    connection = connections[router.db_for_write(model)]
    if connection.vendor == "sqlite" and not connection.in_atomic_block and time.monotonic() - since > LONG:
        time.sleep(PAUSE)
