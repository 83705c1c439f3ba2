"""Which rules need not wait for their turn, because something has just happened to what they look at.

Each process remembers what it has seen. What it did not see costs nothing but time: every rule has its turn.
"""

from __future__ import annotations

from django.db.models import Max, Model, Q

from alerts import early_lines
from alerts.models import AlertRule
from services.models import ContainerEvent, StatusChange

LOGS, CONTAINERS = Q(kind__startswith="log_"), Q(kind__startswith="container_")
# Histories, and the rules that look at what their rows tell.
HISTORIES: list[tuple[type[Model], Q]] = [(StatusChange, ~(LOGS | CONTAINERS)), (ContainerEvent, CONTAINERS)]

_seen: dict[type[Model], int] = {}  # the newest row of each history that this process knows


def rules() -> set[int]:
    """Of whatever has changed since the last call."""
    found: set[int] = set()
    for history, concerned in HISTORIES:
        newest = history._default_manager.aggregate(newest=Max("pk"))["newest"] or 0
        if newest > _seen.setdefault(history, newest):
            _seen[history] = newest
            found |= set(AlertRule.objects.filter(concerned, enabled=True).values_list("pk", flat=True))
    return found | early_lines.rules()
