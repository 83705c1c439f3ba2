"""Both databases that Pharos runs on, and services to watch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import connections


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What `default` is in this test, for all its threads: SQLite or PostgreSQL."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    before = connections["default"]
    monkeypatch.setitem(connections.settings, "default", connections["postgres"].settings_dict)
    connections["default"] = connections.create_connection("default")
    try:
        _empty_tables()
        yield "postgres"
    finally:
        connections["default"].close()
        connections["default"] = before


def _empty_tables() -> None:
    """The tests of the log store use this PostgreSQL, too: it has no other tables than theirs."""
    connection = connections["default"]
    models = list(apps.get_app_config("services").get_models())
    names = [model._meta.db_table for model in models]
    if names[0] in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(names)} CASCADE")
    else:
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
