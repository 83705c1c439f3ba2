from django.conf import settings
from django.db import migrations, models

import logs.models


class Migration(migrations.Migration):
    # The new constraint allows what the old one does, and more: old code runs with it.
    dependencies = [
        ("logs", "0011_redaction"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="savedquery",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="With a user go the private queries; shared ones stay, without an owner.",
                null=True,
                on_delete=logs.models.keep_shared,
                related_name="saved_queries",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RemoveConstraint(model_name="savedquery", name="saved_query_owner"),
        migrations.AddConstraint(
            model_name="savedquery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("built_in", ""), ("owner__isnull", False)),
                    models.Q(
                        ("owner__isnull", True),
                        models.Q(("shared", True), models.Q(("built_in", ""), _negated=True), _connector="OR"),
                    ),
                    _connector="OR",
                ),
                name="saved_query_owned",
            ),
        ),
    ]
