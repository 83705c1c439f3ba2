"""Words and colours of alerts and incidents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alerts import markdown
from alerts.explain import Sentence
from alerts.models.alerts import State
from alerts.models.incidents import Status
from alerts.severity import Severity
from services.durations import words

register = template.Library()
register.filter(markdown.inline)

SEVERITIES: Final = {
    Severity.CRITICAL: "red",
    Severity.HIGH: "yellow",
    Severity.MEDIUM: "blue",
    Severity.LOW: "grey",
    Severity.INFO: "grey",
}
STATUSES: Final = {
    Status.OPEN: "red",
    Status.ACKNOWLEDGED: "yellow",
    Status.RESOLVED: "green",
    State.FIRING: "red",
    State.PENDING: "yellow",
}


@register.filter
def severity_colour(severity: str) -> str:
    return SEVERITIES.get(Severity(severity), "grey")


@register.filter
def status_colour(status: str) -> str:
    """Of an incident, or of an alert."""
    return {str(name): colour for name, colour in STATUSES.items()}.get(status, "grey")


@register.filter
def moment(at: datetime) -> str:
    """ "12:05:12" of today, "Nov 14 03:12:08" of another day, in the reader's zone."""
    there = timezone.localtime(at)
    today = there.date() == timezone.localdate()
    return f"{there:%H:%M:%S}" if today else f"{there:%b} {there.day} {there:%H:%M:%S}"


@register.filter
def sentence(pieces: Sentence) -> SafeString:
    """Its times in the reader's zone."""
    return format_html_join("", "{}", ((each if isinstance(each, str) else _time(each),) for each in pieces))


def _time(at: datetime) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), moment(at))


@register.filter
def until(start: datetime, end: datetime) -> str:
    """ "18 min"."""
    return words(end - start)


@register.filter
def places(labels: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Labels that say where, not what."""
    return sorted((name, str(text)) for name, text in labels.items() if name not in ("alertname", "severity"))
