"""Addresses and times on the pages of services."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from services.durations import words

register = template.Library()


@register.filter
def since(moment: datetime) -> SafeString:
    """For how long it has been so; static/pharos/shell.js goes on counting."""
    text = words(timezone.now() - moment)
    return format_html(
        '<time datetime="{}" data-since title="{}">{}</time>',
        moment.isoformat(), f"since {timezone.localtime(moment):%Y-%m-%d %H:%M:%S}", text,
    )  # fmt: skip


@register.filter
def clock_time(moment: datetime) -> str:
    """ "12:03" of today, "14 Nov 03:12" of another day, in the reader's zone."""
    there = timezone.localtime(moment)
    if there.date() == timezone.localdate():
        return f"{there:%H:%M}"
    return f"{there.day} {there:%b %H:%M}"


@register.simple_tag(takes_context=True)
def view(context: dict[str, Any], **changes: str) -> str:
    """The address of the present list with other parameters; "" drops one."""
    parameters = QueryDict(context.get("parameters", ""), mutable=True)
    for name, value in changes.items():
        parameters.pop(name, None)
        if value:
            parameters[name] = value
    page = reverse("services:list")
    return f"{page}?{parameters.urlencode()}" if parameters else page
