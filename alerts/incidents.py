"""Incidents: what makes and ends them, and what people do with them.

Every verb is one conditional UPDATE and one event, in a transaction. It returns False if the incident was not as
expected: somebody was faster. `incident` is read anew, so that the caller sees who. Callers ask who may do what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.utils import timezone

from alerts import deliveries, escalation, live, relapse
from alerts.events import TEXT_MAX, Act, By, VerbError, event, move, who
from alerts.labels import ALERTNAME
from alerts.models import Alert, AlertRule, EscalationPolicy, Incident, IncidentEvent
from alerts.models.alerts import State
from alerts.models.deliveries import Reason
from alerts.models.incidents import Status, Verb, Via
from alerts.severity import Severity
from core import clock
from services.models import Service

__all__ = ["By", "VerbError", "who"]

NOT_RESOLVED: Final = ~Q(status=Status.RESOLVED)
RESOLUTION_MAX: Final = 1_000
STEPS_MAX: Final = 200  # of a runbook
ATTEMPTS: Final = 5
TOLD_MAX: Final = 20  # alerts that an event names
PLACES_MAX: Final = 3  # labels in a title


# --- From alerts -----------------------------------------------------------------------------------------------------


class Arrival(NamedTuple):
    """An alert that fires, and the incident that it belongs to."""

    alert: Alert
    key: str
    labels: Mapping[str, str]  # that the alerts of the incident have in common
    policy: EscalationPolicy | None = None  # of the route; the rule's own goes before
    within: timedelta = relapse.SHORTEST  # of its end an incident goes on


def attach(
    alert: Alert, key: str, labels: Mapping[str, str], now: datetime, policy: EscalationPolicy | None = None
) -> Incident:
    return attach_all([Arrival(alert, key, labels, policy)], now)[alert.pk]


def attach_all(arrivals: Iterable[Arrival], now: datetime) -> dict[int, Incident]:
    """Joins the open incident of the key, or the one that has just ended by itself, or opens one. By the alert's id.

    An alert stays in its incident, even if that was resolved by a person: an alert that fires anew is another alert.
    """
    arrivals = list(arrivals)
    found = {arrival.alert.pk: arrival.alert.incident for arrival in arrivals if arrival.alert.incident_id is not None}
    fresh: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        if arrival.alert.incident_id is None:
            fresh.setdefault(arrival.key, []).append(arrival)
    if fresh:
        with transaction.atomic():
            incidents, verbs = _open(fresh, now)
            _join(fresh, incidents, verbs, now)
            live.announce(incident.pk for incident in incidents.values())
    return {pk: incident for pk, incident in found.items() if incident} | {
        arrival.alert.pk: incidents[key] for key, several in fresh.items() for arrival in several
    }


def _open(fresh: Mapping[str, Sequence[Arrival]], now: datetime) -> tuple[dict[str, Incident], dict[str, Verb]]:
    """The incidents by their key, locked: none is resolved before its alerts have joined. And what became of those
    that were not open."""
    opened: set[str] = set()
    verbs: dict[str, Verb] = {}
    for _ in range(ATTEMPTS):
        locked = Incident.objects.filter(NOT_RESOLVED, key__in=fresh).select_for_update(no_key=True).order_by("key")
        found = {incident.key: incident for incident in locked}
        if missing := fresh.keys() - found.keys():
            again = relapse.go_on({key: max(each.within for each in fresh[key]) for key in missing}, now)
            found |= again
            verbs |= dict.fromkeys(again, Verb.REOPEN)
            missing -= again.keys()
        if not missing:
            # Another worker's have their events already: they were made in one transaction.
            told = IncidentEvent.objects.filter(incident__in=found.values()).values_list("incident", flat=True)
            known = set(told.order_by().distinct())
            return found, verbs | {key: Verb.OPEN for key in opened if found[key].pk not in known}
        opened |= missing
        made = _made(sorted(missing), fresh, now)
        Incident.objects.bulk_create(made, ignore_conflicts=True, batch_size=500)
    raise RuntimeError(f"Incidents were opened and resolved {ATTEMPTS} times while alerts were to join them.")


def _made(keys: Sequence[str], fresh: Mapping[str, Sequence[Arrival]], now: datetime) -> list[Incident]:
    alerts = [arrival.alert for key in keys for arrival in fresh[key]]
    policy_of: dict[int | None, int | None] = dict(
        AlertRule.objects.filter(pk__in={alert.rule_id for alert in alerts if alert.rule_id}).values_list(
            "pk", "escalation_id"
        )
    )
    names = {alert.labels.get("service", "") for alert in alerts}
    services = dict(Service.objects.filter(name__in=names).values_list("name", "pk"))
    made = []
    for key in keys:
        several = fresh[key]
        first = several[0]
        chosen = [policy_of.get(each.alert.rule_id) or (each.policy and each.policy.pk) for each in several]
        known = [services[name] for each in several if (name := each.alert.labels.get("service", "")) in services]
        made.append(
            Incident(
                key=key,
                title=title_of(first.labels, first.alert.labels),
                summary=_sentence(first.alert)[:1_000],
                labels=dict(first.labels),
                severity=_worst(each.alert.severity for each in several),
                rule_id=first.alert.rule_id,
                service_id=known[0] if known else None,
                opened_at=now,
                event_at=now,
                escalation_id=next((pk for pk in chosen if pk), None),
                escalates_from=now,
                evidence_at=clock.micros(now),
            )
        )
    escalation.plan_all(made)
    return made


def _join(
    fresh: Mapping[str, Sequence[Arrival]],
    incidents: Mapping[str, Incident],
    verbs: Mapping[str, Verb],
    now: datetime,
) -> None:
    joined, events = [], []
    for key, several in fresh.items():
        incident = incidents[key]
        for arrival in several:
            arrival.alert.incident = incident
        incident.severity = _worst([incident.severity, *(each.alert.severity for each in several)])
        incident.event_at = now
        verb = verbs.get(key, Verb.ALERT)
        alerts = [each.alert for each in several]
        told = {"alerts": [alert.pk for alert in alerts[:TOLD_MAX]], "count": len(alerts)}
        events.append(event(incident.pk, verb, Act(None, Via.SYSTEM, now, _words(alerts)), told))
        if verb != Verb.OPEN:
            joined.append(incident)
    for key, several in fresh.items():
        Alert.objects.filter(pk__in=[each.alert.pk for each in several]).update(incident=incidents[key])
    Incident.objects.bulk_update(joined, ["severity", "event_at"], 500)
    IncidentEvent.objects.bulk_create(events, batch_size=500)


def title_of(common: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """ "WorkerDown · worker": the name of the alert, and where."""
    name = common.get(ALERTNAME) or labels.get(ALERTNAME) or "alert"
    others = {label: text for label, text in common.items() if text and label not in (ALERTNAME, "severity", "service")}
    places = [text for text in [common.get("service", ""), *others.values()] if text]
    return " · ".join([name, *places[:PLACES_MAX]]).replace("\0", "")[:300]


def _sentence(alert: Alert) -> str:
    return str(alert.annotations.get("summary") or alert.annotations.get("description") or "")


def _words(alerts: Sequence[Alert]) -> str:
    first = _sentence(alerts[0]) or title_of(alerts[0].labels, {})
    return first if len(alerts) == 1 else f"{len(alerts)} alerts, the first: {first}"


def _worst(severities: Iterable[str]) -> str:
    return min(map(Severity, severities), key=lambda severity: severity.rank).value


def ended(incidents: Iterable[int], now: datetime) -> list[int]:
    """Of these incidents alerts have ended. Resolves those of which none fires any more, and says which."""
    over: list[int] = []
    events: list[IncidentEvent] = []
    with transaction.atomic():
        # Locked before the alerts are counted: another worker may just be adding one.
        found = Incident.objects.filter(NOT_RESOLVED, pk__in=set(incidents)).order_by("key")
        locked = list(found.select_for_update(no_key=True).values_list("pk", flat=True))
        alerts = Alert.objects.filter(incident__in=locked, state=State.FIRING).order_by()
        firing = dict(alerts.values_list("incident").annotate(Count("pk")))
        for pk in locked:
            verb, text = (Verb.ALERT, _still(firing[pk])) if pk in firing else (Verb.RESOLVE, "all alerts have ended")
            events.append(event(pk, verb, Act(None, Via.SYSTEM, now, text), {"firing": firing.get(pk, 0)}))
        over = [pk for pk in locked if pk not in firing]
        Incident.objects.filter(pk__in=over).update(
            status=Status.RESOLVED, resolved_at=now, event_at=now, escalate_at=None
        )
        Incident.objects.filter(pk__in=firing).update(event_at=now)
        IncidentEvent.objects.bulk_create(events, batch_size=500)
        escalation.tell_end(over, now)
        live.announce(locked)
    return over


def _still(firing: int) -> str:
    return f"an alert has ended, {firing} still {'fires' if firing == 1 else 'fire'}"


# --- By people -------------------------------------------------------------------------------------------------------


def acknowledge(incident: Incident, *, by: By, via: Via, now: datetime | None = None, text: str = "") -> bool:
    """Somebody sees to it. Repeats stop; a reminder comes if nothing happens for long."""
    act = _act(by, via, now, text)
    values = {"status": Status.ACKNOWLEDGED, "acknowledged_at": act.at, "acknowledged_by": act.user}
    with transaction.atomic():
        moved = _change(incident, Verb.ACKNOWLEDGE, act, Q(status=Status.OPEN), values)
        if moved:
            deliveries.mirror(incident, Reason.ACKNOWLEDGED, by=act.actor, now=act.at)
    return moved


def unacknowledge(incident: Incident, *, by: By, via: Via, now: datetime | None = None, text: str = "") -> bool:
    """Nobody sees to it after all. The steps of its escalation that are left count from now."""
    act = _act(by, via, now, text)
    values = {
        "status": Status.OPEN, "acknowledged_at": None, "acknowledged_by": None, "escalates_from": act.at,
    }  # fmt: skip
    return _change(incident, Verb.UNACKNOWLEDGE, act, Q(status=Status.ACKNOWLEDGED), values)


def assign(incident: Incident, *, to: AbstractBaseUser | None, by: By, via: Via, now: datetime | None = None) -> bool:
    """To a person, or to nobody. False if it was so already, or is resolved."""
    whom = to.get_username() if to else ""
    act = _act(by, via, now, f"to {whom}" if to else "to nobody")
    changed = ~Q(assignee=to) if to else Q(assignee__isnull=False)
    data = {"to": to and to.pk, "name": whom}
    return _change(incident, Verb.ASSIGN, act, NOT_RESOLVED & changed, {"assignee": to}, data)


def comment(incident: Incident, *, text: str, by: By, via: Via, now: datetime | None = None) -> bool:
    """Also of a resolved one. Raises VerbError."""
    if not text.strip():
        raise VerbError("Expected some words.")
    return _change(incident, Verb.COMMENT, _act(by, via, now, text), Q())


def tick(
    incident: Incident, *, step: int, done: bool, by: By, via: Via, now: datetime | None = None, text: str = ""
) -> bool:
    """A step of the runbook, by its number from 0; `text` says which. False if it was so already. Raises VerbError."""
    if not 0 <= step < STEPS_MAX:
        raise VerbError(f"Expected a step from 0 to {STEPS_MAX - 1}, got {step}.")
    act = _act(by, via, now, text)
    with transaction.atomic():
        # Others may tick another step of the same list.
        ticks = set(Incident.objects.select_for_update(no_key=True).values_list("ticks", flat=True).get(pk=incident.pk))
        fresh = ticks | {step} if done else ticks - {step}
        moved = fresh != ticks and move(
            incident, Verb.TICK, act, Q(), {"ticks": sorted(fresh)}, {"step": step, "done": done}
        )
    incident.refresh_from_db()
    return moved


def resolve(incident: Incident, *, by: By, via: Via, now: datetime | None = None, text: str = "") -> bool:
    """It is over, and `text` says how. It stays so until an alert fires anew: that opens another one."""
    if len(text) > RESOLUTION_MAX:
        raise VerbError(f"Expected at most {RESOLUTION_MAX:,} characters, got {len(text):,}.")
    act = _act(by, via, now, text)
    values = {
        "status": Status.RESOLVED, "resolved_at": act.at, "resolved_by": act.user, "resolution": act.text,
        "escalate_at": None,
    }  # fmt: skip
    with transaction.atomic():
        moved = _change(incident, Verb.RESOLVE, act, NOT_RESOLVED, values)
        if moved:
            mirrored = deliveries.mirror(incident, Reason.RESOLVED, by=act.actor, now=act.at)
            known = {delivery.channel_id for delivery in mirrored}
            escalation.tell_end([incident.pk], act.at, act.actor, known)
    return moved


def escalate(incident: Incident, *, by: By, via: Via, now: datetime | None = None, text: str = "") -> bool:
    """Those of its escalation's next step are told at once. Raises VerbError if there is none."""
    moved = escalation.escalate(incident, _act(by, via, now, text))
    incident.refresh_from_db()
    return moved


