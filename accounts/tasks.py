"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from accounts import keys


@shared_task
def warn_of_expiry() -> int:
    return keys.warn_of_expiry(timezone.now())
