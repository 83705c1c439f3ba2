"""What Celery beat has done for the room. Verbs are elsewhere."""

from typing import Final

from celery import shared_task

from core import clock
from logs import retention
from logs.store import log_stores

BUDGET: Final = 2.0  # seconds of a 5 s tick
RETENTION_BUDGET: Final = 60.0  # seconds of every ten minutes; what is left over waits for the next


@shared_task
def maintain() -> int:
    return log_stores["default"].maintain(BUDGET)


@shared_task
def retain() -> int:
    return retention.retain(log_stores["default"], RETENTION_BUDGET, clock.now())
