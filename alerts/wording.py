"""How a message is worded: its templates, and what they are given.

Labels, annotations and log lines come from others and may be hostile. What a template is given has been escaped for
what it is put into, so no template can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from alerts import links, templating
from alerts.models.deliveries import Reason
from alerts.notifications import Notification, Told
from alerts.notifiers.base import Target
from alerts.severity import Severity

Escape = Callable[[str], str]

SHOWN_MAX: Final = 20  # alerts that a message for people lists
VALUE_MAX: Final = 2_000  # characters of one label or annotation
LABELS_MAX: Final = 30
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # and what turns text around
ICONS: Final = {"critical": "🔴", "high": "🟠", "medium": "🟡", "low": "🔵", "info": "⚪"}
WORDS: Final = {
    Reason.REPEAT: "still firing",
    Reason.ESCALATION: "escalated",
    Reason.REMINDER: "reminder",
    Reason.ACKNOWLEDGED: "acknowledged",
    Reason.RESOLVED: "resolved",
    Reason.TEST: "test",
}


def worded(
    part: str,
    notification: Notification,
    target: Target,
    built_in: Mapping[str, str],
    escape: Escape = str,
    more: Mapping[str, str] = {},
) -> str:
    """The part of a message; `more` is given to its template, too. A template of the channel that can't be carried out
    is as if there were none: somebody is to be told."""
    values = given(notification, escape) | {name: escape(value) for name, value in more.items()}
    if own := target.templates.get(part):
        try:
            return templating.render(own, values).strip()
        except templating.TemplateError:
            pass
    return templating.render(built_in[part], values).strip()


def problem(part: str, text: str, notification: Notification) -> str:
    """What is wrong with a template of a channel; "" if it can be carried out."""
    try:
        templating.render(text, given(notification))
    except templating.TemplateError as error:
        return f"{part}: {error}"
    return ""


def given(notification: Notification, escape: Escape = str) -> dict[str, Any]:
    """What templates can reach, with Alertmanager's names and some of our own."""
    resolved = notification.reason == Reason.RESOLVED
    url = links.incident(notification.external_url, notification.incident)
    alerts = [_alert(each) for each in notification.alerts[:SHOWN_MAX]]
    values = {
        "status": "resolved" if resolved else notification.status,
        "reason": notification.reason,
        "receiver": notification.receiver,
        "headline": headline(notification),
        "title": notification.title,
        "text": notification.text,
        "severity": notification.severity,
        "icon": "🟢" if resolved else ICONS.get(notification.severity, "⚪"),
        "alerts": alerts,
        "firing": [each for each in alerts if each["firing"]],
        "resolved": [each for each in alerts if not each["firing"]],
        "left_out": notification.left_out + len(notification.alerts) - len(alerts),
        "group_labels": notification.group_labels,
        "common_labels": notification.common_labels,
        "common_annotations": notification.common_annotations,
        "external_url": notification.external_url,
        "incident": notification.incident or "",
        "incident_title": notification.incident_title,
        "incident_url": url,
        "runbook_url": next((each["runbook_url"] for each in alerts if each["runbook_url"]), ""),
        "by": notification.by,
    }
    escaped: dict[str, Any] = _escaped(values, escape)
    return escaped


def headline(notification: Notification) -> str:
    """One line: "CRITICAL WorkerDown · worker", "resolved: WorkerDown · worker"."""
    name = notification.title or notification.incident_title or notification.group_labels.get("alertname", "")
    if not name and notification.alerts:
        name = notification.alerts[0].labels.get("alertname", "")
    word = WORDS.get(Reason(notification.reason)) if notification.reason in Reason.values else None
    severity = notification.severity.upper() if notification.severity in Severity.values else ""
    count = len(notification.firing) + notification.left_out
    said = " ".join(filter(None, (severity, name, f"({count} alerts)" if count > 1 else "")))
    if notification.reason in (Reason.SUMMARY, Reason.DIGEST, Reason.EXPIRY):
        said = name
    return line(f"{word}: {said}" if word else said)


def line(text: str) -> str:
    """Without anything that ends a line, or is not seen."""
    return " ".join(clean(text).split())


def clean(text: str) -> str:
    return _CONTROL.sub("", text)


def _alert(told: Told) -> dict[str, Any]:
    return {
        "status": "firing" if told.firing else "resolved",
        "firing": told.firing,
        "labels": dict(sorted(told.labels.items())[:LABELS_MAX]),
        "annotations": told.annotations,
        "name": told.labels.get("alertname", ""),
        "summary": told.annotations.get("summary", ""),
        "description": told.annotations.get("description", ""),
        "runbook_url": links.safe(told.annotations.get("runbook_url", "")),
        "severity": told.severity,
        "icon": ICONS.get(told.severity, "⚪") if told.firing else "🟢",
        "starts_at": _time(told.starts_at),
        "ends_at": _time(told.ends_at) if told.ends_at else "",
        "value": told.value,
        "generator_url": links.safe(told.generator_url),
        "fingerprint": told.fingerprint,
    }


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _escaped(value: Any, escape: Escape) -> Any:
    match value:
        case str():
            return escape(clean(value)[:VALUE_MAX])
        case dict():
            return {escape(clean(name)): _escaped(each, escape) for name, each in value.items()}
        case list():
            return [_escaped(each, escape) for each in value]
    return value
