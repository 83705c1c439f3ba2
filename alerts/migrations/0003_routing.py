from typing import Any

from django.db import migrations, models


def install_policy(apps: Any, schema_editor: Any) -> None:
    from alerts import policy

    alias = schema_editor.connection.alias
    policy.install(
        *(apps.get_model("alerts", name).objects.using(alias) for name in ("Receiver", "Route", "InhibitRule"))
    )


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0002_incidents"),
    ]

    operations = [
        migrations.AddField(
            model_name="group",
            name="looked_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name="group",
            name="flush_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="inhibitrule",
            name="from_parents",
            field=models.BooleanField(
                default=False,
                help_text=(
                    "The source is an alert of a service that the target's service needs, while that one is down."
                ),
                verbose_name="from what it needs",
            ),
        ),
        migrations.RunPython(install_policy, migrations.RunPython.noop, hints={"model_name": "route"}),
    ]
