from typing import Any

from django.db import migrations

# Name → severity, priority. The five of our own; what Prometheus rules and others usually say.
NAMES = {
    "critical": ("critical", "P1"),
    "high": ("high", "P2"),
    "medium": ("medium", "P3"),
    "low": ("low", "P3"),
    "info": ("info", "P3"),
    "emergency": ("critical", "P1"),
    "fatal": ("critical", "P1"),
    "page": ("critical", "P1"),
    "error": ("high", "P2"),
    "warning": ("medium", "P2"),
    "warn": ("medium", "P2"),
    "notice": ("info", "P3"),
    "none": ("info", "P3"),
    "p1": ("critical", "P1"),
    "p2": ("high", "P2"),
    "p3": ("medium", "P3"),
}


def built_in(apps: Any, schema_editor: Any) -> None:
    names = apps.get_model("alerts", "SeverityName").objects.using(schema_editor.connection.alias)
    for name, (severity, priority) in NAMES.items():
        names.create(name=name, severity=severity, priority=priority)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0004_sending")]

    operations = [migrations.RunPython(built_in, migrations.RunPython.noop, hints={"model_name": "severityname"})]
