"""Who is told next, if an incident waits: the steps of its policy, and reminders of what was acknowledged.

What is due is an incident whose `escalate_at` has passed. Whoever moves that deadline, by a conditional UPDATE, writes
in the same transaction what is told: each step is taken once, and a worker that dies has taken none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from django.db import transaction
from django.db.models import Q
from msgspec.structs import replace

from alerts import deadlines, deliveries, messages, silences
from alerts.deadlines import Policy, Standing, Step
from alerts.events import Act, VerbError, move, who
from alerts.inhibition import Inhibitor
from alerts.models import Alert, Channel, Delivery, EscalationPolicy, EscalationStep, Incident, Receiver
from alerts.models.alerts import State
from alerts.models.deliveries import Reason
from alerts.models.incidents import Status, Verb, Via
from alerts.notifications import ALERTS_MAX
from core import clock
from services.durations import words

DUE_MAX: Final = 100  # incidents of one run
QUIET: Final = timedelta(seconds=60)  # until it is looked again at one of which nobody is to be told
SET_BACK: Final = timedelta(seconds=60)  # a time so far ahead is that of a clock which was wrong
TOLD: Final = (Reason.FIRING, Reason.REPEAT, Reason.ESCALATION, Reason.REMINDER)


# --- When ------------------------------------------------------------------------------------------------------------


def plan(incident: int) -> None:
    """Writes when it is due next, as it is now. Inside the transaction that changed it."""
    found = Incident.objects.get(pk=incident)
    plan_all([found])
    Incident.objects.filter(pk=incident).update(escalate_at=found.escalate_at)


def plan_all(incidents: Iterable[Incident]) -> None:
    """Sets `escalate_at`; saves nothing."""
    incidents = list(incidents)
    policies = load(incident.escalation_id for incident in incidents)
    for incident in incidents:
        incident.escalate_at = _due_at(incident, policies[incident.escalation_id])


def _due_at(incident: Incident, policy: Policy) -> int | None:
    """In µs."""
    if incident.status == Status.RESOLVED:
        return None
    at = deadlines.next_at(policy, standing_of(incident))
    return clock.micros(at) if at else None


def standing_of(incident: Incident) -> Standing:
    return Standing(incident.status == Status.ACKNOWLEDGED, incident.escalates_from, incident.step, incident.event_at)


def load(policies: Iterable[int | None]) -> Mapping[int | None, Policy]:
    """By their id; None is that of incidents without one."""
    wanted = {pk for pk in policies if pk is not None}
    steps: dict[int, list[Step]] = {}
    for each in EscalationStep.objects.filter(policy__in=wanted).order_by("policy", "after", "pk"):
        step = Step(each.after, each.until == EscalationStep.Until.RESOLVED, each.receiver_id)
        steps.setdefault(each.policy_id, []).append(step)
    found = EscalationPolicy.objects.filter(pk__in=wanted).values_list("pk", "remind_after")
    return {None: Policy(), **{pk: Policy(steps.get(pk, []), remind_after) for pk, remind_after in found}}


# --- What is due -----------------------------------------------------------------------------------------------------


def run_due(now: datetime) -> int:
    """Takes the steps, and sends the reminders, whose time has come. Their number."""
    if now.second % 30 == 0:
        _set_right(now)
    due = list(Incident.objects.filter(escalate_at__lte=clock.micros(now)).order_by("escalate_at", "pk")[:DUE_MAX])
    if not due:
        return 0
    policies = load(incident.escalation_id for incident in due)
    hush = _Hush(now)
    return sum(_run(incident, policies[incident.escalation_id], hush, now) for incident in due)


def _run(incident: Incident, policy: Policy, hush: _Hush, now: datetime) -> bool:
    standing = standing_of(incident)
    step_at, reminder_at = deadlines.step_at(policy, standing), deadlines.reminder_at(policy, standing)
    firing = list(incident.alerts.filter(state=State.FIRING))
    as_seen = Incident.objects.filter(pk=incident.pk, escalate_at=incident.escalate_at, status=incident.status)
    if not any(at and at <= now for at in (step_at, reminder_at)):
        # Something has happened since it was planned.
        as_seen.update(escalate_at=_due_at(incident, policy))
        return False
    if hush.keeps_quiet(firing):
        as_seen.update(escalate_at=clock.micros(now + QUIET))
        return False
    place = deadlines.next_step(policy, standing)
    if place is not None and step_at and step_at <= now:
        waits = "resolved" if policy.steps[place].until_resolved else "acknowledged"
        why = f"not {waits} for {words(now - incident.opened_at)}"
        return _take(incident, policy, place, firing, Act(None, Via.SYSTEM, now, why))
    return _remind(incident, policy, firing, now)


class _Hush:
    """What keeps alerts quiet now. Read when it is first asked for."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    @cached_property
    def _silences(self) -> Sequence[silences.Active]:
        return silences.active(self._now)

    @cached_property
    def _inhibitor(self) -> Inhibitor:
        return Inhibitor.load()

    def keeps_quiet(self, firing: Sequence[Alert]) -> bool:
        return bool(firing) and all(
            silences.by(self._silences, alert.labels) or self._inhibitor.by(alert.labels, alert.severity)
            for alert in firing
        )


