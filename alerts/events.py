"""How an incident changes: a conditional UPDATE, and an event that says who did what. Used by its verbs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q

from alerts import live
from alerts.models import Incident, IncidentEvent
from alerts.models.incidents import Verb, Via

TEXT_MAX: Final = 5_000
ACTOR_MAX: Final = 150

# A person, the name of an API key or of a program, or nobody: it happened by itself.
By: TypeAlias = AbstractBaseUser | str | None


class VerbError(ValueError):
    """It can't be done: what was expected, and what came. A sentence for whoever asked."""


class Act(msgspec.Struct, frozen=True):
    """Who does something, when, from where, with which words."""

    by: By
    via: Via
    at: datetime
    text: str = ""

    @property
    def user(self) -> AbstractBaseUser | None:
        return self.by if isinstance(self.by, AbstractBaseUser) else None

    @property
    def actor(self) -> str:
        return (self.by.get_username() if isinstance(self.by, AbstractBaseUser) else self.by or "")[:ACTOR_MAX]


def event(incident: int, verb: Verb, act: Act, data: Mapping[str, Any] = {}) -> IncidentEvent:
    """Not saved yet."""
    user: Any = act.user
    return IncidentEvent(
        incident_id=incident, at=act.at, verb=verb, user=user, actor=act.actor, via=act.via,
        text=act.text.replace("\0", "")[:TEXT_MAX], data=dict(data),
    )  # fmt: skip


def note(incident: int, verb: Verb, act: Act, data: Mapping[str, Any] = {}) -> None:
    """Something that is worth knowing, and changes nothing: somebody was told, evidence was frozen."""
    with transaction.atomic():
        event(incident, verb, act, data).save(force_insert=True)
        live.announce([incident])


def move(
    incident: Incident, verb: Verb, act: Act, when: Q, values: Mapping[str, Any] = {}, data: Mapping[str, Any] = {}
) -> bool:
    """Writes `values` and the event, if the incident is still as `when` says; else neither, and False."""
    changed: dict[str, Any] = {"event_at": act.at, **values}
    with transaction.atomic():
        if not Incident.objects.filter(when, pk=incident.pk).update(**changed):
            return False
        note(incident.pk, verb, act, data)
    return True


def who(incident: Incident, verb: Verb) -> str:
    """Who did that last; "" if nobody has, or it happened by itself."""
    return incident.events.filter(verb=verb).order_by("-at", "-pk").values_list("actor", flat=True).first() or ""
