"""What every installation begins with: names of severities, who is told of what, rules, and a weekly report."""

from __future__ import annotations

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
WEEKLY = "E-mail"  # the receiver that the first policy has: once it has a channel, it gets the week's report


def severity_names(apps: Any, schema_editor: Any) -> None:
    names = _rows(apps, schema_editor, "SeverityName")
    for name, (severity, priority) in NAMES.items():
        names.create(name=name, severity=severity, priority=priority)


def policy(apps: Any, schema_editor: Any) -> None:
    from alerts import policy

    models = ("Receiver", "Route", "InhibitRule", "EscalationPolicy")
    policy.install(*(_rows(apps, schema_editor, name) for name in models))


def packs(apps: Any, schema_editor: Any) -> None:
    from alerts import packs

    packs.install(_rows(apps, schema_editor, "AlertRule"))


def weekly_by_mail(apps: Any, schema_editor: Any) -> None:
    if receiver := _rows(apps, schema_editor, "Receiver").filter(name=WEEKLY).first():
        _rows(apps, schema_editor, "Digest").create(receiver=receiver, cadence="weekly")


def _rows(apps: Any, schema_editor: Any, model: str) -> Any:
    return apps.get_model("alerts", model).objects.using(schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_alerts")]

    operations = [
        migrations.RunPython(severity_names, migrations.RunPython.noop, hints={"model_name": "severityname"}),
        migrations.RunPython(policy, migrations.RunPython.noop, hints={"model_name": "route"}),
        migrations.RunPython(packs, migrations.RunPython.noop, hints={"model_name": "alertrule"}),
        migrations.RunPython(weekly_by_mail, migrations.RunPython.noop, hints={"model_name": "digest"}),
    ]
