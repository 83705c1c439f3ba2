"""What Celery beat has done for the room. Verbs are elsewhere."""

from typing import Final

from celery import shared_task

from logs.store import log_stores

BUDGET: Final = 2.0  # seconds of a 5 s tick


@shared_task
def maintain() -> int:
    return log_stores["default"].maintain(BUDGET)