def _take(incident: Incident, policy: Policy, place: int, firing: Sequence[Alert], act: Act) -> bool:
    """False if somebody else did, or it is not as it was."""
    step = policy.steps[place]
    receiver = Receiver.objects.get(pk=step.receiver)
    before = Q(status=incident.status, step=incident.step)
    incident.step = place + 1
    # The steps keep their distances, however late this one is: after a pause they don't come all at once.
    incident.escalates_from = act.at - timedelta(seconds=step.after)
    incident.event_at = act.at
    values = {
        "step": incident.step, "escalates_from": incident.escalates_from, "escalate_at": _due_at(incident, policy),
    }  # fmt: skip
    with transaction.atomic():
        told = f"{receiver}: {act.text}" if act.text else str(receiver)
        data = {"step": place, "receiver": receiver.name}
        if not move(incident, Verb.ESCALATE, replace(act, text=told), before, values, data):
            return False
        text = messages.of_incident(
            incident, firing, Reason.ESCALATION, receiver=receiver.name, text=_sentence(act), by=act.actor
        )
        channels = Channel.objects.filter(receiver=receiver)
        deliveries.enqueue(channels, text, incident=incident, reason=Reason.ESCALATION, now=act.at)
    return True


def _sentence(act: Act) -> str:
    if act.actor:
        return f"{act.actor} has escalated it{': ' if act.text else '.'}{act.text}"
    return f"It is {act.text}."


def _remind(incident: Incident, policy: Policy, firing: Sequence[Alert], now: datetime) -> bool:
    since = words(now - incident.event_at)
    by = who(incident, Verb.ACKNOWLEDGE)
    before = Q(status=Status.ACKNOWLEDGED, escalate_at=incident.escalate_at, event_at=incident.event_at)
    incident.event_at = now
    act = Act(None, Via.SYSTEM, now, f"nothing has happened for {since}")
    with transaction.atomic():
        if not move(incident, Verb.REMIND, act, before, {"escalate_at": _due_at(incident, policy)}):
            return False
        text = f"{by or 'Somebody'} has acknowledged it, and nothing has happened for {since}."
        for receiver, channels in _told(incident.pk, TOLD).items():
            said = messages.of_incident(incident, firing, Reason.REMINDER, receiver=receiver, text=text, by=by)
            deliveries.enqueue(channels, said, incident=incident, reason=Reason.REMINDER, now=now)
    return True


def _told(incident: int, reasons: Collection[str]) -> Mapping[str, Sequence[Channel]]:
    """Who was told of it: channels by the name of their receiver."""
    ids = Delivery.objects.filter(incident=incident, reason__in=reasons).order_by().values("channel")
    found: dict[str, list[Channel]] = {}
    for channel in Channel.objects.filter(pk__in=ids).select_related("receiver").order_by("pk"):
        found.setdefault(channel.receiver.name, []).append(channel)
    return found


def _set_right(now: datetime) -> None:
    """A clock that was set back: nobody shall wait until it has caught up."""
    ahead = Incident.objects.filter(escalate_at__isnull=False, escalates_from__gt=now + SET_BACK)
    for pk in list(ahead.values_list("pk", flat=True)[:DUE_MAX]):
        with transaction.atomic():
            if ahead.filter(pk=pk).update(escalates_from=now, event_at=now):
                plan(pk)


# --- Verbs -----------------------------------------------------------------------------------------------------------


def escalate(incident: Incident, act: Act) -> bool:
    """The next step, at once. False if it is resolved, or somebody was faster. Raises VerbError."""
    policy = load([incident.escalation_id])[incident.escalation_id]
    if incident.step >= len(policy.steps):
        raise VerbError(
            "Expected an escalation that has a step left: all were taken."
            if policy.steps
            else "Expected an incident with an escalation: neither its rule nor its route has one."
        )
    if incident.status == Status.RESOLVED:
        return False
    return _take(incident, policy, incident.step, list(incident.alerts.filter(state=State.FIRING)), act)


def tell_end(incidents: Collection[int], now: datetime, by: str = "", known: Collection[int] = ()) -> None:
    """Who was told because it waited learns that it is over; not the channels that know. Inside the transaction that
    ended it."""
    told = Delivery.objects.filter(incident__in=incidents, reason=Reason.ESCALATION).order_by()
    for incident in Incident.objects.filter(pk__in=told.values("incident")):
        alerts = list(incident.alerts.all()[:ALERTS_MAX])
        text = incident.resolution or "It is over."
        for receiver, channels in _told(incident.pk, [Reason.ESCALATION]).items():
            said = messages.of_incident(incident, alerts, Reason.RESOLVED, receiver=receiver, text=text, by=by)
            wanted = [channel for channel in channels if channel.send_resolved and channel.pk not in known]
            deliveries.enqueue(wanted, said, incident=incident, reason=Reason.RESOLVED, now=now)
