"""A made-up message, for tests of a channel and for previews of its templates."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from alerts.labels import common, fingerprint
from alerts.models.deliveries import Reason
from alerts.notifications import Notification, Told
from alerts.severity import Severity


def sample(receiver: str, *, reason: str = Reason.TEST, by: str = "") -> Notification:
    """With one alert; it has ended if `reason` says so."""
    now = timezone.now()
    labels = {"alertname": "TestMessage", "service": "pharos", "severity": str(Severity.INFO)}
    ended = reason == Reason.RESOLVED
    told = Told(
        fingerprint(labels),
        labels,
        {
            "summary": "This is a test of the channel, nothing is wrong",
            "description": f"Sent by {by}." if by else "Sent by Pharos.",
        },
        Severity.INFO,
        not ended,
        now - timedelta(minutes=5),
        now if ended else None,
        1.0,
    )
    group = {"alertname": "TestMessage"}
    return Notification(
        reason=reason,
        receiver=receiver,
        alerts=[told],
        group_key='{}:{alertname="TestMessage"}',
        group_labels=group,
        common_labels=common([labels]),
        common_annotations=dict(told.annotations),
        severity=Severity.INFO,
        dedup_key=f"pharos-test-{told.fingerprint}",
        by=by,
        external_url=settings.EXTERNAL_URL,
    )
