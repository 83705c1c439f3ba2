"""The clock of the worker: Celery's, of which one runs. Others wait for its lease in Redis and go on where it was.

A clock that was stopped for longer than its lease (a laptop's lid, SIGSTOP) may send what it was about to send when it
wakes up, and then finds out that another one has the lease. A task that comes twice does no harm: what is due is a row
that only one can claim.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import redis
from celery.beat import ScheduleEntry, Scheduler

from logs import stream
from logs.sources.listen import RELEASE, RENEW

log = logging.getLogger(__name__)

LEASE: Final = "pharos:beat:lease"
LEASE_MS: Final = 5_000
RENEW_EVERY: Final = 1.0  # seconds
RAN: Final = "pharos:beat:ran"  # name of an entry → when it was sent last, seconds since 1970
REMEMBER: Final = 60.0  # seconds: entries that come more often begin anew after a change of clocks


class Clock(Scheduler):
    """`celery beat -S monitor.beat:Clock`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = stream.connect(timeout=2.0)
        self._renew, self._release = map(self._client.register_script, (RENEW, RELEASE))
        self._token = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._ours = False
        self._next_look = 0.0
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> float:
        """Sends one task if one is due. The seconds until the next tick."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + RENEW_EVERY
            self._look()
        if not self._ours:
            return RENEW_EVERY
        return min(super().tick(*args, **options), RENEW_EVERY)

    def reserve(self, entry: Any) -> Any:
        if _seconds(entry) >= REMEMBER:
            with contextlib.suppress(redis.RedisError):  # without Redis it can't be sent either
                self._client.hset(RAN, entry.name, time.time())
        return super().reserve(entry)

    def close(self) -> None:
        if self._ours:
            self._ours = False
            try:
                self._release(keys=[LEASE], args=[self._token])
            except redis.RedisError as error:
                log.warning("The lease of the clock ends by itself: %s", error)
        super().close()

    def _look(self) -> None:
        """Takes the lease, or keeps it."""
        before = self._ours
        try:
            self._ours = bool(self._renew(keys=[LEASE], args=[self._token, LEASE_MS]))
            if self._ours and not before:
                self._begin()
        except redis.RedisError as error:
            if before:
                log.warning("Nothing is sent to the worker until Redis answers: %s", error)
            self._ours = False

    def _begin(self) -> None:
        """Rare tasks are due when they would have been without a change of clocks, all others now."""
        for name, entry in self.schedule.items():
            if _seconds(entry) >= REMEMBER and (ran := self._client.hget(RAN, name)):
                entry.last_run_at = datetime.fromtimestamp(float(ran), UTC)
        self._heap = None  # made anew by the next tick
        log.info("This clock runs now")


def _seconds(entry: ScheduleEntry) -> float:
    """Between two runs; every entry of ours has an interval."""
    schedule: Any = entry.schedule
    return float(schedule.run_every.total_seconds())
