"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from services import heartbeats, maintenance


@shared_task
def watch_time() -> int:
    """What happens because it is time: windows open and close, jobs are missed. The number of changes."""
    now = timezone.now()
    return len(maintenance.settle_boundaries(now)) + len(heartbeats.settle_missed(now))


@shared_task
def prune_pings() -> int:
    return heartbeats.prune(timezone.now())
