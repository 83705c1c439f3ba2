from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0003_retention")]

    operations = [
        migrations.CreateModel(
            name="LogBlockGrams",
            fields=[
                ("block", models.BigIntegerField(primary_key=True, serialize=False)),
                ("texts", models.BinaryField()),
                ("ids", models.BinaryField()),
                ("metadata", models.BinaryField()),
                ("literal", models.BooleanField()),
            ],
            options={"default_permissions": ()},
        ),
    ]
