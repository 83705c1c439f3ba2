import django.db.models.deletion
from django.db import migrations, models

import services.models.heartbeats


class Migration(migrations.Migration):
    dependencies = [
        ("services", "0001_watched"),
    ]

    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "service_check",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="heartbeat",
                        serialize=False,
                        to="services.check",
                    ),
                ),
                (
                    "token",
                    models.CharField(
                        default=services.models.heartbeats.new_token,
                        help_text="Whoever has it can ping. "
                        "To keep an address: the UUID of Healthchecks, the token of Uptime Kuma.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "ping_key",
                    models.CharField(blank=True, help_text="For addresses of the form /ping/key/slug.", max_length=64),
                ),
                ("slug", models.SlugField(blank=True, db_index=False, max_length=100)),
                ("started_at", models.BigIntegerField(editable=False, null=True)),
                ("resumed_at", models.BigIntegerField(editable=False, null=True)),
            ],
            options={
                "default_permissions": ("change", "view"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ping_key", ""), _negated=True),
                        fields=("ping_key", "slug"),
                        name="heartbeat_slug_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HeartbeatPing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.BigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("success", "success"), ("start", "start"), ("fail", "fail"), ("log", "log")],
                        max_length=10,
                    ),
                ),
                ("exit_code", models.PositiveSmallIntegerField(null=True)),
                ("run", models.UUIDField(null=True)),
                ("duration_us", models.BigIntegerField(null=True)),
                ("method", models.CharField(max_length=10)),
                ("address", models.GenericIPAddressField(null=True)),
                ("agent", models.CharField(blank=True, max_length=200)),
                ("body", models.TextField(blank=True)),
                (
                    "service_check",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pings",
                        to="services.check",
                    ),
                ),
            ],
            options={
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["service_check", "at"], name="ping_by_check"),
                    models.Index(fields=["at"], name="ping_by_time"),
                ],
            },
        ),
    ]
