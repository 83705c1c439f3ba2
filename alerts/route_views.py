"""`/alerts/routes/`: who would be told of an alert with these labels, and why. Its address can be shared.

Somebody who doesn't see all services asks for one that he sees, and is shown its alert's way, not the other routes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import visibility
from accounts.roles import ENTER_ADMIN
from alerts import durations, route_trace, silences, visible
from alerts.alertmanager import exporting
from alerts.alertmanager.traps import traps
from alerts.inhibition import Inhibitor
from alerts.labels import Labels
from alerts.matchers import MatcherError
from alerts.models import Alert, Channel, Silence
from alerts.models.alerts import State
from alerts.route_trace import labels_of
from alerts.routing import ALL, Match, Node, Tree
from alerts.severity_names import load, severity_of
from core.pages import requires, shell

READ: Final = ("alerts.view_route", "alerts.view_alert")
TEXT_MAX: Final = 10_000  # characters
SHOWN_MAX: Final = 12  # alerts to try
NOT_OWN: Final = "Expected a service that you see among them, like service=shop."


@require_safe
@never_cache
@requires(*READ)
def page(request: HttpRequest) -> HttpResponse:
    if row := _alert(request.GET.get("alert", "")):
        return redirect(f"{request.path}?{urlencode({'labels': route_trace.text_of(row.labels)})}")
    text = request.GET.get("labels", "")[:TEXT_MAX]
    tree = Tree.load()
    labels: dict[str, str] = {}
    wrong = ""
    try:
        labels = labels_of(text)
    except MatcherError as error:
        wrong = str(error)
    limited = visibility.current().limited
    if labels and not visible.is_of_known(labels):
        wrong = NOT_OWN
    now = timezone.now()
    tried = bool(labels) and not wrong
    context = {
        "text": text,
        "wrong": wrong,
        "tried": tried,
        "stops": _stops(tree.root, labels, tried=tried) if tree.root else [],
        "no_route": tree.root is None,
        "matches": [_shown(match, now) for match in tree.match(labels)] if tried else [],
        "quiet": _quiet(labels, now) if tried else [],
        "traps": list(traps(exporting.tree())) if tree.root and not limited else [],
        "examples": [_example(row) for row in _firing()],
        "may_change": request.user.has_perms([ENTER_ADMIN, "alerts.change_route"]),
    }
    return render(request, "alerts/routes.html", shell(request, "Routes", **context), status=400 if wrong else 200)


def _alert(key: str) -> Alert | None:
    shown = visible.alerts(Alert.objects.all())
    return shown.filter(pk=key).first() if key.isdecimal() and len(key) < 19 else None


def _firing() -> list[Alert]:
    return list(visible.alerts(Alert.objects.filter(state=State.FIRING)).order_by("-active_at")[:SHOWN_MAX])


def _example(row: Alert) -> dict[str, str]:
    return {"title": row.labels.get("alertname", str(row)), "labels": route_trace.text_of(row.labels)}


def _stops(root: Node, labels: Labels, *, tried: bool) -> list[dict[str, Any]]:
    """Nodes as the page draws them; to a limited viewer those on the way alone, without names of other teams."""
    stops = route_trace.trace(root, labels)
    if visibility.current().limited:
        stops = [stop for stop in stops if tried and stop.state in route_trace.ON_THE_WAY]
    return [
        {
            "depth": stop.depth,
            "state": stop.state,
            "why": visible.without_names(stop.why),
            "matchers": [visible.without_names(str(each)) for each in stop.node.matchers],
            "receiver": visible.without_names(stop.node.options.receiver_name),
            "continues": stop.node.continues,
        }
        for stop in stops
    ]


def _shown(match: Match, now: datetime) -> dict[str, Any]:
    options = match.options
    channels = Channel.objects.filter(receiver=options.receiver).defer("secrets") if options.receiver else []
    return {
        "receiver": visible.without_names(options.receiver_name),
        "channels": [_channel(each) for each in channels],
        "grouped": "each alert by itself" if ALL in options.group_by else ", ".join(options.group_by) or "all together",
        "labels": match.labels,
        "wait": durations.write(options.group_wait),
        "interval": durations.write(options.group_interval),
        "repeat": durations.write(options.repeat_interval),
        "muted": visible.without_names(options.muted(now)),
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "kind": channel.get_kind_display(),
        "off": "" if channel.enabled and not channel.disabled_reason else channel.disabled_reason or "switched off",
    }


def _quiet(labels: Labels, now: datetime) -> list[str]:
    """What would keep it quiet at this moment, as sentences without their end."""
    hits = [row.pk for row in silences.by(silences.active(now), labels)]
    shown = visible.silences(Silence.objects.filter(pk__in=hits)).in_bulk()
    found = [f"the silence “{shown[pk].comment}” hits it" if pk in shown else "a silence hits it" for pk in hits]
    inhibition = Inhibitor.load().by(labels, severity_of(labels, load()))
    if inhibition:
        if not visible.alerts(Alert.objects.filter(pk=inhibition.source.id)).exists():
            return [*found, "another alert inhibits it"]
        name = inhibition.source.labels.get("alertname", "an alert")
        found.append(f"{inhibition.rule} inhibits it, while {name} fires")
    return found
