"""The services' tables in the run's PostgreSQL, for one test: what is asked then goes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.db import connections

from logs.store.router import LogRouter
from tests.databases import without_trail


@contextmanager
def on_postgres() -> Iterator[None]:
    """In a test that has the database: its transaction takes the tables back."""
    with connections["postgres"].schema_editor() as editor:
        for model in apps.get_app_config("services").get_models():
            editor.create_model(model)
    with pytest.MonkeyPatch.context() as patch:
        without_trail(patch)
        patch.setattr(LogRouter, "db_for_read", lambda *_, **__: "postgres")
        patch.setattr(LogRouter, "db_for_write", lambda *_, **__: "postgres")
        yield
