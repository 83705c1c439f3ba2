"""What is done with rules: switched on and off, cloned. Each leaves a line in the history that the admin shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from accounts.trail import recording
from alerts import evaluating
from alerts.models import AlertRule

NAME_MAX: Final = 100


def switch_on(rules: Sequence[AlertRule], by: AbstractBaseUser) -> int:
    """They are due at once. The number of those that were off."""
    return _switch(rules, by, on=True)


def switch_off(rules: Sequence[AlertRule], by: AbstractBaseUser) -> int:
    """Their alerts end. The number of those that were on."""
    return _switch(rules, by, on=False)


def _switch(rules: Sequence[AlertRule], by: AbstractBaseUser, *, on: bool) -> int:
    with transaction.atomic():
        other = AlertRule.objects.filter(pk__in=[rule.pk for rule in rules], enabled=not on).select_for_update()
        found = list(other)
        recording.update(AlertRule.objects.filter(pk__in=[rule.pk for rule in found]), {"enabled": on})
        _note(found, by, CHANGE, "Switched on." if on else "Switched off.")
        evaluating.apply([rule.pk for rule in found])
    return len(found)


def clone(rule: AlertRule, by: AbstractBaseUser) -> AlertRule:
    """A copy, switched off, with a name of its own."""
    twin = AlertRule.objects.get(pk=rule.pk)
    twin.pk, twin._state.adding = None, True
    twin.name = _free_name(rule.name)
    twin.enabled, twin.pack, twin.pack_key = False, "", ""
    fresh = AlertRule()
    for field in (*AlertRule.KEPT, "created_at"):
        setattr(twin, field, getattr(fresh, field))
    with transaction.atomic():
        twin.save()
        twin.receivers.set(rule.receivers.all())
        _note([twin], by, ADDITION, f"Cloned from {rule.name}.")
    return twin


def _free_name(name: str) -> str:
    taken = set(AlertRule.objects.filter(name__startswith=name[: NAME_MAX - 10]).values_list("name", flat=True))
    number = 2
    while (free := f"{name[: NAME_MAX - 10]} ({number})") in taken:
        number += 1
    return free


def _note(rules: Sequence[AlertRule], by: AbstractBaseUser, action: int, message: str) -> None:
    if rules:
        LogEntry.objects.log_actions(by.pk, rules, action, message)
