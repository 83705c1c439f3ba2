"""What people edit has consequences at once: services are judged anew, checks are asked as their new interval says."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from services import polling, statuses
from services.models import Check, Dependency, Service


def connect() -> None:
    post_save.connect(_service_saved, Service)
    post_save.connect(_check_saved, Check)
    post_delete.connect(_check_deleted, Check)
    post_save.connect(_dependency_changed, Dependency)
    post_delete.connect(_dependency_changed, Dependency)


def _service_saved(instance: Service, raw: bool = False, **_: Any) -> None:
    if not raw:
        _settle(instance.pk)


def _check_saved(instance: Check, raw: bool = False, **_: Any) -> None:
    if not raw:
        polling.hasten(instance)
        _settle(instance.service_id)


def _check_deleted(instance: Check, **_: Any) -> None:
    _settle(instance.service_id)


def _dependency_changed(instance: Dependency, raw: bool = False, **_: Any) -> None:
    if not raw:
        _settle(instance.child_id)


def _settle(service: int) -> None:
    transaction.on_commit(partial(_settle_now, service))


def _settle_now(service: int) -> None:
    statuses.settle([service], timezone.now())
