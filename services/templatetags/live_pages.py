"""What the pages of services and containers have in common."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.fragments import Fragments

register = template.Library()


@register.filter
def piece(live: Fragments, name: str) -> SafeString:
    """A fragment whose name has a dash."""
    return live[name]


@register.simple_tag
def since(moment: datetime | None, word: str = "for ") -> SafeString:
    """ "since Nov 21 12:03". static/pharos/shell.js makes it "for 2 min 10 s", and counts on."""
    if moment is None:
        return SafeString("")
    local = timezone.localtime(moment)
    return format_html(
        '<time data-since="{}" datetime="{}" title="since {}">since {}</time>',
        word,
        moment.isoformat(timespec="seconds"),
        date_format(local, "M j H:i:s"),
        date_format(local, "M j H:i"),
    )


@register.filter
def milliseconds(micros: int) -> str:
    """ "under 1 ms", "42 ms", "1.2 s"."""
    if micros < 1_000:
        return "under 1 ms"
    return f"{micros / 1_000:.0f} ms" if micros < 1_000_000 else f"{micros / 1_000_000:.1f} s"


@register.filter
def percent(value: float) -> str:
    """ "0.4 %", "12 %"."""
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


@register.filter
def image(name: str) -> str:
    """Without its registry, and with the beginning of a digest only."""
    path, _, digest = name.partition("@sha256:")
    first, _, rest = path.partition("/")
    short = rest if rest and ("." in first or ":" in first) else path
    return f"{short}@{digest[:8]}" if digest else short


@register.filter
def size(value: float) -> str:
    """Bytes, by powers of 1,024: "512 MB", "1.5 GB"."""
    units = ["B", "KB", "MB", "GB", "TB"]
    while value >= 1_024 and len(units) > 1:
        value, units = value / 1_024, units[1:]
    return f"{value:.1f} {units[0]}" if value < 10 and units[0] != "B" and value % 1 else f"{value:.0f} {units[0]}"
