"""What people edit has consequences at once: a rule is evaluated anew, or its alerts end."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save, pre_delete
from django.utils import timezone

from alerts.models import AlertRule


def connect() -> None:
    post_save.connect(_rule_saved, AlertRule)
    pre_delete.connect(_rule_deleted, AlertRule)


def _rule_saved(instance: AlertRule, raw: bool = False, **_: Any) -> None:
    from alerts import evaluating  # where it is needed: it takes memory

    if not raw:
        transaction.on_commit(partial(evaluating.apply, [instance.pk]))


def _rule_deleted(instance: AlertRule, **_: Any) -> None:
    from alerts import evaluating

    evaluating.end_alerts([instance.pk], timezone.now())
