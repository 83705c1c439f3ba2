"""Why nobody is told of alerts that fire now: silences, other alerts, and mute times on all of their ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from alerts import dispatch, silences
from alerts.inhibition import Inhibition, Inhibitor
from alerts.models import Alert, Silence
from alerts.routing import Tree


class By(StrEnum):
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    MUTED = "muted"


class Quiet(msgspec.Struct, frozen=True):
    silences: Sequence[Silence] = ()  # the one that ends last first
    inhibition: Inhibition | None = None
    muted: str = ""  # why, as a sentence without its end

    @property
    def by(self) -> frozenset[str]:
        """Values of By; empty if somebody is told."""
        found = {By.SILENCED: self.silences, By.INHIBITED: self.inhibition, By.MUTED: self.muted}
        return frozenset(by.value for by, what in found.items() if what)


def of(alerts: Sequence[Alert], now: datetime) -> list[Quiet]:
    """Of each, by its labels, severity and rule. A constant number of queries."""
    if not alerts:
        return []
    active, inhibitor = silences.active(now), Inhibitor.load()
    return [
        Quiet(silences.by(active, alert.labels), inhibitor.by(alert.labels, alert.severity), muted)
        for alert, muted in zip(alerts, _muted(alerts, now), strict=True)
    ]


def _muted(alerts: Sequence[Alert], now: datetime) -> Iterator[str]:
    ways = Tree.load().ways().values()
    if not any(way.options.muted(now) for way in ways):
        yield from ("" for _ in alerts)
        return
    for matches in dispatch.matches_of(alerts):
        whys = [match.options.muted(now) for match in matches]
        yield whys[0] if whys and all(whys) else ""
