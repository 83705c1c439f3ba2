"""Alerts and incidents that the current viewer may see (`accounts.visibility`). Costs nothing for who sees all.

Their label `service` says what they are about. Somebody who doesn't see all services sees those that are about one that
he sees; what is about none, or about several, may tell of any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts import visibility
from alerts import matchers
from alerts.labels import Labels
from alerts.matchers import Matcher
from alerts.models import Alert, Evidence, Incident, IncidentEvent, Silence
from services import visible as services_visible
from services.models import Container, Service
from services.visible import SOMETHING, discreet, hidden_containers

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


# --- Silences and labels that somebody types ------------------------------------------------------------------------

SERVICE: Final = "service"
# What `service=~"shop|cart"` may be made of, so that it is known which services it names.
_NAMES: Final = re.compile(r"(?:[\w /:@-]|\\\W)+(?:\|(?:[\w /:@-]|\\\W)+)*")
_UNESCAPED: Final = re.compile(r"\\(\W)")


def silences(found: QuerySet[Silence]) -> QuerySet[Silence]:
    """Those that hit nothing but alerts of services that the viewer sees."""
    visible = visibility.current()
    if not visible.limited:
        return found
    rows = found.order_by().values_list("pk", "matchers")
    return found.filter(pk__in=[pk for pk, texts in rows if _are_all(visible.shows, matchers.parse_all(texts))])


def are_own(several: Sequence[Matcher]) -> bool:
    """Whether the viewer may silence what matches. What is hidden is answered as what doesn't exist."""
    return not visibility.current().limited or _are_all(is_known, several)


def _are_all(such: Callable[[str], bool], several: Sequence[Matcher]) -> bool:
    """Whether alerts of such services match, and of no others."""
    names = _named(several)
    return bool(names) and all(map(such, names))


def _named(several: Sequence[Matcher]) -> list[str]:
    """The services of which alone alerts match; [] if they may be of any."""
    for each in several:
        if each.name == SERVICE and each.is_equal and each.value:
            if not each.is_regex:
                return [each.value]
            if _NAMES.fullmatch(each.value):
                return [_UNESCAPED.sub(r"\1", name) for name in each.value.split("|")]
    return []


def is_known(service: str) -> bool:
    """Whether a viewer who is limited sees a service of that name."""
    visible = visibility.current()
    if not visible.shows(service):
        return False
    if service in visible.opened or (visible.only is not None and service in visible.only):
        return True
    watched = services_visible.services(Service.objects.filter(name=service)).exists()
    return watched or alerts(Alert.objects.filter(labels__service=service)).exists()


def without_names(text: str) -> str:
    """The name of a route, a receiver or a mute time, if no hidden service is in it."""
    return SOMETHING if visibility.current().mentions_hidden(text) else text


def is_of_known(labels: Labels) -> bool:
    return not visibility.current().limited or is_known(labels.get(SERVICE, ""))


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
