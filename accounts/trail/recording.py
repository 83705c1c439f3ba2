"""Writes the trail. An entry is a `LogEntry` of django-auditlog; its `additional_data` says who and how:

    {"via": "admin", "by": "anna"}                                   a change, with before and after in `changes`
    {"via": "page", "by": "anna", "event": "log_export", "q": "…"}   something that is no change of a row

auditlog hears of rows that are saved and deleted one by one, and of those that a queryset deletes. What is written with
`QuerySet.update` or `bulk_create` it can't hear: use `update` and `compared` of this module there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any, Final, TypeVar, cast

from auditlog.cid import get_cid
from auditlog.diff import model_instance_diff
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.signals import pre_save
from django.utils import timezone

from accounts import acting
from core.secrets import EncryptedJSONField

Row = TypeVar("Row", bound=models.Model)

CREATE, UPDATE, DELETE, EVENT = (
    LogEntry.Action.CREATE, LogEntry.Action.UPDATE, LogEntry.Action.DELETE, LogEntry.Action.ACCESS,
)  # fmt: skip
MASK: Final = "•••"
TEXT_MAX: Final = 4_000  # characters of one value, before or after
REPR_MAX: Final = 200
AT_ONCE: Final = 500
EMPTY: Final = frozenset({"", "None", "{}"})
# Passwords in addresses, and what parameters of them are called that are as good as one.
_PASSWORD: Final = re.compile(r"(://[^/@\s:\"']*:)[^/@\s\"']+(?=@)")
_PARAMETER: Final = re.compile(r"([?&](?:\w*(?:token|secret|password|key|sig|signature)\w*)=)[^&\s\"']+", re.IGNORECASE)


# --- What is followed ------------------------------------------------------------------------------------------------


def follow(
    model: type[models.Model], *, secret: Sequence[str] = (), also: Sequence[str] = (), left_out: Sequence[str] = ()
) -> None:
    """Changes of the model's rows are entries from now on.

    Fields that people can't edit are not told, but for those of `also`, nor are those of `left_out`; of `secret` ones,
    and of all that are encrypted, only that they have changed.
    """
    fields = model._meta.get_fields()
    encrypted = [field.name for field in fields if isinstance(field, EncryptedJSONField)]
    machine = [field.name for field in fields if not getattr(field, "editable", True)]
    told = {*secret, *also}
    auditlog.register(
        model,
        exclude_fields=[*({*machine} - told), *left_out],
        mask_fields=[*encrypted, *secret],
        mask_callable=f"{__name__}.masked",
        m2m_fields={field.name for field in model._meta.many_to_many if _is_plain(field)},
    )


def _is_plain(field: models.ManyToManyField[Any, Any]) -> bool:
    """The rows between may have a model of their own, which is followed by itself."""
    through = field.remote_field.through
    return bool(through and through._meta.auto_created)


def masked(value: str) -> str:
    return "" if value in EMPTY else MASK


def without_secrets(text: str) -> str:
    hidden = _PARAMETER.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1{MASK}", text))
    left = len(hidden) - TEXT_MAX
    return hidden if left <= 0 else f"{hidden[:TEXT_MAX]}… ({left:,} more characters)"


# --- Entries ---------------------------------------------------------------------------------------------------------


def connect() -> None:
    pre_save.connect(_complete, LogEntry)


def _complete(instance: LogEntry, **_: Any) -> None:
    if not instance.pk:
        complete(instance, acting.now())


def complete(entry: LogEntry, actor: acting.Actor) -> None:
    """Says who, and nothing secret."""
    told: dict[str, Any] = entry.additional_data or {}
    entry.additional_data = {"via": actor.via, "by": actor.by, **told}
    if actor.user is not None:
        entry.actor = cast("Any", actor.user)
        entry.actor_email = getattr(actor.user, "email", "") or None
    entry.remote_addr = actor.address or None
    entry.cid = entry.cid or get_cid()
    entry.object_repr = without_secrets(str(entry.object_repr))[:REPR_MAX]
    if isinstance(entry.changes, dict):
        entry.changes = {name: _hidden(change) for name, change in entry.changes.items() if not _is_same(change)}


def _is_same(change: Any) -> bool:
    """5 and 5.0 are two texts, but one number."""
    try:
        return len(change) == 2 and float(change[0]) == float(change[1])
    except (TypeError, ValueError, KeyError):
        return False


def _hidden(change: Any) -> Any:
    if isinstance(change, list | tuple):
        return [without_secrets(str(each)) for each in change]
    return change


def event(name: str, subject: models.Model | type[models.Model], shown: str = "", **details: str | int) -> None:
    """Something that happened, to a row or to what a model stands for. `details` are texts and numbers."""
    row = subject if isinstance(subject, models.Model) else None
    LogEntry.objects.create(
        content_type=ContentType.objects.get_for_model(subject),
        object_pk=str(row.pk) if row else "",
        object_id=row.pk if row and isinstance(row.pk, int) else None,
        object_repr=shown or (str(row) if row else ""),
        action=EVENT,
        additional_data={"event": name} | {key: _bounded(value) for key, value in details.items()},
    )


def count(name: str, model: type[models.Model], shown: str, of: str, number: int) -> None:
    """For what happens by itself all day long: one entry each day (UTC), which says how many."""
    today = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    entry = LogEntry.objects.filter(timestamp__gte=today, additional_data__event=name).order_by("pk").first()
    if entry is None:
        event(name, model, shown, **{of: number})
        return
    entry.additional_data = {**entry.additional_data, of: entry.additional_data.get(of, 0) + number}
    entry.save(update_fields=["additional_data"])


def _bounded(value: str | int) -> str | int:
    return without_secrets(value) if isinstance(value, str) else value


# --- Many rows at once -----------------------------------------------------------------------------------------------


def update(rows: models.QuerySet[Row, Any], told: Mapping[str, Any], untold: Mapping[str, Any] = {}) -> int:
    """As `QuerySet.update`, with an entry for each row of which `told` changes something."""
    before = list(rows.order_by())
    changed = rows.update(**told, **untold)
    if not changed:  # somebody else was faster
        return 0
    entries = []
    for row in before:
        changes = {name: [str(getattr(row, name)), str(new)] for name, new in told.items() if getattr(row, name) != new}
        if changes:
            entries.append(_entry(row, UPDATE, changes))
    _write(entries)
    return changed


def compared(before: Mapping[Any, models.Model], after: Iterable[models.Model]) -> None:
    """Entries for rows that were written at once: `before` has the old ones by primary key."""
    entries = []
    for row in after:
        old = before.get(row.pk)
        changes = model_instance_diff(old, row)
        if changes:
            entries.append(_entry(row, UPDATE if old else CREATE, changes))
    _write(entries)


def _entry(row: models.Model, action: int, changes: Mapping[str, Any]) -> LogEntry:
    return LogEntry(
        content_type=ContentType.objects.get_for_model(row),
        object_pk=str(row.pk),
        object_id=row.pk if isinstance(row.pk, int) else None,
        object_repr=str(row),
        action=action,
        changes=dict(changes),
    )


def _write(entries: Sequence[LogEntry]) -> None:
    actor = acting.now()
    for entry in entries:
        complete(entry, actor)
    LogEntry.objects.bulk_create(entries, batch_size=AT_ONCE)
