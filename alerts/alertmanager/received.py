"""Alerts that others send: a Prometheus, or whatever speaks to Alertmanager.

One is sent again and again while it lasts. It ends when its sender says so, or when nobody has said for a while that it
goes on (`ends_at`). Alerts of our own rules are not touched by what others send.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from alerts import dispatch, severity_names
from alerts.alertmanager.wire import Given
from alerts.labels import fingerprint
from alerts.models import Alert
from alerts.models.alerts import State
from core import bulk, sqlite

FIRING_MAX: Final = 20_000  # of all senders together
TOGETHER: Final = 100  # alerts in one transaction: others want to write, too
AT_ONCE: Final = 500  # parameters of one statement
REFRESHED: Final = ["annotations", "generator_url", "active_at", "fired_at", "true_at", "ends_at"]


class FullError(Exception):
    """More alerts than are kept. The text is a sentence without its end."""


def take(given: Sequence[Given], now: datetime) -> int:
    """The number of those that have begun or ended. Raises FullError; then none was taken."""
    latest = {fingerprint(each.labels): each for each in given}
    _refuse_too_many(latest, now)
    keys = list(latest)
    taken = 0
    for at in range(0, len(keys), TOGETHER):
        began = time.monotonic()
        taken += _take_part({key: latest[key] for key in keys[at : at + TOGETHER]}, now)
        sqlite.give_way(Alert, began)
    return taken


def _take_part(given: Mapping[str, Given], now: datetime) -> int:
    try:
        return _take(given, now)
    except IntegrityError:
        # Two Prometheus servers of a pair have sent the same alert at once. Now it is there.
        return _take(given, now)


@transaction.atomic
def _take(given: Mapping[str, Given], now: datetime) -> int:
    known = {row.fingerprint: row for row in _active(given.keys()).select_for_update().order_by("pk")}
    made: list[Alert] = []
    refreshed: list[Alert] = []
    ended: list[Alert] = []
    names = severity_names.load()
    for key, each in given.items():
        row = known.get(key)
        if row is None:
            if each.ends_at > now:
                made.append(_made(key, each, now, names))
        elif row.rule_id is None:
            _refresh(row, each, now)
            (ended if row.state == State.RESOLVED else refreshed).append(row)
    Alert.objects.bulk_create(made)
    bulk.update(refreshed, REFRESHED)
    bulk.update(ended, [*REFRESHED, "state", "resolved_at"])
    if made or ended:
        dispatch.take([*made, *ended], now)
    return len(made) + len(ended)


def _active(keys: Collection[str]) -> QuerySet[Alert]:
    """Those of them that are not over."""
    return Alert.objects.exclude(state=State.RESOLVED).filter(fingerprint__in=keys)


def _refuse_too_many(given: Mapping[str, Given], now: datetime) -> None:
    firing = [key for key, each in given.items() if each.ends_at > now]
    there = Alert.objects.filter(rule=None, state=State.FIRING).count()
    if there + len(firing) <= FIRING_MAX:
        return
    more = len(firing)
    for at in range(0, len(firing), AT_ONCE):
        more -= _active(firing[at : at + AT_ONCE]).count()
    if more and there + more > FIRING_MAX:
        raise FullError(
            f"{there:,} alerts of others fire, and at most {FIRING_MAX:,} are kept: these {more:,} are refused"
        )


def _made(key: str, given: Given, now: datetime, names: severity_names.Names) -> Alert:
    begun = min(given.starts_at, now)
    return Alert(
        fingerprint=key,
        labels=given.labels,
        annotations=given.annotations,
        severity=severity_names.severity_of(given.labels, names),
        state=State.FIRING,
        active_at=begun,
        fired_at=begun,
        true_at=now,
        ends_at=given.ends_at,
        generator_url=given.generator_url,
    )


def _refresh(row: Alert, given: Given, now: datetime) -> None:
    row.annotations, row.generator_url = given.annotations, given.generator_url
    row.active_at = row.fired_at = min(row.active_at, given.starts_at)
    row.true_at, row.ends_at = now, given.ends_at
    if given.ends_at <= now:
        row.state, row.resolved_at = State.RESOLVED, max(given.ends_at, row.active_at)


def time_out(now: datetime) -> int:
    """Ends those that were not sent again in time. Their number."""
    late = Alert.objects.filter(rule=None, state=State.FIRING, ends_at__lte=now)
    if not late.exists():
        return 0
    with transaction.atomic():
        rows = list(late.select_for_update().order_by("pk"))
        for row in rows:
            row.state, row.resolved_at = State.RESOLVED, row.ends_at
        bulk.update(rows, ["state", "resolved_at"])
        dispatch.take(rows, now)
    return len(rows)
