"""What Celery beat has done for the room. Verbs are elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError

from core import clock, disk
from logs import archive as archives
from logs import retention
from logs.store import log_stores

BUDGET: Final = 2.0  # seconds of a 5 s tick
RETENTION_BUDGET: Final = 60.0  # seconds of every ten minutes; what is left over waits for the next

log = logging.getLogger(__name__)

_waiting: set[str] = set()  # what found the disk full the last time


@shared_task
def maintain() -> int:
    return _where_there_is_room("Merging", lambda: log_stores["default"].maintain(BUDGET))


@shared_task
def retain() -> int:
    return _where_there_is_room(
        "Deleting old lines", lambda: retention.retain(log_stores["default"], RETENTION_BUDGET, clock.now())
    )


def _where_there_is_room(what: str, work: Callable[[], int]) -> int:
    """What `work` gives; 0 while the disk is full, which each process says once."""
    try:
        done = work()
    except DatabaseError as error:
        if not disk.is_full(error):
            raise
        if what not in _waiting:
            _waiting.add(what)
            log.error("%s waits: %s is full. Free some space on it", what, disk.disk_of(settings.LOG_DATABASE))
        return 0
    _waiting.discard(what)
    return done


@shared_task
def archive() -> int:
    """Also what somebody asked for in the admin: to restore a day, to remove restored lines."""
    return archives.run(log_stores["default"])
