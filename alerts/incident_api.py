"""Incidents over HTTP: the list, one with its history, its evidence, how long they took; and what people do with them.

Reading needs a session with the right to see incidents, or a key with the scope "read"; the verbs a key with "admin".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict

from accounts import api
from accounts.api import json_response
from alerts import incidents as verbs
from alerts import mtt, similar, visible
from alerts.events import VerbError
from alerts.evidence.lines import records
from alerts.models import Alert, Delivery, Evidence, Incident, IncidentEvent
from alerts.models.incidents import Status, Verb, Via
from alerts.mtt import Noise, Times
from alerts.severity import Severity
from core import clock
from core.parameters import ParameterError, choices, moment, number
from logs.api import READ as READ_LINES

READ: Final = "alerts.view_incident"
LIMIT_MAX: Final = 1_000
EVENTS_MAX: Final = 1_000
ROWS_MAX: Final = 100  # alerts and deliveries of one
SIMILAR_MAX: Final = 5
PERIOD: Final = 30 * clock.DAY  # of figures, without "from"
BODY_MAX: Final = 64 << 10

for_readers = api.for_readers(READ, "see incidents")


@for_readers
def incidents(request: HttpRequest) -> HttpResponse:
    """Newest first."""
    limit = number(request.GET, "limit", default=100, low=1, high=LIMIT_MAX)
    after = number(request.GET, "after", default=0, low=0, high=1 << 59)
    found = _whole(_filtered(request.GET)).order_by("-pk")
    if after:
        found = found.filter(pk__lt=after)
    page = list(found[: limit + 1])
    more = len(page) > limit
    page = page[:limit]
    return json_response({"incidents": [_brief(each) for each in page], "next": str(page[-1].pk) if more else None})


def _filtered(params: QueryDict) -> QuerySet[Incident]:
    """Raises ParameterError."""
    found = visible.incidents(Incident.objects.all())
    if statuses := choices(params, "status", Status.values):
        found = found.filter(status__in=statuses)
    if severities := choices(params, "severity", Severity.values):
        found = found.filter(severity__in=severities)
    for field, lookup in (("service", "service__name"), ("rule", "rule__name"), ("assignee", "assignee__username")):
        if value := params.get(field, "").strip():
            found = found.filter(**{lookup: value})
    if text := params.get("q", "").strip():
        found = found.filter(title__icontains=text) | found.filter(summary__icontains=text)
    now = clock.now()
    start, end = moment(params, "from", default=0, now=now), moment(params, "to", default=0, now=now)
    if start:
        found = found.filter(opened_at__gte=clock.moment(start))
    return found.filter(opened_at__lt=clock.moment(end)) if end else found


def _whole(found: QuerySet[Incident]) -> QuerySet[Incident]:
    return found.select_related("rule", "service", "assignee", "acknowledged_by", "resolved_by")


@for_readers
def incident(request: HttpRequest, pk: int) -> HttpResponse:
    found = _whole(visible.incidents(Incident.objects.filter(pk=pk))).first()
    if found is None:
        return not_found(pk)
    deliveries = found.deliveries.select_related("channel__receiver").order_by("-created_at", "-pk")
    return json_response(
        {
            **_brief(found),
            "alerts": [_alert(visible.alert_without_hidden(each)) for each in found.alerts.all()[:ROWS_MAX]],
            "events": [_event(visible.event_without_hidden(each)) for each in found.events.all()[:EVENTS_MAX]],
            "deliveries": [_delivery(each) for each in deliveries[:ROWS_MAX]],
            "similar": [_ended(each) for each in visible.incidents(similar.before(found))[:SIMILAR_MAX]],
        }
    )


def not_found(pk: int) -> HttpResponse:
    return json_response({"error": f"there is no incident {pk}; GET /api/incidents lists them"}, 404)


@for_readers
def evidence(request: HttpRequest, pk: int) -> HttpResponse:
    """It has log lines: a session needs the right to read them, too."""
    if answer := api.refusal(request, request.user, READ_LINES, "read logs"):
        return answer
    if not visible.incidents(Incident.objects.filter(pk=pk)).exists():
        return not_found(pk)
    found = map(visible.evidence, Evidence.objects.filter(incident=pk).order_by("kind"))
    return json_response({"evidence": [_taken(each) for each in found]})


def _taken(found: Evidence) -> dict[str, Any]:
    data = dict(found.data)
    if "lines" in data:
        data["lines"] = [record.as_json() for record in records(data["lines"])]
    return {"kind": found.kind, "taken": _time(found.taken_at), "note": found.note, "data": data}


@for_readers
def times(request: HttpRequest) -> HttpResponse:
    """MTTA and MTTR, and the noisiest rules."""
    now = clock.now()
    end = moment(request.GET, "to", default=now, now=now)
    start = moment(request.GET, "from", default=max(end - PERIOD, 0), now=now)
    if start >= end:
        raise ParameterError("from", f"must be before to, but {clock.iso(start)} is not before {clock.iso(end)}")
    since, until = clock.moment(start), clock.moment(end)
    return json_response(
        {
            "from": clock.iso(start),
            "to": clock.iso(end),
            "all": _times(mtt.of_all(since, until)),
            "rules": [_times(each) for each in mtt.by_rule(since, until)],
            "services": [_times(each) for each in mtt.by_service(since, until)],
            "noisiest": [_noise(each) for each in mtt.noisiest(since, until)],
        }
    )


def _times(found: Times) -> dict[str, Any]:
    return {
        "name": found.name,
        "id": found.id,
        "incidents": found.incidents,
        "acknowledged": found.acknowledged,
        "resolved": found.resolved,
        "mtta_seconds": _seconds(found.mtta),
        "mttr_seconds": _seconds(found.mttr),
    }


def _noise(found: Noise) -> dict[str, Any]:
    return msgspec.structs.asdict(found)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 3)


def _brief(found: Incident) -> dict[str, Any]:
    found = visible.without_hidden(found)
    return {
        "id": found.pk,
        "title": found.title,
        "summary": found.summary,
        "severity": found.severity,
        "status": found.status,
        "labels": found.labels,
        "rule": found.rule and found.rule.name,
        "service": found.service and found.service.name,
        "opened": _time(found.opened_at),
        "acknowledged": _time(found.acknowledged_at),
        "acknowledged_by": _name(found.acknowledged_by),
        "assignee": _name(found.assignee),
        "resolved": _time(found.resolved_at),
        "resolved_by": _name(found.resolved_by),
        "resolution": found.resolution,
        "escalates": clock.iso(found.escalate_at) if found.escalate_at else None,
    }


def _alert(found: Alert) -> dict[str, Any]:
    return {
        "fingerprint": found.fingerprint,
        "state": found.state,
        "severity": found.severity,
        "labels": found.labels,
        "annotations": found.annotations,
        "value": found.value,
        "since": _time(found.active_at),
        "ended": _time(found.resolved_at),
    }


def _event(found: IncidentEvent) -> dict[str, Any]:
    return {
        "time": _time(found.at),
        "verb": found.verb,
        "by": found.actor,
        "via": found.via,
        "text": found.text,
        "data": found.data,
    }


def _delivery(found: Delivery) -> dict[str, Any]:
    return {
        "time": _time(found.created_at),
        "receiver": found.channel.receiver.name,
        "kind": found.channel.kind,
        "reason": found.reason,
        "outcome": found.outcome,
        "finished": _time(found.finished_at),
        "attempts": found.attempts,
        "answer": found.answer,
    }


def _ended(found: Incident) -> dict[str, Any]:
    found = visible.without_hidden(found)
    return {
        "id": found.pk,
        "title": found.title,
        "opened": _time(found.opened_at),
        "resolved": _time(found.resolved_at),
        "resolved_by": _name(found.resolved_by),
        "resolution": found.resolution,
    }


def _name(user: AbstractBaseUser | None) -> str | None:
    return user.get_username() if user else None


def _time(at: datetime | None) -> str | None:
    return clock.iso(clock.micros(at)) if at else None


# --- What changes something ------------------------------------------------------------------------------------------


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a verb. All of it may be left out, where the verb needs nothing."""

    text: str = ""
    by: str = ""  # for whom the program does it
    to: str | None = None  # of assign: a user's name; null is nobody
    step: int | None = None  # of tick
    done: bool = True


