from typing import Any

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

WEEKLY = "E-mail"  # the receiver that the first policy has: once it has a channel, it gets the week's report


def weekly_by_mail(apps: Any, schema_editor: Any) -> None:
    alias = schema_editor.connection.alias
    receiver = apps.get_model("alerts", "Receiver").objects.using(alias).filter(name=WEEKLY).first()
    if receiver:
        apps.get_model("alerts", "Digest").objects.using(alias).create(receiver=receiver, cadence="weekly")


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0005_severity_names"),
    ]

    operations = [
        migrations.CreateModel(
            name="Review",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cadence",
                    models.CharField(
                        choices=[("daily", "daily"), ("weekly", "weekly"), ("monthly", "monthly")], max_length=8
                    ),
                ),
                ("first", models.DateField()),
                ("ticks", models.JSONField(default=dict)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("cadence", "first"), name="review_once")],
            },
        ),
        migrations.CreateModel(
            name="Digest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cadence",
                    models.CharField(
                        choices=[("daily", "daily"), ("weekly", "weekly"), ("monthly", "monthly")],
                        default="weekly",
                        max_length=8,
                    ),
                ),
                (
                    "hour",
                    models.PositiveSmallIntegerField(
                        default=8,
                        help_text="Of the day, in the time zone.",
                        validators=[django.core.validators.MaxValueValidator(23)],
                    ),
                ),
                ("zone", models.CharField(default="UTC", max_length=60, verbose_name="time zone")),
                ("enabled", models.BooleanField(default=True)),
                ("due_at", models.BigIntegerField(default=0, editable=False)),
                (
                    "receiver",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="digests", to="alerts.receiver"
                    ),
                ),
            ],
            options={
                "ordering": ["receiver", "cadence"],
                "constraints": [models.UniqueConstraint(fields=("receiver", "cadence"), name="digest_once")],
            },
        ),
        migrations.RunPython(weekly_by_mail, migrations.RunPython.noop, hints={"model_name": "digest"}),
    ]
