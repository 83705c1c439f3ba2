"""Alerts that go through the routes in virtual time, and what is told of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from alerts import dispatch
from alerts.labels import fingerprint
from alerts.models import Alert, Channel, Delivery, EscalationPolicy, Group, Receiver, Route
from alerts.models.alerts import State
from core import clock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday


def second(number: float) -> datetime:
    return NOON + timedelta(seconds=number)


class Told(NamedTuple):
    """A delivery, in short."""

    at: float  # seconds after noon
    receiver: str
    firing: tuple[str, ...]  # the label `name` of the alerts, or `alertname`
    resolved: tuple[str, ...] = ()


def no_routes() -> None:
    """Takes away those that Pharos begins with."""
    Route.objects.all().delete()
    EscalationPolicy.objects.all().delete()
    Receiver.objects.all().delete()


def receiver(name: str, **fields: Any) -> Receiver:
    """One with a channel."""
    made, new = Receiver.objects.get_or_create(name=name)
    if new:
        Channel.objects.create(receiver=made, kind="webhook", options={"url": "http://127.0.0.1:9/"}, **fields)
    return made


def route(parent: Route | None, to: str | None = None, *matchers: str, **fields: Any) -> Route:
    """With a channel for its receiver."""
    order = parent.routes.count() if parent else 0
    to_receiver = receiver(to) if to else None
    return Route.objects.create(parent=parent, order=order, matchers=list(matchers), receiver=to_receiver, **fields)


def root(to: str = "all", **fields: Any) -> Route:
    given = {"group_by": ["alertname"], "group_wait": 10, "group_interval": 60, "repeat_interval": 1_000}
    return route(None, to, **{**given, **fields})


def alert(at: float = 0, severity: str = "high", **labels: str) -> Alert:
    """One that has begun to fire, not taken yet."""
    labels = {"alertname": "Down", "severity": severity, **labels}
    moment = second(at)
    return Alert.objects.create(
        fingerprint=fingerprint(labels), labels=labels, severity=severity if severity in SEVERITIES else "high",
        state=State.FIRING, active_at=moment, fired_at=moment, true_at=moment, annotations={"summary": "It is down."},
    )  # fmt: skip


SEVERITIES = {"critical", "high", "medium", "low", "info"}


def fires(at: float = 0, severity: str = "high", **labels: str) -> Alert:
    made = alert(at, severity, **labels)
    dispatch.take([made], second(at))
    return made


def ends(one: Alert, at: float) -> None:
    one.state, one.resolved_at = State.RESOLVED, second(at)
    one.save()
    dispatch.take([one], second(at))


def run(until: float) -> None:
    """Looks at the groups at their times, up to `until` seconds after noon, that one included."""
    end = clock.micros(second(until))
    while True:
        due = Group.objects.filter(flush_at__lte=end).order_by("flush_at").values_list("flush_at", flat=True).first()
        if due is None:
            return
        dispatch.flush(clock.moment(due))


def told(since: float = -1) -> list[Told]:
    """In order, those after `since`."""
    found = []
    rows = Delivery.objects.filter(created_at__gt=second(since)).select_related("channel__receiver").order_by("pk")
    for row in rows:
        names = [
            (each["labels"].get("name") or each["labels"]["alertname"], each["firing"])
            for each in row.notification["alerts"]
        ]
        found.append(
            Told(
                (row.created_at - NOON).total_seconds(),
                row.channel.receiver.name,
                tuple(sorted(name for name, firing in names if firing)),
                tuple(sorted(name for name, firing in names if not firing)),
            )
        )
    return found
