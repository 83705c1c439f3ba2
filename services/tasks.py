"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celery import shared_task
from django.utils import timezone

from core import clock
from services import containers, heartbeats, maintenance, polling, rollups

UPKEEP_BUDGET: Final = 5.0  # seconds of each minute
HOUSE_BUDGET: Final = 30.0  # seconds of every ten minutes


@shared_task
def tick() -> int:
    """Shares out what is due."""
    claim = polling.claim(clock.now())
    for batch in claim.batches():
        ask.apply_async((claim.token, batch), expires=polling.BEGIN_WITHIN)
    return len(claim.due)


@shared_task
def ask(token: str, due: Sequence[polling.Due]) -> None:
    # Who watches nothing needs no event loop and no HTTP client.
    from services import asking

    asking.ask(token, due)


@shared_task
def watch_time() -> int:
    """What happens because it is time: windows open and close, jobs are missed. The number of changes."""
    now = timezone.now()
    return len(maintenance.settle_boundaries(now)) + len(heartbeats.settle_missed(now))


@shared_task
def settle() -> int:
    return polling.settle_due(timezone.now())


@shared_task
def upkeep() -> int:
    """Hours of results, and the end of old ones."""
    return rollups.upkeep(clock.now(), UPKEEP_BUDGET)


@shared_task
def prune_pings() -> int:
    return heartbeats.prune(timezone.now())


@shared_task
def watch_docker() -> None:
    containers.tick(clock.now())


@shared_task
def keep_samples() -> int:
    from services import samples

    return samples.keep_house(clock.now(), HOUSE_BUDGET)
