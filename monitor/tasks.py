"""What Celery beat has done for the installation itself."""

from __future__ import annotations

import logging
from typing import Final

from celery import shared_task

from core import clock
from logs import stream
from monitor import health

log = logging.getLogger(__name__)

SAY_EVERY: Final = 2  # ticks


@shared_task
def tick() -> None:
    """Proves that beat, broker and worker work: readiness asks when it last ran. Says now and then how things are."""
    client = stream.connect(timeout=2.0)
    try:
        ticks = client.incr(f"{stream.ALIVE}worker:ticks")
        client.set(f"{stream.ALIVE}worker", ticks, ex=stream.ALIVE_FOR)
        client.set(stream.TICKED, clock.now())
    finally:
        client.close()
    if ticks % SAY_EVERY == 1:
        lag = health.ingest_lag()
        log.info("All is well: %s", lag.detail if lag.healthy else f"not so: {lag.detail}", extra={"tick": ticks})


@shared_task
def outside_heartbeat() -> None:
    from monitor import watchdog

    watchdog.beat()
