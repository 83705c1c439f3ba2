"""When a group of alerts is told, as Alertmanager decides it: from what a channel was told last. Pure.

A group is looked at once `group_wait` after its first alert came, and then every `group_interval`. Each time every
channel is asked: does it know what is so now?

https://github.com/prometheus/alertmanager/blob/v0.25.0/notify/notify.go (DedupStage)
"""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime, timedelta

import msgspec

from alerts.models.deliveries import Reason


class Entry(msgspec.Struct, frozen=True):
    """What a channel was told last of a group: fingerprints, and when."""

    firing: frozenset[str]
    resolved: frozenset[str]
    at: datetime


def reason_to_tell(
    last: Entry | None,
    firing: Set[str],
    resolved: Set[str],
    now: datetime,
    *,
    repeat: float,
    send_resolved: bool = True,
) -> Reason | None:
    """Why a channel is told now of these alerts, those that are kept quiet left out; None if it isn't.

    A channel without `send_resolved` may get a reason RESOLVED: then it is told nothing, but the entry is written.
    """
    if last is None:
        return Reason.FIRING if firing else None
    if not firing <= last.firing:
        return Reason.FIRING
    if not firing:
        # Alerts that came and went between two looks were never told, so neither is their end.
        return Reason.RESOLVED if last.firing else None
    if send_resolved and not resolved <= last.resolved:
        return Reason.RESOLVED
    return Reason.REPEAT if now - last.at >= timedelta(seconds=repeat) else None


def first_look(arrived: int, started: int, group_wait: int) -> int:
    """When a group is looked at that was never looked at before, all in µs.

    An alert that began longer ago than `group_wait` waits no more.
    """
    return arrived if started + group_wait < arrived else arrived + group_wait
