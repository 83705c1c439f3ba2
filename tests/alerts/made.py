"""Rules, alerts and incidents for tests, with what evaluation and the verbs would have written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from alerts.labels import fingerprint
from alerts.models import Alert, AlertRule, Channel, Delivery, Evidence, Incident, IncidentEvent, Receiver
from alerts.models.alerts import State
from alerts.models.deliveries import Outcome, Reason
from alerts.models.incidents import Status, Verb, Via
from alerts.severity import Severity


def rule(name: str = "WorkerDown", **fields: Any) -> AlertRule:
    # In bulk, for then nobody validates it or evaluates it.
    made = AlertRule(name=name, **{"kind": "service", "due_at": 1 << 60} | fields)
    return AlertRule.objects.bulk_create([made])[0]


def alert(
    of: AlertRule | None = None, state: str = State.FIRING, labels: dict[str, str] | None = None, **fields: Any
) -> Alert:
    at = fields.pop("active_at", timezone.now() - timedelta(minutes=2))
    severity = fields.setdefault("severity", of.severity if of else Severity.HIGH)
    known = {"alertname": of.name if of else "Alert", "severity": severity, **(labels or {})}
    times = {
        "active_at": at,
        "true_at": timezone.now(),
        "fired_at": None if state == State.PENDING else at,
        "resolved_at": timezone.now() if state == State.RESOLVED else None,
    }
    return Alert.objects.create(
        rule=of, state=state, labels=known, fingerprint=fingerprint(known), **times | {"value": 1.0} | fields
    )


def incident(title: str = "WorkerDown · worker", status: str = Status.OPEN, **fields: Any) -> Incident:
    """Two minutes old. Its key is its title, so that several with one title need all but one to be resolved."""
    at = fields.pop("opened_at", timezone.now() - timedelta(minutes=2))
    known: dict[str, Any] = {
        "key": title[:64],
        "severity": Severity.HIGH,
        "opened_at": at,
        "event_at": at,
        "escalates_from": at,
    }
    if status == Status.ACKNOWLEDGED:
        known["acknowledged_at"] = at + timedelta(minutes=1)
    if status == Status.RESOLVED:
        known["resolved_at"] = at + timedelta(minutes=2)
    return Incident.objects.create(title=title, status=status, **known | fields)


def event(of: Incident, verb: Verb, text: str = "", at: datetime | None = None, **fields: Any) -> IncidentEvent:
    known = {"at": at or timezone.now(), "via": Via.SYSTEM} | fields
    return IncidentEvent.objects.create(incident=of, verb=verb, text=text, **known)


def evidence(of: Incident, kind: Evidence.Kind, data: Any, note: str = "") -> Evidence:
    return Evidence.objects.create(incident=of, kind=kind, data=data, note=note, taken_at=of.opened_at)


def channel(name: str = "on-call", kind: str = "webhook", **fields: Any) -> Channel:
    receiver = Receiver.objects.get_or_create(name=name)[0]
    return Channel.objects.bulk_create([Channel(receiver=receiver, kind=kind, **fields)])[0]


def delivery(of: Incident | None = None, to: Channel | None = None, **fields: Any) -> Delivery:
    """Delivered at once, unless `fields` say otherwise."""
    now = timezone.now()
    known = {"reason": Reason.FIRING, "notification": {}, "created_at": now} | fields
    if known.setdefault("outcome", Outcome.DELIVERED) == Outcome.DELIVERED:
        known = {"finished_at": now, "took_ms": 310, "answer": "200 OK", "attempts": 1} | known
    return Delivery.objects.create(incident=of, channel=to or channel(), **known)
