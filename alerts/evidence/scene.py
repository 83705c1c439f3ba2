"""Where and when it happened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec

from alerts.models import Incident
from core import clock
from services.models import Dependency

AROUND: Final = timedelta(minutes=5)
LATE: Final = timedelta(seconds=10)  # lines need a moment to be stored
BEGAN_MAX: Final = timedelta(minutes=30)  # before the incident: when the oldest of its alerts was true first
HISTORY: Final = timedelta(hours=1)  # of what happened to services and containers
PARENTS_MAX: Final = 20

Taken: TypeAlias = tuple[dict[str, Any], str] | None  # the data, and what it is in a few words


class Scene(msgspec.Struct, frozen=True):
    incident: Incident
    labels: Mapping[str, str]  # of its oldest alert
    services: Mapping[int, str]  # the service, and what it needs
    start: datetime
    opened: datetime
    end: datetime
    until: datetime  # what has been of it

    @classmethod
    def of(cls, incident: Incident, now: datetime) -> Scene:
        alert = incident.alerts.order_by("active_at", "pk").first()
        opened = incident.opened_at
        began = min(max(alert.active_at, opened - BEGAN_MAX), opened) if alert else opened
        return cls(
            incident,
            alert.labels if alert else incident.labels,
            _services(incident),
            began - AROUND,
            opened,
            opened + AROUND,
            min(opened + AROUND, now),
        )

    @property
    def since(self) -> datetime:
        """The start of what happened to services and containers."""
        return min(self.start, self.opened - HISTORY)


def _services(incident: Incident) -> dict[int, str]:
    if incident.service is None:
        return {}
    parents = Dependency.objects.filter(child=incident.service).order_by("parent__name")
    needed = dict(parents.values_list("parent", "parent__name")[:PARENTS_MAX])
    return {incident.service.pk: incident.service.name, **needed}


def iso(at: datetime) -> str:
    return clock.iso(clock.micros(at))


def count_words(number: int, what: str) -> str:
    """ "1 line", "4,212 lines"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
