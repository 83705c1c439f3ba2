"""Addresses of the Logs page: the view is in the address, so a link is the present one with something changed."""

from __future__ import annotations

from typing import Any

from django import template
from django.http import QueryDict
from django.urls import reverse

from logs.rows import visible

register = template.Library()


@register.filter
def number(value: int) -> str:
    return f"{value:,}"


register.filter(visible)


@register.simple_tag(takes_context=True)
def changed(context: dict[str, Any], **changes: str) -> str:
    """The present view with other parameters; "" drops one. `since` and `until` stand for `from` and `to`."""
    parameters = QueryDict(context.get("parameters", ""), mutable=True)
    for name, value in changes.items():
        name = {"since": "from", "until": "to"}.get(name, name)
        parameters.pop(name, None)
        if value:
            parameters[name] = value
    return _address(parameters)


@register.simple_tag(takes_context=True)
def narrowed(context: dict[str, Any], term: str) -> str:
    """The present view, only with lines that also match `term`."""
    parameters = QueryDict(context.get("parameters", ""), mutable=True)
    text = parameters.get("q", "").strip()
    parameters["q"] = f"{f'({text})' if ' OR ' in text else text} {term}".strip()
    return _address(parameters)


def _address(parameters: QueryDict) -> str:
    page = reverse("logs:page")
    return f"{page}?{parameters.urlencode()}" if parameters else page
