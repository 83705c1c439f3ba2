"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from accounts import keys
from accounts.trail import retention

log = logging.getLogger(__name__)


@shared_task
def warn_of_expiry() -> int:
    return keys.warn_of_expiry(timezone.now())


@shared_task
def prune_trail() -> None:
    gone = retention.prune(timezone.now())
    if gone:
        log.info("%d entries of the audit trail were older than PHAROS_AUDIT_RETENTION_DAYS", gone)
