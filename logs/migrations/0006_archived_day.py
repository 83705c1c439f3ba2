from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0005_log_source")]

    operations = [
        migrations.CreateModel(
            name="ArchivedDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(unique=True, verbose_name="day (UTC)")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("writing", "being archived"),
                            ("archived", "archived"),
                            ("stale", "late lines wait to be added"),
                            ("failed", "failed, tried again within the hour"),
                            ("restoring", "being restored"),
                            ("restored", "archived and restored"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("archived_at", models.DateTimeField(null=True)),
                ("location", models.CharField(max_length=1000)),
                ("lines", models.PositiveBigIntegerField(default=0)),
                ("bytes", models.PositiveBigIntegerField(default=0)),
                ("services", models.JSONField(default=dict, help_text="Lines of each service.")),
                ("error", models.TextField(blank=True)),
                ("blocks_done", models.PositiveIntegerField(default=0)),
                ("blocks_all", models.PositiveIntegerField(default=0)),
                ("commit", models.PositiveBigIntegerField(default=0)),
                ("attempt", models.CharField(max_length=32)),
                ("restored_at", models.DateTimeField(null=True)),
                ("restored_until", models.DateTimeField(null=True)),
            ],
            options={"ordering": ["-day"], "default_permissions": ("view", "change")},
        ),
    ]
