"""Why somebody was told of an alert, or was not: rule → inhibited → silenced → and for each way that it takes: route →
muted → group → deliveries. All of it as it is now, but for the deliveries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
from django.db.models import Q, QuerySet

from alerts import dispatch, silences
from alerts.inhibition import Inhibitor
from alerts.models import Alert, Channel, Delivery, Group
from alerts.models.alerts import State
from alerts.models.deliveries import Outcome
from alerts.models.incidents import Status
from alerts.routing import Match
from core import clock
from services.durations import words

DELIVERIES_MAX: Final = 20  # of one way
LOOKED_AT_MAX: Final = 100  # deliveries of a group: not all of them are of this alert

Sentence: TypeAlias = Sequence[str | datetime]  # in pieces: only the page knows the zone of its reader


class Stage(StrEnum):
    RULE = "rule"
    INHIBITED = "inhibited"
    SILENCED = "silenced"
    ROUTE = "route"
    MUTED = "muted"
    GROUP = "group"
    DELIVERY = "delivery"


class Step(msgspec.Struct, frozen=True):
    stage: Stage
    ok: bool  # False: here it stops
    text: Sentence
    receiver: str = ""  # of the way that it belongs to
    # What it is about, for links.
    rule: int | None = None
    alert: int | None = None
    silence: str | None = None
    route: int | None = None
    delivery: int | None = None


class Explanation(msgspec.Struct, frozen=True):
    steps: Sequence[Step]

    @property
    def told(self) -> bool:
        """Whether somebody was."""
        return any(step.stage == Stage.DELIVERY and step.delivery and step.ok for step in self.steps)

    @property
    def stopped(self) -> Step | None:
        """The first step that keeps it from everybody."""
        return next((step for step in self.steps if not step.ok and not step.receiver), None)


def explain(alert: Alert, now: datetime) -> Explanation:
    steps = [_rule(alert, now), _inhibited(alert), _silenced(alert, now)]
    matches = dispatch.matches_of([alert])[0]
    if not matches:
        steps.append(Step(Stage.ROUTE, False, ["There are no routes: nobody is told of anything."]))
    for match in matches:
        steps += _way(alert, match, now)
    return Explanation(steps)


def _rule(alert: Alert, now: datetime) -> Step:
    whose = f"The rule {alert.rule}" if alert.rule else "Somebody else"
    found = f"{whose} finds it true since "
    if alert.state == State.PENDING:
        wait = alert.rule.pending_for if alert.rule else 0.0
        left = wait - (now - alert.active_at).total_seconds()
        text: list[str | datetime] = [found, alert.active_at, f": it fires in {words(left)}, if it is true until then."]
        return Step(Stage.RULE, False, text, rule=alert.rule_id)
    if alert.state == State.RESOLVED and alert.resolved_at:
        text = [f"{whose} found it true from ", alert.active_at, " to ", alert.resolved_at, "."]
        return Step(Stage.RULE, True, text, rule=alert.rule_id)
    return Step(Stage.RULE, True, [found, alert.active_at, ": it fires."], rule=alert.rule_id)


def _inhibited(alert: Alert) -> Step:
    found = Inhibitor.load().by(alert.labels, alert.severity)
    if found is None:
        return Step(Stage.INHIBITED, True, ["No other alert keeps it quiet."])
    name = found.source.labels.get("alertname", "An alert")
    text = f"{name} ({found.source.severity}) keeps it quiet while it fires, by “{found.rule}”."
    return Step(Stage.INHIBITED, False, [text], alert=found.source.id)


def _silenced(alert: Alert, now: datetime) -> Step:
    found = silences.by(silences.active(now), alert.labels)
    if not found:
        return Step(Stage.SILENCED, True, ["No silence hits it."])
    longest = found[0]
    by, why = f"A silence of {longest.created_by} keeps it quiet until ", f": {longest.comment}"
    return Step(Stage.SILENCED, False, [by, longest.ends_at, why], silence=str(longest.pk))


# --- A way -----------------------------------------------------------------------------------------------------------


def _way(alert: Alert, match: Match, now: datetime) -> Iterator[Step]:
    options, name = match.options, match.options.receiver_name
    channels = list(Channel.objects.filter(receiver=options.receiver, enabled=True)) if options.receiver else []
    group = Group.objects.filter(key=match.group_key).first()
    if not name:
        text, ok = f"The route “{match.name}” has no receiver.", False
    else:
        by = f"The route “{match.name}”" if match.route else "Its rule"
        text, ok = f"{by} tells {name}" + ("." if channels else ", which has no channel."), bool(channels)
    yield Step(Stage.ROUTE, ok, [text], name, route=match.route)
    if why := options.muted(now):
        yield Step(Stage.MUTED, False, [f"Nobody is told now: {why}."], name, route=match.route)
    if ok:
        yield _group(alert, match, group, now)
    yield from _deliveries(alert, name, group)


def _group(alert: Alert, match: Match, group: Group | None, now: datetime) -> Step:
    same = ", ".join(f"{label} {text}" for label, text in sorted(match.labels.items()))
    what = f"It is told together with others of {same}" if same else "It is told together with all others"
    if group is None or group.flush_at is None:
        when = "nothing of them is left to tell"
    else:
        left = (group.flush_at - clock.micros(now)) / clock.SECOND
        when = f"the next look at them is {f'in {words(left)}' if left > 0 else 'now'}"
    if alert.state == State.FIRING and alert.incident and alert.incident.status != Status.OPEN:
        when += f"; its incident is {alert.incident.get_status_display()}, so nothing is repeated"
    return Step(Stage.GROUP, True, [f"{what}; {when}."], match.options.receiver_name, route=match.route)


def _deliveries(alert: Alert, receiver: str, group: Group | None) -> Iterator[Step]:
    """The newest first."""
    shown = 0
    for delivery in _candidates(alert, receiver, group)[:LOOKED_AT_MAX]:
        if shown < DELIVERIES_MAX and any(
            each["fingerprint"] == alert.fingerprint for each in delivery.notification.get("alerts", ())
        ):
            shown += 1
            yield _delivery(delivery, receiver)
    if receiver and not shown:
        yield Step(Stage.DELIVERY, True, [f"{receiver} has not been told."], receiver)


def _candidates(alert: Alert, receiver: str, group: Group | None) -> QuerySet[Delivery]:
    mine = Q(group=group) if group else Q(pk=None)
    if alert.incident_id:
        mine |= Q(incident=alert.incident_id)
    rows = Delivery.objects.filter(mine, channel__receiver__name=receiver, created_at__gte=alert.active_at)
    return rows.select_related("channel").order_by("-created_at", "-pk")


def _delivery(delivery: Delivery, receiver: str) -> Step:
    answer = f": {delivery.answer}" if delivery.answer else ""
    said = f", {delivery.channel.kind}, {delivery.get_reason_display()}: {delivery.get_outcome_display()}{answer}."
    return Step(
        Stage.DELIVERY, delivery.outcome != Outcome.FAILED, [delivery.created_at, said], receiver, delivery=delivery.pk
    )
