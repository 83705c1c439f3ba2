"""Incidents that were like one, and how they ended."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from alerts.models import Incident


def before(incident: Incident) -> QuerySet[Incident]:
    """Earlier ones of the same alerts, or at least of the same rule; the newest first."""
    alike = Q(key=incident.key)
    if incident.rule_id:
        alike |= Q(rule=incident.rule_id)
    found = Incident.objects.filter(alike, opened_at__lte=incident.opened_at).exclude(pk=incident.pk)
    return found.select_related("resolved_by").order_by("-opened_at", "-pk")
