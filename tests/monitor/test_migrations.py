"""Old code runs on new tables while a version is deployed: see docs/upgrading.md."""

from __future__ import annotations

from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import DeleteModel, RemoveField, RenameField, RenameModel

TAKE_AWAY = (DeleteModel, RemoveField, RenameField, RenameModel)


def own_migrations() -> list[Migration]:
    # The packages of others may lie below us as well, in .venv.
    own = {each.label for each in apps.get_app_configs() if Path(each.path).parent == settings.BASE_DIR}
    loaded = MigrationLoader(None).disk_migrations
    return [migration for (label, _), migration in loaded.items() if label in own]


def unsaid(migration: Migration) -> list[str]:
    """What it takes away without saying since when nobody uses it."""
    if getattr(migration, "unused_since", ""):
        return []
    return [each.describe() for each in migration.operations if isinstance(each, TAKE_AWAY)]


def test_no_migration_takes_away_what_old_code_may_use() -> None:
    found = {str(migration): taken for migration in own_migrations() if (taken := unsaid(migration))}

    assert found == {}


def test_our_migrations_are_found() -> None:
    assert {migration.app_label for migration in own_migrations()} >= {"accounts", "logs", "services", "alerts"}


def test_one_that_says_since_when_is_fine() -> None:
    class Gone(Migration):
        operations = [RemoveField("record", "field")]

    migration = Gone("0099_gone", "logs")

    assert unsaid(migration) == ["Remove field field from record"]

    migration.unused_since = "0.2"  # type: ignore[attr-defined]

    assert unsaid(migration) == []
