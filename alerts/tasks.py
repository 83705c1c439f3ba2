"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from celery import shared_task
from django.utils import timezone

WOKEN: Final = ("alerts.evaluating", "run_early")
TELLING: Final = (("alerts.dispatch", "flush"), ("alerts.sending", "send_due"))
# In the order of an alert's way: what one of them finds, the next one takes at once.
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
_failing: set[str] = set()  # parts whose last run failed: what fails at each tick is said once


@shared_task
def freeze_evidence() -> int:
    from alerts import evidence

    return evidence.run_due(timezone.now())


@shared_task
def tick() -> None:
    now = timezone.now()
    # Whoever waits for that does not wait for all rules whose turn it is.
    if _run(WOKEN, now):
        _run_all(TELLING, now)
    _run_all(PARTS, now)


@shared_task
def watch() -> None:
    _run_all(SLOW_PARTS, timezone.now())


@shared_task
def prune() -> int:
    from alerts import retention

    return retention.prune(timezone.now(), PRUNE_BUDGET)


def _run_all(parts: Sequence[tuple[str, str]], now: datetime) -> None:
    for part in parts:
        _run(part, now)


def _run(part: tuple[str, str], now: datetime) -> Any:
    """What it returned. Each part by itself: what fails in one holds up none of the others."""
    name = ".".join(part)
    try:
        found = getattr(import_module(part[0]), part[1])(now)
    except Exception as error:
        if name in _failing:
            log.debug("%s failed again: %s", name, error)
        else:
            log.exception("%s failed, and is tried again until it works", name)
        _failing.add(name)
        return None
    if name in _failing:
        log.info("%s works again", name)
    _failing.discard(name)
    return found
