"""What is old of the trail goes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from auditlog.models import LogEntry
from django.conf import settings

BATCH: Final = 1_000  # rows in one transaction
BATCHES_MAX: Final = 50  # what is left over waits for the next time


def prune(now: datetime) -> int:
    """How many entries went."""
    if not settings.AUDIT_RETENTION_DAYS:
        return 0
    old = LogEntry.objects.filter(timestamp__lt=now - timedelta(days=settings.AUDIT_RETENTION_DAYS))
    gone = 0
    for _ in range(BATCHES_MAX):
        batch = list(old.order_by("timestamp").values_list("pk", flat=True)[:BATCH])
        gone += LogEntry.objects.filter(pk__in=batch).delete()[0]
        if len(batch) < BATCH:
            break
    return gone
