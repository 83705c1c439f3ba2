"""An entry as people read it: who did what to which thing, what was before and what is now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.urls import NoReverseMatch, reverse

from accounts.acting import ADMIN, COMMAND, KEY, TASK
from accounts.trail.finding import EVENTS
from accounts.trail.recording import CREATE, DELETE, UPDATE

VERBS: Final = {CREATE: "added", UPDATE: "changed", DELETE: "deleted"}
WAYS: Final = {ADMIN: "in the admin", KEY: "with an API key", COMMAND: "on the command line", TASK: "by itself"}
NOTHING: Final = frozenset({"None", "", "{}", "[]"})
TOLD: Final = frozenset({"via", "by", "event"})  # of additional_data, which are columns


class Change(NamedTuple):
    field: str
    before: str
    after: str


class Shown(NamedTuple):
    entry: LogEntry
    who: str
    way: str
    verb: str
    kind: str
    thing: str
    link: str  # to the thing's screen, "" if it has none or is gone
    changes: list[Change]


def shown(entry: LogEntry) -> Shown:
    told = entry.additional_data or {}
    verb = VERBS.get(entry.action) or EVENTS.get(told.get("event", ""), "did something")
    return Shown(
        entry, who(entry), WAYS.get(told.get("via", ""), ""), verb, kind(entry.content_type), entry.object_repr,
        _link(entry), list(changes(entry)),
    )  # fmt: skip


def who(entry: LogEntry) -> str:
    if entry.additional_data and entry.additional_data.get("by"):
        return str(entry.additional_data["by"])
    return entry.actor.get_username() if entry.actor else ""


def kind(of: ContentType) -> str:
    """ "log source"; of what was uninstalled, its old name."""
    model = of.model_class()
    return str(model._meta.verbose_name) if model else of.model


def changes(entry: LogEntry) -> Iterator[Change]:
    """What was added or deleted has no nothings in it."""
    model = entry.content_type.model_class()
    for name, change in sorted((entry.changes or {}).items()):
        if isinstance(change, dict):  # a relation to many
            objects = ", ".join(map(str, change.get("objects", ())))
            added = change.get("operation") == "add"
            yield Change(_label(model, name), "" if added else objects, objects if added else "")
            continue
        before, after = ("" if str(each) in NOTHING else str(each) for each in change)
        if before or after:
            yield Change(_label(model, name), before, after)
    for name, value in (entry.additional_data or {}).items():
        if name not in TOLD:
            yield Change(name, "", str(value))


def _label(model: Any, name: str) -> str:
    try:
        return str(model._meta.get_field(name).verbose_name)
    except (AttributeError, FieldDoesNotExist):
        return name


def _link(entry: LogEntry) -> str:
    if entry.action == DELETE or not entry.object_pk:
        return ""
    of = entry.content_type
    try:
        return reverse(f"admin:{of.app_label}_{of.model}_change", args=[entry.object_pk])
    except NoReverseMatch:
        return ""
