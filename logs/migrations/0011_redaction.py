from typing import Any

from django.db import migrations, models

# As logs.redaction has them at this time.
KEYS = [
    "password", "passwd", "pwd", "passphrase", "password_hash", "password_confirm", "password_confirmation",
    "passwords", "db_pass", "user_pass", "smtp_pass", "passwort",
    "token", "secret", "secret_key", "api_key", "access_key", "private_key", "signing_key", "encryption_key",
    "authorization", "credential", "credentials", "cookie", "set_cookie", "cookies", "session_id", "connect.sid",
    "cvv", "cvc",
]  # fmt: skip
DETECTORS = {
    "private-key": True,
    "url-password": True,
    "bearer": True,
    "jwt": True,
    "card": True,
    "email": False,
    "iban": False,
}


def built_in(apps: Any, schema_editor: Any) -> None:
    rules = apps.get_model("logs", "RedactionRule").objects.using(schema_editor.connection.alias)
    for key in KEYS:
        rules.create(kind="key", value=key)
    for name, enabled in DETECTORS.items():
        rules.create(kind="detector", value=name, enabled=enabled)


class Migration(migrations.Migration):
    dependencies = [("logs", "0010_source_kinds")]

    operations = [
        migrations.CreateModel(
            name="RedactionRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("key", "name of a secret"),
                            ("pattern", "pattern"),
                            ("detector", "built-in detector"),
                        ],
                        default="key",
                        help_text="A name stands for whatever is its value, in metadata and in texts like name=value. "
                        "A pattern is a regular expression of RE2.",
                        max_length=10,
                    ),
                ),
                (
                    "value",
                    models.CharField(
                        help_text="A name also means the names that end with it, in any spelling: api_key means "
                        "X-Api-Key and myApiKey. Of a pattern with one group only the group is removed.",
                        max_length=500,
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="Holds within 5 seconds, for lines that come then."),
                ),
                ("comment", models.CharField(blank=True, max_length=200)),
                (
                    "hits",
                    models.PositiveBigIntegerField(default=0, editable=False, help_text="Secrets it has removed."),
                ),
                ("last_hit", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "verbose_name": "redaction rule",
                "verbose_name_plural": "redaction rules",
                "ordering": ["kind", "value"],
                "constraints": [models.UniqueConstraint(fields=("kind", "value"), name="redaction_rule_once")],
            },
        ),
        migrations.RunPython(built_in, migrations.RunPython.noop, hints={"model_name": "redactionrule"}),
    ]
