"""Which rules need not wait for their turn, because something has just happened to what they look at.

Each process remembers what it has seen. What it did not see costs nothing but time: every rule has its turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.db.models import Max, Model, Q

from alerts import conditions, early_lines
from alerts.conditions import ConditionError
from alerts.conditions.of_services import Chosen
from alerts.facts import Facts
from alerts.models import AlertRule
from services.models import ContainerEvent, StatusChange

LOGS, CONTAINERS = Q(kind__startswith="log_"), Q(kind__startswith="container_")

_seen: dict[type[Model], int] = {}  # the newest row of each history that this process knows


def rules(known: Facts) -> set[int]:
    """Of whatever has changed since the last call."""
    found = early_lines.rules()
    if services := _changed(StatusChange, "service"):
        found |= set(_looking_at(services, known))
    if _changed(ContainerEvent, "container"):
        found |= set(AlertRule.objects.filter(CONTAINERS, enabled=True).values_list("pk", flat=True))
    return found


def _changed(history: type[Model], what: str) -> set[int]:
    """What a history has new rows of."""
    newest = history._default_manager.aggregate(newest=Max("pk"))["newest"] or 0
    before = _seen.setdefault(history, newest)
    if newest <= before:
        return set()
    _seen[history] = newest
    return set(history._default_manager.filter(pk__gt=before).values_list(what, flat=True))


def _looking_at(services: Collection[int], known: Facts) -> Iterator[int]:
    """Rules about one of these services."""
    changed = [service for pk, service in known.services.items() if pk in services]
    rules = AlertRule.objects.filter(~(LOGS | CONTAINERS), enabled=True)
    for pk, kind, stored in rules.values_list("pk", "kind", "config"):
        try:
            config = conditions.fitted(kind, stored)
        except ConditionError:
            continue  # it says so when it has its turn
        if isinstance(config, Chosen) and any(map(config.has, changed)):
            yield pk
