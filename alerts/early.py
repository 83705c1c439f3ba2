"""Which rules need not wait for their turn, because something has just happened to what they look at.

Each process remembers what it has seen. What it did not see costs nothing but time: every rule has its turn.
"""

from __future__ import annotations

from typing import Final

from django.db.models import Max, Model

from alerts.models import AlertRule
from services.models import ContainerEvent, StatusChange

# The beginning of a condition's kind → the history whose rows tell that something happened.
HISTORIES: Final[dict[str, type[Model]]] = {"service": StatusChange, "container": ContainerEvent}

_seen: dict[str, int] = {}  # the newest row of each history that this process knows


def rules() -> set[int]:
    """Of whatever has changed since the last call."""
    found: set[int] = set()
    for beginning, history in HISTORIES.items():
        newest = history._default_manager.aggregate(newest=Max("pk"))["newest"] or 0
        if newest > _seen.setdefault(beginning, newest):
            _seen[beginning] = newest
            concerned = AlertRule.objects.filter(enabled=True, kind__startswith=beginning)
            found |= set(concerned.values_list("pk", flat=True))
    return found
