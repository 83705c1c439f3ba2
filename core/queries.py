"""Counts what is asked of databases, for /metrics: a microsecond for each statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from core.meters import Counter

STATEMENTS: Final = Counter("pharos_database_statements", "Statements that databases carried out.", "database")
SECONDS: Final = Counter("pharos_database_seconds", "Seconds that they took, all told.", "database")
ERRORS: Final = Counter("pharos_database_errors", "Statements that failed.", "database")


@receiver(connection_created)
def begin(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if count not in connection.execute_wrappers:
        connection.execute_wrappers.append(count)


def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
    alias, before = context["connection"].alias, perf_counter()
    try:
        return execute(sql, params, many, context)
    except Exception:
        ERRORS.add(1, alias)
        raise
    finally:
        STATEMENTS.add(1, alias)
        SECONDS.add(perf_counter() - before, alias)
