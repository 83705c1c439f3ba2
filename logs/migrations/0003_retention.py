import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0002_saved_query")]

    operations = [
        migrations.CreateModel(
            name="RetentionRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "service",
                    models.CharField(
                        help_text="Its name exactly as its lines have it: capital and small letters differ.",
                        max_length=200,
                    ),
                ),
                (
                    "lines",
                    models.CharField(
                        choices=[("all", "every level"), ("debug", "debug and trace only")],
                        default="all",
                        help_text="A rule for debug and trace only goes before a rule for every level.",
                        max_length=10,
                    ),
                ),
                (
                    "days",
                    models.PositiveIntegerField(
                        help_text="0 keeps them for ever. What is older is deleted within minutes of saving, and can't "
                        "be got back.",
                        validators=[django.core.validators.MaxValueValidator(36_500)],
                    ),
                ),
                (
                    "comment",
                    models.CharField(blank=True, help_text="Why: “invoices, ten years by law”.", max_length=200),
                ),
            ],
            options={
                "ordering": ["service", "lines"],
                "constraints": [models.UniqueConstraint(fields=("service", "lines"), name="retention_rule_once")],
            },
        ),
        migrations.CreateModel(
            name="StoreEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=20)),
                ("at", models.DateTimeField()),
                ("detail", models.JSONField()),
            ],
            options={"ordering": ["-pk"], "default_permissions": ()},
        ),
    ]
