from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_preferences")]

    operations = [
        migrations.AlterModelOptions(
            name="teamservice",
            options={
                "verbose_name": "team’s service",
                "verbose_name_plural": "teams’ services",
                "ordering": ["pattern"],
                "permissions": [("see_everything", "Can see the services of all teams")],
            },
        ),
    ]
