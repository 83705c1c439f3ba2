"""System checks of the room: `manage.py check` and each start of a command run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from logs.records import alias_table
from logs.sequence import STREAMS_MAX
from logs.store import log_stores


@register()
def log_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return [*_streams(), *_aliases(), *_store()]


def _streams() -> list[CheckMessage]:
    streams = settings.LOG_STREAMS
    if 1 <= len(streams) <= STREAMS_MAX and len(set(streams)) == len(streams):
        return []
    return [
        Error(
            f"PHAROS_LOG_STREAM must name 1 to {STREAMS_MAX} different streams, but it names {len(streams)}.",
            hint="Separate the names with commas: PHAROS_LOG_STREAM=pharos:logs,wib:logs",
            id="logs.E001",
        )
    ]


def _aliases() -> list[CheckMessage]:
    try:
        alias_table(settings.LOG_FIELD_ALIASES)
    except ValueError as error:
        return [Error(f"PHAROS_FIELD_ALIASES: {error}.", hint="Write field=name-of-yours pairs.", id="logs.E002")]
    return []


def _store() -> list[CheckMessage]:
    try:
        log_stores["default"]
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See LOG_STORES in docs/configuration.md.", id="logs.E003")]
    return []
