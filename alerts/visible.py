"""Alerts and incidents that the current viewer may see (`accounts.visibility`). Costs nothing for who sees all.

Their label `service` says what they are about. Somebody who doesn't see all services sees those that are about one that
he sees; what is about none, or about several, may tell of any.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts import visibility
from alerts.models import Alert, Evidence, Incident, IncidentEvent
from services.models import Container
from services.visible import discreet, hidden_containers

LINES: Final = (Evidence.Kind.MATCHES, Evidence.Kind.LINES)


def alerts(found: QuerySet[Alert]) -> QuerySet[Alert]:
    if not visibility.current().limited:
        return found
    return found.filter(labels__service__in=_names(Alert.objects.all(), shown=True))


def incidents(found: QuerySet[Incident]) -> QuerySet[Incident]:
    if not visibility.current().limited:
        return found
    others = Q(labels__service__isnull=True) | Q(labels__service__in=_names(Alert.objects.all(), shown=False))
    about_others = Exists(Alert.objects.filter(others, incident=OuterRef("pk")).order_by())
    shown = _names(Incident.objects.all(), shown=True)
    return found.filter(~about_others, labels__service__in=shown)


def _names(rows: QuerySet[Any], *, shown: bool) -> list[str]:
    """What the label says in these rows: services that the viewer sees, or the others."""
    visible = visibility.current()
    names = rows.order_by().values_list("labels__service", flat=True).distinct()
    return [name for name in names if isinstance(name, str) and visible.shows(name) is shown]


# --- Texts: rows to look at, not to be saved -------------------------------------------------------------------------


def without_hidden(incident: Incident) -> Incident:
    if visibility.current().limited:
        incident.title, incident.summary = discreet(incident.title), discreet(incident.summary)
    return incident


def alert_without_hidden(alert: Alert) -> Alert:
    if visibility.current().limited:
        alert.annotations = {
            name: discreet(text) if isinstance(text, str) else text for name, text in alert.annotations.items()
        }
        if alert.incident:
            without_hidden(alert.incident)
    return alert


def event_without_hidden(event: IncidentEvent) -> IncidentEvent:
    if visibility.current().limited:
        event.text, event.data = discreet(event.text), {}
    return event


# --- Evidence --------------------------------------------------------------------------------------------------------


def evidence(taken: Evidence) -> Evidence:
    """What was frozen, without what the viewer doesn't see of it."""
    if visibility.current().limited:
        taken.data = _seen(taken.kind, taken.data)
        # The note is about all of it.
        taken.note = f"{len(taken.data['lines']):,} lines" if taken.kind in LINES else ""
    return taken


def _seen(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    visible = visibility.current()
    if kind in LINES:
        kept = dict(data)
        kept["lines"] = [each for each in data["lines"] if visible.shows(each.get("service", ""))]
        if "services" in data:
            kept["services"] = [name for name in data["services"] if visible.shows(name)]
        if visible.mentions_hidden(str(data.get("query", ""))) or visible.only is not None:
            kept["query"] = ""  # of a rule on several services
        kept.pop("counts", None)  # of all lines
        return kept
    if kind == Evidence.Kind.CHANGES:
        changes = [each for each in data["changes"] if visible.shows(each["service"])]
        return {**data, "changes": [{**each, "reason": discreet(each["reason"])} for each in changes]}
    if kind == Evidence.Kind.DEPLOY:
        return {**data, "deploys": [each for each in data["deploys"] if visible.shows(each["service"])]}
    if kind == Evidence.Kind.CONTAINERS:
        hidden = set(Container.objects.filter(pk__in=hidden_containers()).values_list("name", flat=True))
        events = [each for each in data["events"] if each["container"] not in hidden]
        return {**data, "events": [each for each in events if not each["service"] or visible.shows(each["service"])]}
    series = data.get("series", [])
    return {**data, "series": [each for each in series if visible.shows(each.get("labels", {}).get("service", ""))]}
