import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0008_letters_of_ids")]

    operations = [
        migrations.CreateModel(
            name="Pipeline",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField(default=10, help_text="Smaller numbers act first.")),
                ("name", models.CharField(help_text="What it is for: “health checks”.", max_length=100)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "services",
                    models.CharField(
                        default="*",
                        help_text="Whose lines: a service, or a pattern like api-*. * means all; capital and small "
                        "letters differ.",
                        max_length=200,
                    ),
                ),
                (
                    "expression",
                    models.CharField(
                        blank=True,
                        help_text="A regular expression (RE2), looked for in the message. Groups with the name of a "
                        "field (level, timestamp, service, logger, title, message, request_id, trace_id, span_id) set "
                        "it; others become keys of the metadata: user=(?P&lt;user_id&gt;\\w+)",
                        max_length=2000,
                        verbose_name="extract",
                    ),
                ),
                (
                    "minimum",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("debug", "debug"),
                            ("info", "info"),
                            ("warn", "warn"),
                            ("error", "error"),
                            ("fatal", "fatal"),
                        ],
                        help_text="Lines below it are dropped. Empty: none is.",
                        max_length=10,
                        verbose_name="minimum level",
                    ),
                ),
                (
                    "drop",
                    models.CharField(
                        blank=True,
                        help_text="Lines it finds are dropped. The language of the Logs page: healthz AND "
                        "level:&lt;=info",
                        max_length=2000,
                        verbose_name="drop query",
                    ),
                ),
                (
                    "drop_expression",
                    models.CharField(
                        blank=True,
                        help_text="A regular expression (RE2). Lines in whose message it is found are dropped: "
                        "^GET /(healthz|metrics)",
                        max_length=2000,
                    ),
                ),
                (
                    "keep",
                    models.PositiveSmallIntegerField(
                        default=100,
                        help_text="Of trace, debug and info lines. Warnings and errors always stay. Lines with one "
                        "request id or trace id stay or go together.",
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                        verbose_name="keep per cent",
                    ),
                ),
                (
                    "labels",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="A JSON object whose keys are added to the metadata where they are missing: "
                        '{"team": "shop"}',
                    ),
                ),
                ("dropped", models.PositiveBigIntegerField(default=0, editable=False)),
                (
                    "sampled",
                    models.PositiveBigIntegerField(default=0, editable=False, verbose_name="left out by sampling"),
                ),
                ("changed", models.PositiveBigIntegerField(default=0, editable=False)),
            ],
            options={"ordering": ["position", "pk"]},
        ),
    ]
