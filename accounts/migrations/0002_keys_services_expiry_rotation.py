import django.db.models.deletion
from django.db import migrations, models

import accounts.names


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="expires_on",
            field=models.DateField(
                blank=True, help_text="The last day on which it works, in UTC. Empty: until it is revoked.", null=True
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="last_used_from",
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="apikey",
            name="services",
            field=models.JSONField(blank=True, default=list, validators=[accounts.names.valid_patterns]),
        ),
        migrations.AddField(
            model_name="apikey",
            name="warned_on",
            field=models.DateField(blank=True, editable=False, null=True),
        ),
        migrations.CreateModel(
            name="OldSecret",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("prefix", models.CharField(editable=False, help_text="The key's first characters.", max_length=20)),
                ("hash", models.CharField(editable=False, max_length=64, unique=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_used_from", models.CharField(blank=True, editable=False, max_length=64)),
                ("works_until", models.DateTimeField()),
                (
                    "key",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="old_secrets", to="accounts.apikey"
                    ),
                ),
            ],
            options={
                "ordering": ["-works_until", "-pk"],
                "default_permissions": (),
            },
        ),
    ]
