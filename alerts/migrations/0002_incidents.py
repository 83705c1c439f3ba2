import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0001_alerts"),
        ("services", "0001_watched"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveField(
            model_name="incident",
            name="claim",
        ),
        migrations.AddField(
            model_name="incident",
            name="escalates_from",
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddField(
            model_name="incident",
            name="escalation",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="incidents",
                to="alerts.escalationpolicy",
            ),
        ),
        migrations.AddField(
            model_name="incident",
            name="evidence_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddIndex(
            model_name="incident",
            index=models.Index(
                condition=models.Q(("evidence_at__isnull", False)), fields=["evidence_at"], name="incident_by_evidence"
            ),
        ),
    ]
