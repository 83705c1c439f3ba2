"""The databases: that of the app, and on SQLite that of the lines."""

from __future__ import annotations

import sqlite3
from typing import Final

from django.conf import settings
from django.db import connections, transaction

from core import disk
from monitor.doctor.findings import Finding, ok, problem

FULL: Final = "the-disk-is-full"


def aliases() -> list[str]:
    return list(dict.fromkeys(("default", settings.LOG_DATABASE)))


def answers() -> Finding:
    versions = []
    for alias in aliases():
        connection = connections[alias]
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if connection.vendor == "sqlite":
            versions.append(f"SQLite {sqlite3.sqlite_version}")
        else:
            versions.append(f"PostgreSQL {'.'.join(map(str, connection.get_database_version()))}")
    return ok(f"{' and '.join(dict.fromkeys(versions))} answers.")


def migrations() -> Finding:
    # The worker writes, and needs nothing of this.
    from django.db.migrations.executor import MigrationExecutor

    missing: list[str] = []
    for alias in aliases():
        executor = MigrationExecutor(connections[alias])
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        missing += [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
    if missing:
        named = ", ".join(dict.fromkeys(missing[:3]))
        return problem(
            f"{len(missing)} migrations are not applied: {named}.", "Run manage.py migrate; make up does so."
        )
    return ok("All migrations are applied.")


def write(alias: str) -> None:
    """A row as it was, in a transaction that is committed. Raises DatabaseError."""
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(
            "UPDATE django_migrations SET applied = applied WHERE id = (SELECT MIN(id) FROM django_migrations)"
        )


def writing() -> Finding:
    for alias in aliases():
        try:
            write(alias)
        except Exception as error:
            if disk.is_full(error):
                where = disk.disk_of(alias)
                return problem(f"Nothing can be written: {where} is full.", "Free some space on it.", FULL)
            raise
    return ok("Rows can be written.")


def size() -> Finding:
    total = 0
    for alias in aliases():
        connection = connections[alias]
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            else:
                cursor.execute("SELECT pg_database_size(current_database())")
            total += cursor.fetchone()[0]
    return ok(f"The databases take {total / (1 << 20):,.0f} MiB.")
