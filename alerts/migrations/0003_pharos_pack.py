"""Rules on Pharos itself, for installations that were made before there were any."""

from __future__ import annotations

from typing import Any

from django.db import migrations

KEYS = (
    "pharos-ingest-lags",
    "pharos-dead-letters",
    "pharos-beat-late",
    "pharos-process-missing",
    "pharos-disk-fills",
    "pharos-deliveries-fail",
    "pharos-lines-dropped",
    "pharos-sign-ins-fail",
)


def install(apps: Any, schema_editor: Any) -> None:
    from alerts import packs

    packs.install(apps.get_model("alerts", "AlertRule").objects.using(schema_editor.connection.alias), KEYS)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0002_first_rows")]

    operations = [migrations.RunPython(install, migrations.RunPython.noop, hints={"model_name": "alertrule"})]
