"""Routes, receivers, inhibit rules and mute times as an `alertmanager.yml` that `amtool check-config` accepts.

Secrets never leave: `<secret>` stands for each. What has no counterpart is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from alerts import durations
from alerts.alertmanager import channels, config
from alerts.alertmanager.config import Config, Inhibition, TimeInterval
from alerts.models import InhibitRule, MuteTime, Receiver, Route
from alerts.routing import GROUP_BY, GROUP_INTERVAL, GROUP_WAIT, REPEAT_INTERVAL

NOBODY: Final = "nobody"  # without a route there is no receiver, and Alertmanager wants one


class Export(msgspec.Struct, frozen=True):
    text: str
    left_out: list[str]  # sentences


def export() -> Export:
    left_out: list[str] = []
    found = Config(
        route=_exported(tree(), left_out),
        receivers=[_receiver(row, left_out) for row in Receiver.objects.prefetch_related("channels")],
        inhibit_rules=list(_inhibitions(left_out)),
        time_intervals=[TimeInterval(row.name, row.intervals) for row in MuteTime.objects.all()],
    )
    assert found.route is not None
    if found.route.receiver == NOBODY:
        found.receivers.append({"name": NOBODY})
    if any("email_configs" in each for each in found.receivers):
        found.global_ = {**channels.mail_settings()}
    if Route.objects.exclude(escalation=None).exists():
        left_out.append("Escalation policies have no counterpart in Alertmanager.")
    head = "".join(f"# {line}\n" for line in ["Written by Pharos. Secrets are not in it.", *left_out])
    return Export(head + config.write(found), left_out)


def tree() -> config.Route:
    """As the rows have it; the root with all that is said nowhere."""
    rows = Route.objects.select_related("receiver").prefetch_related("mute_times", "active_times")
    made: dict[int, config.Route] = {}
    root = None
    parents = []
    for row in rows:
        made[row.pk] = _route(row)
        if row.parent_id is None:
            root = made[row.pk]
        else:
            parents.append((row.parent_id, row.pk))
    for parent, child in parents:
        made[parent].routes.append(made[child])
    return root or config.Route(receiver=NOBODY)


def _exported(root: config.Route, left_out: list[str]) -> config.Route:
    """As Alertmanager wants it: the root takes all alerts at all times, and says all that others may leave out."""
    if root.mute_time_intervals or root.active_time_intervals:
        left_out.append("The quiet times of the first route: Alertmanager has them at its children only.")
    root.matchers, root.continues, root.mute_time_intervals, root.active_time_intervals = [], False, [], []
    root.receiver = root.receiver or NOBODY
    root.group_by = list(GROUP_BY) if root.group_by is None else root.group_by
    root.group_wait = root.group_wait or durations.write(GROUP_WAIT)
    root.group_interval = root.group_interval or durations.write(GROUP_INTERVAL)
    root.repeat_interval = root.repeat_interval or durations.write(REPEAT_INTERVAL)
    for route in config.walk(root):
        for field in ("group_interval", "repeat_interval"):
            if getattr(route, field) == "0s":  # it refuses that
                setattr(route, field, "1ms")
    return root


def _route(row: Route) -> config.Route:
    return config.Route(
        receiver=row.receiver.name if row.receiver else "",
        matchers=row.matchers,
        group_by=row.group_by,
        continues=row.continues,
        group_wait=_duration(row.group_wait),
        group_interval=_duration(row.group_interval),
        repeat_interval=_duration(row.repeat_interval),
        mute_time_intervals=[each.name for each in row.mute_times.all()],
        active_time_intervals=[each.name for each in row.active_times.all()],
    )


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else durations.write(seconds)


def _receiver(row: Receiver, left_out: list[str]) -> dict[str, object]:
    found: dict[str, list[dict[str, object]]] = {}
    for channel in row.channels.all():
        written = channels.write(channel)
        if written is None:
            left_out.append(f"The channel {channel} has no counterpart in Alertmanager.")
        else:
            found.setdefault(written[0], []).append(written[1])
    return {"name": row.name, **found}


def _inhibitions(left_out: list[str]) -> Iterable[Inhibition]:
    for row in InhibitRule.objects.filter(enabled=True):
        if config.EACH_ALONE in row.equal or row.from_parents:
            left_out.append(f"The inhibit rule {row} has no counterpart in Alertmanager.")
            continue
        yield Inhibition(source_matchers=row.source_matchers, target_matchers=row.target_matchers, equal=row.equal)
