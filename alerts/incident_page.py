"""What the page of an incident shows: each function answers one part of it, with a number of queries of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import Count
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone

from accounts import visibility
from accounts.roles import ENTER_ADMIN
from alerts import evidence_shown, explain, markdown, similar, visible
from alerts.models import Alert, Incident
from alerts.models.alerts import State
from alerts.models.deliveries import Outcome
from alerts.models.incidents import Verb
from alerts.runbook import Runbook, Step, runbook
from alerts.severity import RANK
from core.fragments import Fragments

VIEW: Final = "alerts.view_incident"
RESPOND: Final = "alerts.respond_incident"
SILENCE: Final = "alerts.add_silence"
RULES: Final = "alerts.change_alertrule"
SERVICES: Final = "services.view_service"
CONTAINERS: Final = "services.view_container"
LINES: Final = "logs.read_records"
PERMISSIONS: Final = (VIEW, RESPOND, SILENCE, RULES, SERVICES, CONTAINERS, LINES, ENTER_ADMIN)

EVENTS_MAX: Final = 300
ALERTS_MAX: Final = 20
TOLD_MAX: Final = 50
SIMILAR_MAX: Final = 5
DESCRIPTION_MAX: Final = 10_000  # characters
TEMPLATE: Final = "alerts/incident.html"


def incident(pk: int) -> Incident:
    """Raises Http404."""
    related = Incident.objects.select_related("rule", "service", "assignee", "acknowledged_by", "resolved_by")
    return visible.without_hidden(get_object_or_404(visible.incidents(related), pk=pk))


def live_fragments(pk: int, rights: frozenset[str]) -> Fragments:
    """For the WebSocket: an incident that was deleted meanwhile is a page that stays as it is."""
    try:
        return fragments(incident(pk), rights)
    except Http404:
        return Fragments()


def fragments(incident: Incident, rights: frozenset[str]) -> Fragments:
    live = Fragments()
    shown = {"incident": incident, "may_respond": RESPOND in rights, "services": SERVICES in rights}
    alerts, counts = _alerts(incident)
    taken = evidence_shown.of(incident, reads=LINES in rights)
    began = min((alert.active_at for alert in alerts), default=None)
    late = began is not None and began < incident.opened_at
    live.add("headline", f"{TEMPLATE}#headline", shown | {"began": began if late else None, "cause": taken.cause})
    if RESPOND in rights:
        live.add("verbs", f"{TEMPLATE}#verbs", shown)
    live.add("description", f"{TEMPLATE}#description", _description(alerts))
    live.add("series", f"{TEMPLATE}#series", {"series": taken.series})
    live.add("evidence", f"{TEMPLATE}#evidence", shown | {"taken": taken, "reads": LINES in rights})
    _add_alerts(live, alerts, counts, shown)
    live.add_list("similar", f"{TEMPLATE}#similar", _similar(incident))
    live.add_list("timeline", f"{TEMPLATE}#event", _timeline(incident))
    live.add(
        "runbook",
        f"{TEMPLATE}#runbook",
        shown | {"runbook": _runbook(incident), "rules": {RULES, ENTER_ADMIN} <= rights},
    )
    live.add_list("told", f"{TEMPLATE}#told", _told(incident))
    live.add("why", f"{TEMPLATE}#why", _why(alerts))
    return live


# --- Alerts ----------------------------------------------------------------------------------------------------------


def _alerts(incident: Incident) -> tuple[Sequence[Alert], dict[str, int]]:
    """Those that fire, the worst first, then those that ended last; and how many there are of each state."""
    found = incident.alerts.select_related("rule").order_by("state", RANK, "-active_at", "-pk")
    counted = incident.alerts.order_by().values_list("state").annotate(Count("pk"))
    return [visible.alert_without_hidden(alert) for alert in found[:ALERTS_MAX]], dict(counted)


def _add_alerts(live: Fragments, alerts: Sequence[Alert], counts: dict[str, int], shown: dict[str, Any]) -> None:
    items = [(f"alert-{alert.pk}", {"alert": alert}) for alert in alerts]
    live.add_list("alerts", f"{TEMPLATE}#alert", items or [("no-alert", {"alert": None})])
    total = sum(counts.values())
    context = {"firing": counts.get(State.FIRING, 0), "total": total, "more": max(total - len(alerts), 0)}
    live.add("alert-counts", f"{TEMPLATE}#alert_counts", context)


def _description(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Of the worst alert that has one: what its rule, or whoever sent it, says of it."""
    texts = [text for alert in alerts if (text := str(alert.annotations.get("description") or ""))]
    html = markdown.html(texts[0][:DESCRIPTION_MAX]) if texts else ""
    return {"html": html, "others": len(set(texts)) > 1}


