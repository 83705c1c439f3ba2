"""Silences: who makes and ends them, which alerts they hit.

A silence is never changed: to change it is to end it and to make another one, as in Alertmanager.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from accounts.trail import recording
from alerts import matchers
from alerts.labels import Labels
from alerts.matchers import Matcher
from alerts.models import Alert, Silence
from alerts.models.alerts import State

HITS_MAX: Final = 200  # alerts that a preview shows


class Active(msgspec.Struct, frozen=True):
    """A silence that is in force."""

    row: Silence
    matchers: Sequence[Matcher]

    def hits(self, labels: Labels) -> bool:
        return matchers.all_match(self.matchers, labels)


def active(now: datetime) -> list[Active]:
    """The one that ends last first."""
    rows = Silence.objects.filter(starts_at__lte=now, ends_at__gt=now).order_by("-ends_at", "pk")
    return [Active(row, matchers.parse_all(row.matchers)) for row in rows]


def by(silences: Iterable[Active], labels: Labels) -> list[Silence]:
    """Those that keep an alert with these labels quiet."""
    return [silence.row for silence in silences if silence.hits(labels)]


class Hits(msgspec.Struct, frozen=True):
    """Alerts that fire, and that a silence would keep quiet."""

    alerts: Sequence[Alert]  # at most HITS_MAX, the newest first
    count: int


def hits(several: Sequence[Matcher]) -> Hits:
    fires = Alert.objects.filter(state=State.FIRING).order_by("-active_at", "-pk").values_list("pk", "labels")
    found = [pk for pk, labels in fires.iterator() if matchers.all_match(several, labels)]
    return Hits(list(Alert.objects.filter(pk__in=found[:HITS_MAX]).select_related("rule")), len(found))


# --- Verbs -----------------------------------------------------------------------------------------------------------


def create(
    several: Sequence[str],
    starts_at: datetime | None,
    ends_at: datetime,
    *,
    by: User | None = None,
    created_by: str = "",
    comment: str,
    now: datetime | None = None,
) -> Silence:
    """`several` are matchers as texts; `created_by` is what a program says of itself. Raises ValidationError."""
    now = now or timezone.now()
    made = Silence(
        matchers=list(several),
        starts_at=max(starts_at or now, now),
        ends_at=ends_at,
        author=by,
        created_by=created_by or (by.get_username() if by else ""),
        comment=comment,
        created_at=now,
    )
    made.full_clean()
    with transaction.atomic():
        made.save(force_insert=True)
        _note(made, by, ADDITION, "Made.")
    return made


def expire(silence: Silence, *, by: User | None = None, now: datetime | None = None) -> bool:
    """It ends now; one that has not begun never does. False if it had ended already."""
    now = now or timezone.now()
    with transaction.atomic():
        mine = Silence.objects.filter(pk=silence.pk, ends_at__gt=now)
        waiting = recording.update(mine.filter(starts_at__gt=now), {"starts_at": now, "ends_at": now})
        ended = waiting or recording.update(mine, {"ends_at": now})
        if ended:
            _note(silence, by, CHANGE, "Ended.")
    silence.refresh_from_db()
    return bool(ended)


def _note(silence: Silence, by: User | None, flag: int, message: str) -> None:
    """In the history that the admin shows."""
    if by is not None:
        LogEntry.objects.log_actions(by.pk, [silence], flag, message, single_object=True)
