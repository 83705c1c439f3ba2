from typing import Any

from django.db import migrations, models


def forget(apps: Any, schema_editor: Any) -> None:
    """Filters are made again by `maintain`, with what older ones don't know."""
    apps.get_model("logs", "LogBlockGrams").objects.using(schema_editor.connection.alias).all().delete()


class Migration(migrations.Migration):
    # A deletion and a change of the table don't go together in one transaction of PostgreSQL.
    atomic = False
    dependencies = [("logs", "0007_storage_external")]

    operations = [
        migrations.RunPython(forget, migrations.RunPython.noop, hints={"model_name": "logblockgrams"}),
        migrations.AddField("logblockgrams", "letters", models.BinaryField(default=b""), preserve_default=False),
        migrations.AddField("logblockgrams", "ascii", models.BooleanField(default=False), preserve_default=False),
    ]
