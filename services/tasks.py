"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from core import clock
from services import containers

HOUSE_BUDGET: Final = 30.0  # seconds of every ten minutes


@shared_task
def watch_docker() -> None:
    containers.tick(clock.now())


@shared_task
def keep_samples() -> int:
    from services import samples

    return samples.keep_house(clock.now(), HOUSE_BUDGET)
