from django.db import migrations, models

import accounts.names


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_roles"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="TeamService",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "pattern",
                    models.CharField(
                        help_text="checkout, or shop-* for all that begin so; services that only have lines, too.",
                        max_length=200,
                        unique=True,
                        validators=[accounts.names.valid_pattern],
                        verbose_name="service",
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Who sees them. None: nobody.",
                        related_name="+",
                        to="auth.group",
                        verbose_name="teams",
                    ),
                ),
            ],
            options={
                "verbose_name": "team's service",
                "ordering": ["pattern"],
                "permissions": [("see_everything", "Can see the services of all teams")],
            },
        ),
    ]
