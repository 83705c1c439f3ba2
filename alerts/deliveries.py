"""Deliveries as rows: written with the decision to tell somebody."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from alerts.models import Channel, Delivery, Group, Incident
from alerts.notifications import Notification
from core import clock


def enqueue(
    channels: Iterable[Channel],
    notification: Notification,
    *,
    incident: Incident | None = None,
    group: Group | None = None,
    reason: str,
    now: datetime,
) -> list[Delivery]:
    """One for each channel that nobody has switched off, due at once. Inside the caller's transaction."""
    stored = msgspec.to_builtins(notification)
    return Delivery.objects.bulk_create(
        Delivery(
            channel=channel, incident=incident, group=group, reason=reason, notification=stored, created_at=now,
            due_at=clock.micros(now),
        )
        for channel in channels
        if channel.enabled
    )  # fmt: skip
