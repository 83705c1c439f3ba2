"""Channels, and what they are told, for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from alerts import deliveries
from alerts.labels import fingerprint
from alerts.models import Channel, Delivery, Group, Incident, Receiver
from alerts.models.deliveries import Reason
from alerts.notifications import Notification, Told
from alerts.severity import Severity

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)


def channel(url: str = "http://127.0.0.1:1/", kind: str = "webhook", **fields: Any) -> Channel:
    receiver, _ = Receiver.objects.get_or_create(name=fields.pop("receiver", "ops"))
    options = fields.pop("options", {"url": url} if kind == "webhook" else {})
    return Channel.objects.create(receiver=receiver, kind=kind, options=options, **{"rate_max": 1_000} | fields)


def told(name: str = "WorkerDown", *, firing: bool = True, **fields: Any) -> Told:
    labels = {"alertname": name, "service": "worker", "severity": "high"} | fields.pop("labels", {})
    known: dict[str, Any] = {
        "fingerprint": fingerprint(labels),
        "labels": labels,
        "annotations": {"summary": "worker is down", "description": "readiness fails: redis connection refused"},
        "severity": Severity.HIGH,
        "firing": firing,
        "starts_at": datetime(2026, 11, 21, 13, 58, 3, 120_000, UTC),
        "ends_at": None if firing else datetime(2026, 11, 21, 14, 3, tzinfo=UTC),
        "generator_url": "https://pharos.example.org/alerts/",
    }
    return Told(**known | fields)


def notification(reason: str = Reason.FIRING, **fields: Any) -> Notification:
    alerts = fields.pop("alerts", [told(firing=reason != Reason.RESOLVED)])
    labels = alerts[0].labels if alerts else {}
    known: dict[str, Any] = {
        "reason": reason,
        "receiver": "ops",
        "alerts": alerts,
        "group_key": '{}/{severity="high"}:{alertname="WorkerDown"}',
        "group_labels": {"alertname": "WorkerDown"},
        "common_labels": dict(labels),
        "common_annotations": dict(alerts[0].annotations) if alerts else {},
        "severity": Severity.HIGH,
        "incident_title": "WorkerDown · worker",
        "dedup_key": "pharos-1",
        "external_url": "https://pharos.example.org",
    }
    return Notification(**known | fields)


def due(
    *channels: Channel,
    reason: str = Reason.FIRING,
    at: datetime = NOW,
    group: Group | None = None,
    incident: Incident | None = None,
    **fields: Any,
) -> list[Delivery]:
    return deliveries.enqueue(
        channels, notification(reason, **fields), incident=incident, group=group, reason=reason, now=at
    )


def incident(title: str = "WorkerDown · worker") -> Incident:
    return Incident.objects.create(key=title, title=title, severity=Severity.HIGH, opened_at=NOW, event_at=NOW)


def group(key: str = "g") -> Group:
    return Group.objects.create(key=key, labels={}, flush_at=0)