VERBS: Final[dict[str, tuple[Verb, Callable[..., bool]]]] = {
    "acknowledge": (Verb.ACKNOWLEDGE, verbs.acknowledge),
    "unacknowledge": (Verb.UNACKNOWLEDGE, verbs.unacknowledge),
    "assign": (Verb.ASSIGN, verbs.assign),
    "comment": (Verb.COMMENT, verbs.comment),
    "tick": (Verb.TICK, verbs.tick),
    "escalate": (Verb.ESCALATE, verbs.escalate),
    "resolve": (Verb.RESOLVE, verbs.resolve),
    "reopen": (Verb.REOPEN, verbs.reopen),
}


@api.for_admin_keys
def act(request: HttpRequest, pk: int, verb: str) -> HttpResponseBase:
    found = _whole(visible.incidents(Incident.objects.filter(pk=pk))).first()
    if found is None:
        return not_found(pk)
    if verb not in VERBS:
        return json_response({"error": f"expected one of {', '.join(VERBS)}, got {verb[:40]!r}"}, 404)
    said = _said(request)
    name = api.key_name(request)
    by = f"{said.by} ({name})" if said.by else name
    what, do = VERBS[verb]
    try:
        moved = do(found, by=by, via=Via.API, **_arguments(what, said))
    except VerbError as error:
        return json_response({"error": str(error)}, 400)
    if not moved:
        who = verbs.who(found, what)
        told = f"{who} has done it already" if who else "it is not as it was expected"
        return json_response({"error": f"nothing was changed: {told}; incident {pk} is {found.status}"}, 409)
    return json_response(_brief(found))


def _said(request: HttpRequest) -> Said:
    """Raises ParameterError."""
    body = request.body[: BODY_MAX + 1]
    if len(body) > BODY_MAX:
        raise ParameterError("body", f"expected at most {BODY_MAX:,} bytes")
    try:
        return msgspec.json.decode(body, type=Said) if body.strip() else Said()
    except (msgspec.DecodeError, RecursionError) as error:
        raise ParameterError("body", f'expected JSON like {{"text": "…"}}: {error}') from None


def _arguments(verb: Verb, said: Said) -> dict[str, Any]:
    """Raises ParameterError."""
    if verb == Verb.ASSIGN:
        return {"to": _user(said.to)}
    if verb == Verb.TICK:
        if said.step is None:
            raise ParameterError("step", "expected the number of a step of the runbook, from 0")
        return {"text": said.text, "step": said.step, "done": said.done}
    return {"text": said.text}


def _user(name: str | None) -> AbstractBaseUser | None:
    if not name:
        return None
    found = get_user_model().objects.filter(username=name, is_active=True).first()
    if found is None:
        raise ParameterError("to", f"expected the name of a user, got {name[:40]!r}")
    return found
