from __future__ import annotations

from typing import Any

from django.db import migrations


def install_packs(apps: Any, schema_editor: Any) -> None:
    from alerts import packs

    packs.install(apps.get_model("alerts", "AlertRule").objects.using(schema_editor.connection.alias))


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0005_severity_names"),
    ]

    operations = [
        migrations.RunPython(install_packs, migrations.RunPython.noop, hints={"model_name": "alertrule"}),
    ]
