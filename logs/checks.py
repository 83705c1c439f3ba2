"""System checks of the room: `manage.py check` and each start of a command run them.

Processes without pages run those with the tag "pharos" alone: Django's own load every page and screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 - Django's name
from django.core.exceptions import ImproperlyConfigured

from logs.objects import Storage, StorageError, directory_of
from logs.records import alias_table
from logs.sequence import STREAMS_MAX
from logs.store import log_stores


@register("pharos")
def log_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return [*_streams(), *_aliases(), *_store(), *_archive()]


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


def _archive() -> list[CheckMessage]:
    url, after, kept = settings.LOG_ARCHIVE_URL, settings.LOG_ARCHIVE_AFTER_DAYS, settings.LOG_RETENTION_DAYS
    if not url:
        return []
    found: list[CheckMessage] = []
    if kept and after >= kept:
        found.append(
            Error(
                f"PHAROS_ARCHIVE_AFTER_DAYS must be less than PHAROS_LOG_RETENTION_DAYS ({kept}), but it is {after}.",
                hint="A day is archived before its lines are deleted.",
                id="logs.E005",
            )
        )
    try:
        directory = directory_of(url)
    except ValueError as error:
        hint = "For instance /backup/logs, s3://bucket/logs, gs://bucket/logs or az://container/logs."
        return [*found, Error(f"PHAROS_ARCHIVE_URL {error}.", hint=hint, id="logs.E004")]
    if directory is not None:
        if directory.is_dir():
            return found
        hint = "Make it, or mount its disk: it is not made by itself, lest the lines go beside the disk."
        return [*found, Warning(f"PHAROS_ARCHIVE_URL: {directory} is no directory.", hint=hint, id="logs.W001")]
    try:
        Storage(url)
    except StorageError as error:
        hint = "Set the variables of your storage: see the section Archive in docs/retention.md."
        return [*found, Error(f"PHAROS_ARCHIVE_URL: {error}.", hint=hint, id="logs.E004")]
    return found
