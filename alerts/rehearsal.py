"""Who would have been told, and when: groups of alerts in memory, which have their time as those of `alerts.dispatch`.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from alerts import grouping
from alerts.evaluation import Episode
from alerts.grouping import Entry
from alerts.inhibition import Inhibitor, Rule, Source
from alerts.labels import Labels
from alerts.models.alerts import State
from alerts.routing import Match, Options


class Told(NamedTuple):
    at: datetime
    receiver: str
    reason: str


class _Group(msgspec.Struct):
    options: Options
    flush_at: datetime
    alerts: dict[str, Episode] = {}  # by fingerprint: those that fire, and those whose end is not told
    told: dict[bool, Entry] = {}  # what channels know, by whether they are told of ends


class Rehearsal:
    def __init__(
        self,
        match: Callable[[Labels], Sequence[Match]],
        send_resolved: Mapping[int, frozenset[bool]] = {},
        inhibiting: Sequence[Rule] = (),
    ) -> None:
        """`send_resolved`: what the channels of each receiver want. One without channels is told as if it had one."""
        self.told: list[Told] = []
        self._match, self._send_resolved, self._inhibiting = match, send_resolved, inhibiting
        self._groups: dict[str, _Group] = {}
        self._firing: dict[str, Episode] = {}

    def take(self, alert: Episode, now: datetime) -> None:
        """It has begun to fire, or has ended."""
        if alert.state == State.FIRING:
            self._firing[alert.fingerprint] = alert
        else:
            self._firing.pop(alert.fingerprint, None)
        for match in self._match(alert.labels):
            first = now + timedelta(seconds=match.options.group_wait)
            group = self._groups.setdefault(match.group_key, _Group(match.options, first))
            group.alerts[alert.fingerprint] = alert

    def flush(self, until: datetime) -> None:
        """All that is due up to then, in its order."""
        while due := [(group.flush_at, key) for key, group in self._groups.items() if group.flush_at <= until]:
            at, key = min(due)
            self._flush(key, at)

    def _flush(self, key: str, at: datetime) -> None:
        group = self._groups[key]
        heard = [] if group.options.muted(at) else self._heard(group)
        firing = frozenset(alert.fingerprint for alert in heard if alert.state == State.FIRING)
        ended = frozenset(alert.fingerprint for alert in heard) - firing
        reasons = set()
        for send_resolved in sorted(self._send_resolved.get(group.options.receiver or 0) or {True}):
            reason = grouping.reason_to_tell(
                group.told.get(send_resolved), firing, ended, at, repeat=group.options.repeat_interval,
                send_resolved=send_resolved,
            )  # fmt: skip
            if heard and reason is not None:
                group.told[send_resolved] = Entry(firing, ended, at)
                if firing or send_resolved:
                    reasons.add(reason)
        self.told += [Told(at, group.options.receiver_name, reason) for reason in sorted(reasons)[:1]]
        group.alerts = {name: alert for name, alert in group.alerts.items() if alert.state == State.FIRING}
        group.flush_at = at + timedelta(seconds=max(group.options.group_interval, 1.0))
        if not group.alerts:
            del self._groups[key]

    def _heard(self, group: _Group) -> list[Episode]:
        if not self._inhibiting:
            return list(group.alerts.values())
        sources = [Source(number, alert.labels, alert.severity) for number, alert in enumerate(self._firing.values())]
        inhibitor = Inhibitor(self._inhibiting, sources)
        return [alert for alert in group.alerts.values() if not inhibitor.by(alert.labels, alert.severity)]
