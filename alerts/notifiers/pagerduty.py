"""PagerDuty's Events API v2: triggers, acknowledges and resolves an alert there, which its dedup key names.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from alerts import links, wording
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers import web
from alerts.notifiers.base import NotifierError, RefusedError, Target

if TYPE_CHECKING:
    from core.http import Answer

LABEL = "PagerDuty (Events API v2)"
HELP = "An alert of a PagerDuty service. Its routing key is that of an integration “Events API V2” of the service."
FOR_PEOPLE, ACKNOWLEDGES = False, True
PLACES = frozenset({"endpoint"})
ENDPOINT: Final = "https://events.pagerduty.com"
KEY_LENGTH: Final = 32
SUMMARY_MAX, DEDUP_MAX, DETAILS_MAX = 1_024, 255, 100_000  # characters; an event may have 512 KB
SEVERITIES: Final = {"critical": "critical", "high": "error", "medium": "warning", "low": "warning", "info": "info"}
ACTIONS: Final = {Reason.ACKNOWLEDGED: "acknowledge", Reason.RESOLVED: "resolve"}  # all others trigger

TEMPLATES: Mapping[str, str] = {
    "summary": "{{ .headline }}{{ with .common_annotations.summary }}: {{ . }}{{ end }}",
    "details": """\
{{ .text }}
{{ range .alerts }}
{{ .name }} ({{ .status }}) {{ .summary }}
{{ .description }}
{{ .labels }}
{{ end }}{{ if .left_out }}and {{ .left_out }} more{{ end }}""",
}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoint: str = ENDPOINT  # https://events.eu.pagerduty.com in the EU


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    routing_key: str = ""


def check(options: Options, secrets: Secrets) -> None:
    web.check_url(options.endpoint)
    if len(secrets.routing_key) != KEY_LENGTH:
        raise ValueError(f"expected a routing key of {KEY_LENGTH} characters")


def preview(notification: Notification, target: Target) -> Mapping[str, str]:
    return {part: wording.worded(part, notification, target, TEMPLATES) for part in TEMPLATES}


async def send(notification: Notification, target: Target) -> str:
    if notification.reason == Reason.REMINDER:
        return "PagerDuty reminds by itself"
    action = ACTIONS.get(Reason(notification.reason), "trigger")
    answer = await _enqueue(event(notification, target, action), target)
    if notification.reason == Reason.TEST:
        # Nobody shall be woken by it for long.
        await _enqueue(event(notification, target, "resolve"), target)
        return f"{answer} (trigger), and resolved again"
    return f"{answer} ({action})"


def event(
    notification: Notification, target: Target, action: Literal["trigger", "acknowledge", "resolve"] | str
) -> dict[str, Any]:
    secrets: Secrets = target.secrets
    said: dict[str, Any] = {
        "routing_key": secrets.routing_key,
        "event_action": action,
        "dedup_key": (notification.dedup_key or target.delivery)[:DEDUP_MAX],
    }
    if action == "trigger":
        said |= {"client": "Pharos", "payload": _payload(notification, target), "links": _links(notification)}
        if notification.external_url:
            said["client_url"] = notification.external_url
    return said


def _payload(notification: Notification, target: Target) -> dict[str, Any]:
    parts = preview(notification, target)
    labels = notification.common_labels
    return {
        "summary": wording.line(parts["summary"])[:SUMMARY_MAX] or "alert",
        "source": labels.get("service") or labels.get("instance") or "pharos",
        "severity": SEVERITIES.get(notification.severity, "error"),
        "component": labels.get("service", ""),
        "group": ", ".join(f"{name}={text}" for name, text in sorted(notification.group_labels.items())),
        "class": labels.get("alertname", ""),
        "custom_details": {"details": parts["details"][:DETAILS_MAX], "labels": dict(labels)},
    }


def _links(notification: Notification) -> list[dict[str, str]]:
    given = {
        "Incident": links.incident(notification.external_url, notification.incident),
        "Runbook": links.safe(notification.common_annotations.get("runbook_url", "")),
    }
    return [{"text": text, "href": url} for text, url in given.items() if url]


async def _enqueue(said: Mapping[str, Any], target: Target) -> str:
    options: Options = target.options
    url = f"{options.endpoint.rstrip('/')}/v2/enqueue"
    try:
        answer = await web.post(url, msgspec.json.encode(said), timeout=target.timeout)
    except RefusedError as error:
        # Of a wrong routing key it says the same as of a wrong event.
        if "routing" in str(error).lower():
            raise NotifierError(str(error), permanent=True) from None
        raise
    return _said(answer)


def _said(answer: Answer) -> str:
    try:
        message = msgspec.json.decode(answer.body, type=dict[str, Any]).get("message")
    except msgspec.MsgspecError:
        message = None
    return f"{answer.status} {message}" if isinstance(message, str) else web.said(answer)
