"""Both databases that Pharos runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import pytest
from django.apps import apps
from django.db import connections


@contextmanager
def default_on_postgres(*labels: str) -> Iterator[None]:
    """`default` is the run's PostgreSQL, for all threads, with empty tables of these applications.

    The tests of the log store use that PostgreSQL, too: it has no other tables than theirs.
    """
    before = connections["default"]
    with pytest.MonkeyPatch.context() as patch:
        without_trail(patch)
        patch.setitem(connections.settings, "default", connections["postgres"].settings_dict)
        connections["default"] = connections.create_connection("default")
        try:
            _empty_tables(labels)
            yield
        finally:
            connections["default"].close()
            connections["default"] = before


def without_trail(patch: pytest.MonkeyPatch) -> None:
    """Where the audit trail has no tables, nothing is written to it."""
    patch.setattr("auditlog.receivers._create_log_entry", lambda **_: None)
    patch.setattr("auditlog.models.LogEntryManager.log_m2m_changes", lambda *_: None)
    patch.setattr("accounts.trail.recording._entry", lambda *_: None)
    patch.setattr("accounts.trail.recording._write", lambda _: None)
    patch.setattr("accounts.trail.recording.event", lambda *_, **__: None)
    patch.setattr("accounts.trail.recording.count", lambda *_: None)


def _empty_tables(labels: tuple[str, ...]) -> None:
    connection = connections["default"]
    models = list(chain.from_iterable(apps.get_app_config(label).get_models() for label in labels))
    there = set(connection.introspection.table_names())
    if old := [model._meta.db_table for model in models if model._meta.db_table in there]:
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(old)} CASCADE")
    with connection.schema_editor() as editor:
        for model in models:
            if model._meta.db_table not in there:
                editor.create_model(model)
