"""Slack's incoming webhooks, and what speaks like them (Mattermost, Rocket.Chat): a message of blocks.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks,
https://docs.slack.dev/reference/block-kit/blocks; how text is escaped:
https://docs.slack.dev/messaging/formatting-message-text#escaping
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from alerts import wording
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers import web
from alerts.notifiers.base import Target

LABEL = "Slack (incoming webhook)"
HELP = "A message in a channel of Slack. Its address is that of an incoming webhook, which a Slack app has."
FOR_PEOPLE, ACKNOWLEDGES = True, False
PLACES: frozenset[str] = frozenset()
TITLE_MAX, TEXT_MAX = 150, 3_000  # characters that Slack takes in a header, and in a section
COLOURS: Final = {"critical": "#d92d20", "high": "#f79009", "medium": "#eab308", "low": "#2e90fa", "info": "#98a2b3"}
GREEN: Final = "#17b26a"

TEMPLATES: Mapping[str, str] = {
    "title": "{{ .icon }} {{ .headline }}",
    "text": """\
{{ .text }}
{{ range .alerts }}
{{ .icon }} *{{ .name }}*{{ with .labels.service }} · {{ . }}{{ end }}{{ if eq .status "resolved" }} _resolved_{{ end }}
{{ with .summary }}{{ . }}
{{ end }}{{ with .description }}{{ . }}
{{ end }}{{ end }}
{{ if .left_out }}and {{ .left_out }} more
{{ end }}""",
    "footer": """\
{{ with .incident_url }}<{{ . }}|Open the incident>   {{ end -}}
{{ with .runbook_url }}<{{ . }}|Runbook>   {{ end -}}
{{ .receiver }}{{ with .by }} · {{ . }}{{ end }}""",
}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""


def check(options: Options, secrets: Secrets) -> None:
    web.check_url(secrets.url)


def preview(notification: Notification, target: Target) -> Mapping[str, str]:
    return {part: _part(part, notification, target) for part in TEMPLATES}


async def send(notification: Notification, target: Target) -> str:
    secrets: Secrets = target.secrets
    content = msgspec.json.encode(message(notification, target))
    return web.said(await web.post(secrets.url, content, timeout=target.timeout))


def message(notification: Notification, target: Target) -> dict[str, Any]:
    parts = preview(notification, target)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(parts["title"], TITLE_MAX), "emoji": True}}
    ]
    if parts["text"]:
        blocks.append({"type": "section", "text": _mrkdwn(parts["text"])})
    if parts["footer"]:
        blocks.append({"type": "context", "elements": [_mrkdwn(parts["footer"])]})
    colour = GREEN if notification.reason == Reason.RESOLVED else COLOURS.get(notification.severity, COLOURS["info"])
    # The text is what a phone shows in its notification; there it is not escaped by ourselves alone.
    return {"text": escaped(parts["title"]), "attachments": [{"color": colour, "blocks": blocks}]}


def _part(part: str, notification: Notification, target: Target) -> str:
    # A header is plain text, in which nothing means anything.
    escape = wording.line if part == "title" else escaped
    text = wording.worded(part, notification, target, TEMPLATES, escape)
    return wording.line(text) if part == "title" else _without_gaps(text)


def _mrkdwn(text: str) -> dict[str, Any]:
    """Verbatim: Slack makes no links of what looks like an address, a channel or a name."""
    return {"type": "mrkdwn", "text": _cut(text, TEXT_MAX), "verbatim": True}


def escaped(text: str) -> str:
    """So that no <!channel>, no <@user> and no link comes from a label or a log line."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_gaps(text: str) -> str:
    lines = [each.rstrip() for each in text.splitlines()]
    return "\n".join(each for place, each in enumerate(lines) if each or (place and lines[place - 1])).strip()


def _cut(text: str, most: int) -> str:
    """Not within a link or an escaped letter: Slack refuses a message with half of one."""
    if len(text) <= most:
        return text
    kept = text[: most - 2]
    for begin, end in (("<", ">"), ("&", ";")):
        if kept.rfind(begin) > kept.rfind(end):
            kept = kept[: kept.rfind(begin)]
    return f"{kept} …"
