"""Opsgenie's Alert API: an alert there is created, acknowledged and closed, which its alias names.

https://docs.opsgenie.com/docs/alert-api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from alerts import links, wording
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers import web
from alerts.notifiers.base import Target

LABEL = "Opsgenie"
HELP = "An alert of Opsgenie. Its key is that of an integration “API” of a team."
FOR_PEOPLE, ACKNOWLEDGES = False, True
PLACES = frozenset({"endpoint"})
ENDPOINT: Final = "https://api.opsgenie.com"
MESSAGE_MAX, ALIAS_MAX, DESCRIPTION_MAX, TAG_MAX, TAGS_MAX = 130, 512, 15_000, 50, 20  # as Opsgenie has them
PRIORITIES: Final = {"critical": "P1", "high": "P2", "medium": "P3", "low": "P4", "info": "P5"}
VERBS: Final = {Reason.ACKNOWLEDGED: "acknowledge", Reason.RESOLVED: "close"}  # all others create

TEMPLATES: Mapping[str, str] = {
    "message": "{{ .headline }}",
    "description": """\
{{ .text }}
{{ range .alerts }}
{{ .name }} ({{ .status }}) {{ .summary }}
{{ .description }}
{{ .labels }}
{{ end }}{{ if .left_out }}and {{ .left_out }} more
{{ end }}{{ .incident_url }}""",
}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoint: str = ENDPOINT  # https://api.eu.opsgenie.com in the EU


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    api_key: str = ""


def check(options: Options, secrets: Secrets) -> None:
    web.check_url(options.endpoint)
    if not secrets.api_key.strip():
        raise ValueError("expected the key of an integration")


def preview(notification: Notification, target: Target) -> Mapping[str, str]:
    return {part: wording.worded(part, notification, target, TEMPLATES) for part in TEMPLATES}


async def send(notification: Notification, target: Target) -> str:
    if notification.reason == Reason.REMINDER:
        return "Opsgenie reminds by itself"
    verb = VERBS.get(Reason(notification.reason), "create")
    answer = await _ask(verb, notification, target)
    if notification.reason == Reason.TEST:
        # Nobody shall be woken by it for long.
        await _ask("close", notification, target)
        return f"{answer}, and closed again"
    return f"{answer} ({verb})"


async def _ask(verb: str, notification: Notification, target: Target) -> str:
    options: Options = target.options
    secrets: Secrets = target.secrets
    alias = (notification.dedup_key or target.delivery)[:ALIAS_MAX]
    url = f"{options.endpoint.rstrip('/')}/v2/alerts"
    if verb != "create":
        url = f"{url}/{quote(alias, safe='')}/{verb}?identifierType=alias"
    said = _alert(alias, notification, target) if verb == "create" else {"source": "Pharos", "user": notification.by}
    answer = await web.post(
        url, msgspec.json.encode({name: value for name, value in said.items() if value}), timeout=target.timeout,
        secret_headers={"Authorization": f"GenieKey {secrets.api_key}"},
    )  # fmt: skip
    return web.said(answer)


def _alert(alias: str, notification: Notification, target: Target) -> dict[str, Any]:
    parts = preview(notification, target)
    labels = notification.common_labels
    return {
        "message": wording.line(parts["message"])[:MESSAGE_MAX] or "alert",
        "alias": alias,
        "description": parts["description"][:DESCRIPTION_MAX],
        "priority": PRIORITIES.get(notification.severity, "P3"),
        "entity": labels.get("service", ""),
        "source": "Pharos",
        "tags": [f"{name}={text}"[:TAG_MAX] for name, text in sorted(labels.items())][:TAGS_MAX],
        "details": {
            **labels,
            "incident_url": links.incident(notification.external_url, notification.incident),
            "runbook_url": links.safe(notification.common_annotations.get("runbook_url", "")),
        },
    }
