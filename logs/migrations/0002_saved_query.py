from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


def add_predefined(apps: Any, schema_editor: Any) -> None:
    from logs import saved

    saved.restore(apps.get_model("logs", "SavedQuery").objects.using(schema_editor.connection.alias))


class Migration(migrations.Migration):
    dependencies = [
        ("logs", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SavedQuery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("text", models.CharField(blank=True, max_length=2000, verbose_name="query")),
                (
                    "levels",
                    models.CharField(
                        blank=True, help_text="With commas: warn,error,fatal. Empty: all.", max_length=100
                    ),
                ),
                ("services", models.TextField(blank=True, help_text="With commas. Empty: all.")),
                (
                    "since",
                    models.CharField(
                        blank=True, help_text="A time, or a period like -24h.", max_length=40, verbose_name="from"
                    ),
                ),
                (
                    "until",
                    models.CharField(
                        blank=True, help_text="A time. Empty: now, and live.", max_length=40, verbose_name="to"
                    ),
                ),
                (
                    "shared",
                    models.BooleanField(default=False, help_text="Everyone who may read logs sees it."),
                ),
                (
                    "built_in",
                    models.SlugField(blank=True, db_index=False, editable=False, verbose_name="predefined"),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="saved_queries",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "saved query",
                "verbose_name_plural": "saved queries",
                "ordering": ["name", "pk"],
                "indexes": [
                    models.Index(condition=models.Q(("shared", True)), fields=["name"], name="saved_query_shared")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "name"),
                        name="saved_query_name",
                        violation_error_message=(
                            "There is a query with this name already: choose another one, or remove it."
                        ),
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("built_in", ""), _negated=True),
                        fields=("built_in",),
                        name="saved_query_built_in",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("built_in", ""), ("owner__isnull", False)),
                            models.Q(("owner__isnull", True), models.Q(("built_in", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="saved_query_owner",
                    ),
                ],
            },
        ),
        migrations.RunPython(add_predefined, migrations.RunPython.noop),
    ]
