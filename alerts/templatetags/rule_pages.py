"""Numbers and times on the pages of rules."""

from __future__ import annotations

from django import template

from services import durations

register = template.Library()
register.filter("words", durations.words)


@register.filter
def number(value: float) -> str:
    return f"{value:,.4g}"


@register.filter
def percent(share: float) -> str:
    return f"{share:.0%}"
