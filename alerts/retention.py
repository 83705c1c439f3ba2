"""What is old goes: deliveries, alerts that have ended, groups without alerts, silences that are over. Incidents, with
all that happened to them, stay."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet

from alerts.models import Alert, Delivery, Group, Silence
from core import clock

BATCH: Final = 500  # rows in one transaction


def prune(now: datetime, budget: float) -> int:
    """How many rows went; `budget` is in seconds: what is left over then waits for the next time."""
    if not settings.ALERTS_RETENTION_DAYS:
        return 0
    deadline = time.monotonic() + budget
    before = now - timedelta(days=settings.ALERTS_RETENTION_DAYS)
    old: list[QuerySet[Any]] = [
        Delivery.objects.filter(created_at__lt=before, due_at=None).order_by("created_at"),
        Alert.objects.filter(resolved_at__lt=before).order_by("resolved_at"),
        Group.objects.filter(flush_at=None, looked_at__lt=clock.micros(before)).order_by("looked_at"),
        Silence.objects.filter(ends_at__lt=before).order_by("ends_at"),
    ]
    return sum(_delete(rows, deadline) for rows in old)


def _delete(rows: QuerySet[Any], deadline: float) -> int:
    gone = 0
    while time.monotonic() < deadline:
        batch: list[Any] = list(rows.values_list("pk", flat=True)[:BATCH])
        if batch:
            rows.model._default_manager.filter(pk__in=batch).delete()
            gone += len(batch)
        if len(batch) < BATCH:
            break
    return gone
