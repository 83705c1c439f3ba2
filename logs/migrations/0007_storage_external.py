from typing import Any

from django.db import migrations

# What is compressed already: PostgreSQL would try again, and give up, for each block.
COMPRESSED = {
    "logs_logblock": ["header", "times", "sequences", "commits", "labels", "ids", "texts", "metadata"],
    "logs_logblockgrams": ["texts", "ids", "metadata"],
    "logs_logcommit": ["entries"],
}


def _alter(schema_editor: Any, storage: str) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table, columns in COMPRESSED.items():
            changes = ", ".join(f"ALTER COLUMN {column} SET STORAGE {storage}" for column in columns)
            schema_editor.execute(f"ALTER TABLE {table} {changes}")


def external(apps: Any, schema_editor: Any) -> None:
    _alter(schema_editor, "EXTERNAL")


def extended(apps: Any, schema_editor: Any) -> None:
    _alter(schema_editor, "EXTENDED")


class Migration(migrations.Migration):
    dependencies = [("logs", "0006_archived_day")]

    operations = [migrations.RunPython(external, extended, hints={"model_name": "logblock"})]
