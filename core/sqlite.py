"""What is settled once for each SQLite file, when it is begun: `DATABASES[…]["NEW_FILE"]`.

It has no place in `init_command`: "PRAGMA auto_vacuum" writes each time that it is carried out, and a reader that
writes waits for the write lock, and can't open its database at all while the disk is full.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver


@receiver(connection_created)
def begin(connection: BaseDatabaseWrapper, **_: Any) -> None:
    pragmas = connection.settings_dict.get("NEW_FILE")
    if pragmas and connection.connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.connection.executescript(pragmas)
