"""An incident that ended by itself, and of which alerts fire again shortly after, is the same trouble: it goes on.

If nobody was told of its end, it goes on as if it had not ended: who saw to it still does, and the time in which it was
over does not count for its escalation. Else it begins anew, as when a person reopens it. What a person has resolved
stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F

from alerts import escalation
from alerts.models import Delivery, Incident, IncidentEvent
from alerts.models.deliveries import Reason
from alerts.models.incidents import Status, Verb, Via

SHORTEST: Final = timedelta(minutes=5)
CHANGED: Final = (
    "status", "acknowledged_at", "acknowledged_by", "resolved_at", "step", "escalates_from", "escalate_at",
)  # fmt: skip


def within(group_interval: float) -> timedelta:
    """How long after its end an incident goes on, by the seconds between two looks at its group."""
    return max(SHORTEST, timedelta(seconds=group_interval))


def go_on(wanted: Mapping[str, timedelta], now: datetime) -> dict[str, Incident]:
    """Reopens the incidents of these keys that ended by themselves no longer ago than that. By their key, locked.
    The event is the caller's; inside the caller's transaction."""
    ended = Incident.objects.filter(
        key__in=wanted, status=Status.RESOLVED, resolved_at__gte=now - max(wanted.values())
    ).select_for_update(no_key=True)
    newest = {each.key: each for each in ended.order_by("key", "resolved_at", "pk")}
    recent = {each.pk: each for key, each in newest.items() if _pause(each, now) <= wanted[key]}
    ends = IncidentEvent.objects.filter(incident__in=recent, verb=Verb.RESOLVE).order_by("at", "pk")
    last_end = dict(ends.values_list("incident", "via"))
    found = [each for pk, each in recent.items() if last_end.get(pk) == Via.SYSTEM]
    if not found:
        return {}
    told = Delivery.objects.filter(
        incident__in=found, reason=Reason.RESOLVED, created_at__gte=F("incident__resolved_at")
    ).order_by()
    known = set(told.values_list("incident", flat=True).distinct())
    for incident in found:
        _reopen(incident, now, told=incident.pk in known)
    escalation.plan_all(found)
    try:
        with transaction.atomic():
            Incident.objects.bulk_update(found, CHANGED, 500)
    except IntegrityError:
        return {}  # somebody has just opened another one of the same key
    return {incident.key: incident for incident in found}


def _pause(incident: Incident, now: datetime) -> timedelta:
    """How long it has been over; nothing if the clock was set back."""
    return max(now - incident.resolved_at, timedelta()) if incident.resolved_at else timedelta.max


def _reopen(incident: Incident, now: datetime, *, told: bool) -> None:
    if told:
        incident.status, incident.acknowledged_at, incident.acknowledged_by = Status.OPEN, None, None
        incident.step, incident.escalates_from = 0, now
    else:
        incident.status = Status.ACKNOWLEDGED if incident.acknowledged_at else Status.OPEN
        incident.escalates_from += _pause(incident, now)
    incident.resolved_at = None