def reopen(incident: Incident, *, by: By, via: Via, now: datetime | None = None, text: str = "") -> bool:
    """It was not over. Its escalation begins anew. Raises VerbError if there is another one for these alerts by now."""
    act = _act(by, via, now, text)
    values = {
        "status": Status.OPEN, "acknowledged_at": None, "acknowledged_by": None, "resolved_at": None,
        "resolved_by": None, "resolution": "", "step": 0, "escalates_from": act.at,
    }  # fmt: skip
    try:
        return _change(incident, Verb.REOPEN, act, Q(status=Status.RESOLVED), values)
    except IntegrityError:
        twin = Incident.objects.filter(NOT_RESOLVED, key=incident.key).first()
        raise VerbError(
            f"Expected no other incident for the same alerts, but {f'{twin.pk} is' if twin else 'one was'} open."
        ) from None


def _act(by: By, via: Via, now: datetime | None, text: str) -> Act:
    text = text.strip().replace("\0", "")
    if len(text) > TEXT_MAX:
        raise VerbError(f"Expected at most {TEXT_MAX:,} characters, got {len(text):,}.")
    return Act(by, via, now or timezone.now(), text)


def _change(
    incident: Incident, verb: Verb, act: Act, when: Q, values: Mapping[str, Any] = {}, data: Mapping[str, Any] = {}
) -> bool:
    with transaction.atomic():
        moved = move(incident, verb, act, when, values, data)
        if moved and values.get("status"):
            escalation.plan(incident.pk)
    incident.refresh_from_db()
    return moved
