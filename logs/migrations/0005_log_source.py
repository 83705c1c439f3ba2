from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0004_block_grams")]

    operations = [
        migrations.CreateModel(
            name="LogSource",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("stream", "stream"), ("channel", "Pub/Sub channel")],
                        default="stream",
                        help_text="A stream keeps lines until they are stored. A channel has no memory: what is "
                        "published while no ingester listens is lost.",
                        max_length=10,
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Exact, or a pattern like app:*:logs. It is read within 10 seconds of saving. Pharos "
                        "cuts streams to PHAROS_LOG_STREAM_MAXLEN once their entries are stored.",
                        max_length=200,
                    ),
                ),
                ("enabled", models.BooleanField(default=True, help_text="What is off is not read; its entries wait.")),
                ("comment", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "verbose_name": "log source",
                "verbose_name_plural": "log sources",
                "ordering": ["kind", "name"],
                "constraints": [models.UniqueConstraint(fields=("kind", "name"), name="log_source_once")],
            },
        ),
    ]
