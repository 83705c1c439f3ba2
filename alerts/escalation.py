"""Who is told next, if an incident waits: the steps of its policy, and reminders of what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alerts import deadlines
from alerts.deadlines import Policy, Standing, Step
from alerts.models import EscalationPolicy, EscalationStep, Incident
from alerts.models.incidents import Status
from core import clock


def plan(incident: int) -> None:
    """Writes when it is due next, as it is now. Inside the transaction that changed it."""
    found = Incident.objects.get(pk=incident)
    plan_all([found])
    Incident.objects.filter(pk=incident).update(escalate_at=found.escalate_at)


def plan_all(incidents: Iterable[Incident]) -> None:
    """Sets `escalate_at`; saves nothing."""
    incidents = list(incidents)
    policies = load({incident.escalation_id for incident in incidents if incident.escalation_id})
    for incident in incidents:
        incident.escalate_at = due_at(incident, policies.get(incident.escalation_id or 0, Policy()))


def due_at(incident: Incident, policy: Policy) -> int | None:
    """In µs."""
    if incident.status == Status.RESOLVED:
        return None
    at = deadlines.next_at(policy, standing_of(incident))
    return clock.micros(at) if at else None


def standing_of(incident: Incident) -> Standing:
    return Standing(incident.status == Status.ACKNOWLEDGED, incident.escalates_from, incident.step, incident.event_at)


def load(policies: Iterable[int]) -> Mapping[int, Policy]:
    """By their id."""
    wanted = set(policies)
    if not wanted:
        return {}
    steps: dict[int, list[Step]] = {}
    for each in EscalationStep.objects.filter(policy__in=wanted).order_by("policy", "after", "pk"):
        step = Step(each.after, each.until == EscalationStep.Until.RESOLVED, each.receiver_id)
        steps.setdefault(each.policy_id, []).append(step)
    found = EscalationPolicy.objects.filter(pk__in=wanted).values_list("pk", "remind_after")
    return {pk: Policy(steps.get(pk, []), remind_after) for pk, remind_after in found}
