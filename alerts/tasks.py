"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from celery import shared_task
from django.utils import timezone

# In the order of an alert's way: what one of them finds, the next one takes in the same second.
PARTS: Final = (
    ("alerts.evaluating", "run_due"),
    ("alerts.alertmanager.received", "time_out"),
    ("alerts.dispatch", "flush"),
    ("alerts.escalation", "run_due"),
    ("alerts.sending", "send_due"),
)

# What may wait some seconds.
SLOW_PARTS: Final = (
    ("alerts.dispatch", "follow_routes"),
    ("alerts.expiry", "warn"),
    ("alerts.digests", "run_due"),
)
PRUNE_BUDGET: Final = 20.0  # seconds of each hour

log = logging.getLogger(__name__)
_failing: set[str] = set()  # parts whose last run failed: what fails each second is said once


@shared_task
def freeze_evidence() -> int:
    from alerts import evidence

    return evidence.run_due(timezone.now())


@shared_task
def tick() -> None:
    _run(PARTS)


@shared_task
def watch() -> None:
    _run(SLOW_PARTS)


@shared_task
def prune() -> int:
    from alerts import retention

    return retention.prune(timezone.now(), PRUNE_BUDGET)


def _run(parts: Sequence[tuple[str, str]]) -> None:
    """Each part by itself: what fails in one holds up none of the others."""
    now = timezone.now()
    for module, name in parts:
        part = f"{module}.{name}"
        try:
            getattr(import_module(module), name)(now)
        except Exception as error:
            if part in _failing:
                log.debug("%s failed again: %s", part, error)
            else:
                log.exception("%s failed, and is tried again until it works", part)
            _failing.add(part)
        else:
            if part in _failing:
                log.info("%s works again", part)
            _failing.discard(part)