def _why(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Of the worst alert that fires, or the one that ended last. Others are named in it: for who sees all."""
    if not alerts or visibility.current().limited:
        return {"explanation": None}
    found = explain.explain(alerts[0], timezone.now())
    return {"explanation": found, "several": len(alerts) > 1, "steps": [(step, _colour(step)) for step in found.steps]}


def _colour(step: explain.Step) -> str:
    """What stops it is no fault, but a delivery that failed is one."""
    if step.stage == explain.Stage.DELIVERY and not step.delivery:
        return "grey"  # nobody was told so far
    if step.ok:
        return "green"
    return "red" if step.stage == explain.Stage.DELIVERY else "yellow"


# --- What happened, and before ---------------------------------------------------------------------------------------

COLOURS: Final = {
    Verb.OPEN: "red",
    Verb.ALERT: "red",
    Verb.ACKNOWLEDGE: "yellow",
    Verb.UNACKNOWLEDGE: "red",
    Verb.ESCALATE: "yellow",
    Verb.REMIND: "yellow",
    Verb.RESOLVE: "green",
    Verb.REOPEN: "red",
}


def _timeline(incident: Incident) -> list[tuple[str, dict[str, Any]]]:
    """Oldest first; of very many the newest."""
    newest = list(incident.events.order_by("-at", "-pk")[:EVENTS_MAX])
    return [
        (f"event-{event.pk}", {"event": event, "colour": COLOURS.get(Verb(event.verb), "blue")})
        for event in map(visible.event_without_hidden, reversed(newest))
    ]


def _similar(incident: Incident) -> list[tuple[str, dict[str, Any]]]:
    """Of the same alerts, or else of the same rule; the newest first."""
    listed = [visible.without_hidden(each) for each in visible.incidents(similar.before(incident))[:SIMILAR_MAX]]
    return [(f"similar-{each.pk}", {"each": each}) for each in listed] or [("no-similar", {"each": None})]


# --- The runbook -----------------------------------------------------------------------------------------------------


def _runbook(incident: Incident) -> Runbook:
    return runbook(incident.rule, incident.ticks) if incident.rule else Runbook(())


def step(incident: Incident, number: str) -> Step | None:
    """A step of its runbook, by a number that came with a form."""
    return next((step for step in _runbook(incident).steps if str(step.number) == number), None)


# --- Who was told ----------------------------------------------------------------------------------------------------

OUTCOMES: Final = {Outcome.DUE: "yellow", Outcome.DELIVERED: "green", Outcome.FAILED: "red", Outcome.HELD: "blue"}


def _told(incident: Incident) -> list[tuple[str, dict[str, Any]]]:
    deliveries = incident.deliveries.select_related("channel__receiver").defer(
        "notification", "channel__secrets", "channel__options", "channel__templates"
    )
    items = [
        (f"delivery-{each.pk}", {"delivery": each, "colour": OUTCOMES.get(Outcome(each.outcome), "grey")})
        for each in deliveries[:TOLD_MAX]
    ]
    return items or [("no-delivery", {"delivery": None})]
