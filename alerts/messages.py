"""What is told of a group of alerts: the same for every way to tell it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.conf import settings
from msgspec.structs import replace

from alerts.labels import common
from alerts.models import Alert, Group, Incident
from alerts.models.alerts import State
from alerts.models.incidents import Status
from alerts.notifications import ALERTS_MAX, Notification, Told
from alerts.routing import Way, told_key
from alerts.severity import Severity


def of_group(group: Group, way: Way, alerts: Sequence[Alert], reason: str) -> Notification:
    """`alerts` are those that are told, in order: at least one."""
    incident = leading(alerts)
    return Notification(
        reason=reason,
        receiver=way.options.receiver_name,
        alerts=[told(alert) for alert in alerts[:ALERTS_MAX]],
        left_out=max(len(alerts) - ALERTS_MAX, 0),
        group_key=told_key(way.path, group.labels),
        group_labels=group.labels,
        common_labels=common(alert.labels for alert in alerts),
        common_annotations=common(alert.annotations for alert in alerts),
        severity=worst(alerts),
        incident=incident.pk if incident else None,
        incident_title=incident.title if incident else "",
        dedup_key=group.key,
        external_url=settings.EXTERNAL_URL,
    )


def of_incident(
    incident: Incident, alerts: Sequence[Alert], reason: str, *, receiver: str, text: str = "", by: str = ""
) -> Notification:
    """Of an incident itself, whatever groups its alerts are in: one that waits, or of which those are told the end who
    were told only because it waited."""
    ordered = sorted(alerts, key=_order)
    return Notification(
        reason=reason,
        receiver=receiver,
        title=incident.title,
        text=text,
        alerts=[_ended(told(alert), incident) for alert in ordered[:ALERTS_MAX]],
        left_out=max(len(ordered) - ALERTS_MAX, 0),
        group_key=f"incident/{incident.pk}",
        group_labels=incident.labels,
        common_labels=common(alert.labels for alert in ordered),
        common_annotations=common(alert.annotations for alert in ordered),
        severity=worst(ordered) if ordered else incident.severity,
        incident=incident.pk,
        incident_title=incident.title,
        dedup_key=f"incident-{incident.pk}",
        by=by,
        external_url=getattr(settings, "EXTERNAL_URL", ""),
    )


def _ended(alert: Told, incident: Incident) -> Told:
    """A person may resolve what still fires: then it is over for who was told of it."""
    if incident.status != Status.RESOLVED or not alert.firing:
        return alert
    return replace(alert, firing=False, ends_at=incident.resolved_at)


def told(alert: Alert) -> Told:
    firing = alert.state != State.RESOLVED
    return Told(
        fingerprint=alert.fingerprint,
        labels=alert.labels,
        annotations=alert.annotations,
        severity=alert.severity,
        firing=firing,
        starts_at=alert.fired_at or alert.active_at,
        ends_at=None if firing else alert.resolved_at,
        value=alert.value,
        generator_url=alert.generator_url,
    )


def leading(alerts: Iterable[Alert]) -> Incident | None:
    """The incident of the worst alert that has one."""
    return next((alert.incident for alert in alerts if alert.incident), None)


def worst(alerts: Sequence[Alert]) -> str:
    """Of those that fire, or of all if none does."""
    firing = [alert.severity for alert in alerts if alert.state != State.RESOLVED]
    return min(firing or [alert.severity for alert in alerts], key=lambda severity: Severity(severity).rank)


def in_order(alerts: Iterable[Alert]) -> list[Alert]:
    """Firing ones first, the worst first, then by their labels."""
    return sorted(alerts, key=_order)


def _order(alert: Alert) -> tuple[bool, int, list[tuple[str, str]]]:
    return alert.state == State.RESOLVED, Severity(alert.severity).rank, sorted(alert.labels.items())
