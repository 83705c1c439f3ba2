"""Reports that come by mail: at the hour of each digest, of the day, week or month before."""

from __future__ import annotations

import logging
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from alerts import deliveries, reports
from alerts.models import Channel, Digest
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from core import clock
from services.sla import Period

DUE_MAX: Final = 20  # of one run
AGAIN: Final = timedelta(minutes=10)  # after one that could not be made

log = logging.getLogger(__name__)


def run_due(now: datetime) -> int:
    """Hands over to the channels of their receivers what is due. The number of digests.

    One that was missed comes late; of several that were missed only the last.
    """
    due = Digest.objects.filter(enabled=True, due_at__lte=clock.micros(now)).select_related("receiver")
    return sum(_run(digest, now) for digest in due[:DUE_MAX])


def _run(digest: Digest, now: datetime) -> bool:
    mine = Digest.objects.filter(pk=digest.pk, due_at=digest.due_at)
    following = clock.micros(next_at(digest, now))
    if not digest.due_at:
        mine.update(due_at=following)
        return False
    try:
        said = notification(digest, now)
    except Exception:
        log.exception("The digest %s could not be made; it is tried again in %d minutes", digest, AGAIN.seconds // 60)
        mine.update(due_at=clock.micros(now + AGAIN))
        return False
    with transaction.atomic():
        if not mine.update(due_at=following):
            return False
        deliveries.enqueue(Channel.objects.filter(receiver=digest.receiver), said, reason=Reason.DIGEST, now=now)
    return True


def next_at(digest: Digest, now: datetime) -> datetime:
    """The first time after `now`: the hour of the first day after a period."""
    zone = ZoneInfo(digest.zone)
    period = reports.period_of(digest.cadence, now.astimezone(zone).date(), zone)
    at = _hour(digest, period.first, zone)
    return at if at > now else _hour(digest, reports.after(digest.cadence, period).first, zone)


def _hour(digest: Digest, day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(digest.hour), zone)


def notification(digest: Digest, now: datetime) -> Notification:
    """Of the last period that is over."""
    zone = ZoneInfo(digest.zone)
    period = reports.before(digest.cadence, reports.period_of(digest.cadence, now.astimezone(zone).date(), zone))
    report = reports.build(digest.cadence, period, now)
    address = _address(digest.cadence, period)
    text = reports.as_text(report) + (f"\n\nTo read, print and tick off: {address}" if address else "")
    return Notification(
        reason=Reason.DIGEST,
        receiver=digest.receiver.name,
        title=f"Pharos: {report.title}",
        text=text,
        external_url=settings.EXTERNAL_URL,
    )


def _address(cadence: str, period: Period) -> str:
    if not settings.EXTERNAL_URL:
        return ""
    return f"{settings.EXTERNAL_URL}{reverse('alerts:reports', args=[cadence])}?day={period.first}"


def replan(digest: Digest) -> None:
    """After it was changed: its hour may be another one. `run_due` gives it a time."""
    Digest.objects.filter(pk=digest.pk).update(due_at=0)
