"""Silences that end soon: those who would be told of what still fires are told so before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from alerts import deliveries, dispatch, matchers, messages, silences
from alerts.models import Alert, Channel, Silence
from alerts.models.deliveries import Reason
from alerts.notifications import ALERTS_MAX, Notification
from services.durations import words

AHEAD: Final = timedelta(hours=1)  # or a quarter of the silence, if that is less
SHORTEST: Final = timedelta(hours=1)  # who silences for less knows of its end


def warn(now: datetime) -> int:
    """The number of silences that somebody was warned of. One that hits nothing is looked at again."""
    soon = Silence.objects.filter(starts_at__lte=now, ends_at__gt=now, ends_at__lte=now + AHEAD, warned_at=None)
    return sum(_warn(silence, now) for silence in soon.order_by("ends_at") if _is_due(silence, now))


def _is_due(silence: Silence, now: datetime) -> bool:
    length = silence.ends_at - silence.starts_at
    return length >= SHORTEST and silence.ends_at - now <= min(AHEAD, length / 4)


def _warn(silence: Silence, now: datetime) -> bool:
    found = silences.hits(matchers.parse_all(silence.matchers))
    if not found.alerts:
        return False
    with transaction.atomic():
        # Two workers may have found it: one warns.
        if not Silence.objects.filter(pk=silence.pk, warned_at=None).update(warned_at=now):
            return False
        for receiver, alerts in _of_receivers(found.alerts).items():
            channels = list(Channel.objects.filter(receiver__name=receiver, enabled=True).select_related("receiver"))
            deliveries.enqueue(channels, _notification(silence, receiver, alerts, now), reason=Reason.EXPIRY, now=now)
    return True


def _of_receivers(alerts: Sequence[Alert]) -> dict[str, list[Alert]]:
    """The alerts that each would be told of, by the receiver's name."""
    found: dict[str, list[Alert]] = defaultdict(list)
    for alert, matches in zip(alerts, dispatch.matches_of(alerts), strict=True):
        for name in {match.options.receiver_name for match in matches}:
            found[name].append(alert)
    return found


def _notification(silence: Silence, receiver: str, alerts: list[Alert], now: datetime) -> Notification:
    ordered = messages.in_order(alerts)
    hit = f"{len(alerts)} alert{'s' * (len(alerts) != 1)}"
    return Notification(
        reason=Reason.EXPIRY,
        receiver=receiver,
        title=f"A silence ends in {words(silence.ends_at - now)}: {hit} will be told then",
        text=(
            f"{', '.join(silence.matchers)} is silent until {silence.ends_at:%Y-%m-%d %H:%M} UTC, "
            f"by {silence.created_by}: {silence.comment}"
        ),
        alerts=[messages.told(alert) for alert in ordered[:ALERTS_MAX]],
        left_out=max(len(ordered) - ALERTS_MAX, 0),
        severity=messages.worst(ordered),
        dedup_key=f"silence {silence.pk}",
        external_url=settings.EXTERNAL_URL,
    )
