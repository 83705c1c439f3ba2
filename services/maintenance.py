"""Services turn blue when a maintenance window opens, and back when it closes."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from services import statuses, windows
from services.models import Service, StatusChange
from services.status import Facts, Status, judge

AT_ONCE: Final = 250  # services in one transaction
SETTLED_MAX: Final = 2_000  # in one call: the others come with the next


def settle_boundaries(now: datetime) -> list[StatusChange]:
    """Settles the services whose status doesn't fit the windows that are open.

    It remembers nothing: what a window brought that was deleted, moved, or closed while Pharos was off is found, too.
    A handful of queries when there is nothing to do, none of which reads all services.
    """
    wanted = sorted(_unsettled(now))[:SETTLED_MAX]
    changes = []
    for first in range(0, len(wanted), AT_ONCE):
        changes += statuses.settle(wanted[first : first + AT_ONCE], now)
    return changes


def _unsettled(now: datetime) -> set[int]:
    blue = dict(Service.objects.filter(status=Status.MAINTENANCE).values_list("pk", "reason"))
    found = windows.open_windows(blue, now) if blue else {}
    right = {pk for pk, window in found.items() if blue[pk] == judge(Facts(maintenance=window.name)).reason}
    return blue.keys() - right | _to_come(now)


def _to_come(now: datetime) -> set[int]:
    """Those that are not blue yet. Who is paused stays so."""
    current = windows.open_now(now)
    if not current:
        return set()
    others = Service.objects.exclude(status__in=(Status.MAINTENANCE, Status.PAUSED))
    if not any(window.everything for window in current):
        others = others.filter(maintenance_windows__in=current)
    return set(others.values_list("pk", flat=True))
