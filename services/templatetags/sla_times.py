"""How times and shares are written in reports."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django import template

from services.durations import words

register = template.Library()


@register.filter
def span(value: timedelta | None) -> str:
    """ "4 h 12 min"; with a sign where a budget is overspent."""
    if value is None:
        return "–"
    return f"−{words(-value)}" if value < timedelta(0) else words(value)


@register.filter
def percent(value: Decimal) -> str:
    """Without zeros that say nothing: "99.9 %", "100 %"."""
    text = f"{value:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
