"""Sends what is due: one event loop in a thread of each worker process, made with the first delivery.

A receiver that hangs holds only places of its own. Answers are written at once, by another thread, so that the loop
never waits for the database; a place is free again when the answer is written, so a killed process leaves few messages
of which nobody knows whether they were taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import uuid
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from time import perf_counter
from typing import Any, Final

import msgspec
from django.contrib.auth.models import AbstractBaseUser
from django.db import Error, close_old_connections, connections
from django.utils import timezone

from alerts import deliveries, meters, notifiers
from alerts.deliveries import Claimed, Result
from alerts.models import Channel, Delivery
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers import NotifierError
from alerts.samples import sample
from core import clock
from core.one_per_process import OnePerProcess

UNDER_WAY_MAX: Final = 100  # messages; each may be an open connection
CHANNEL_PLACES: Final = 2  # of them for one channel
TIME_LIMIT: Final = 10.0  # seconds for one message
WRITE_TIME: Final = 5.0  # seconds of the lease that are left for writing
HUNGRY: Final = 10  # messages that wait for a place: with fewer it looks for more
RETRY: Final = 1.0  # seconds after the database failed
FINISH: Final = 1.0  # seconds that those under way have at the end
STOP_MAX: Final = 6.0  # seconds for all of the end: the supervisor has little patience

log = logging.getLogger(__name__)


def send_due(now: datetime) -> int:
    """Takes what is due, has it sent and returns at once. How many were taken."""
    claimed = deliveries.claim(now)
    if claimed:
        _courier.get().take(claimed)
    return len(claimed)


def send_all(now: datetime) -> int:
    """Sends what is due and waits for the answers. For commands and tests; not from an event loop."""
    sent = 0
    while claimed := deliveries.claim(now):
        deliveries.record(asyncio.run(_tell_all(claimed)), now)
        sent += len(claimed)
    return sent


def test(channel: Channel, by: AbstractBaseUser | None) -> Delivery:
    """Sends a test message now, whatever waits, and returns it with its answer. Not from an event loop."""
    now, token = timezone.now(), uuid.uuid4().hex
    row = Delivery.objects.create(
        channel=channel, reason=Reason.TEST, created_at=now, claim=token, attempts=1,
        due_at=clock.micros(now) + deliveries.LEASE,
        notification=msgspec.to_builtins(sample(channel.receiver.name, by=by.get_username() if by else "")),
    )  # fmt: skip
    claimed = Claimed(row.pk, token, channel, row.notification, row.due_at or 0)
    deliveries.record(asyncio.run(_tell_all([claimed])), timezone.now())
    row.refresh_from_db()
    return row


async def _tell_all(several: Sequence[Claimed]) -> list[Result]:
    try:
        return await asyncio.gather(*map(tell, several))
    finally:
        await _close_connections()


async def tell(claimed: Claimed) -> Result:
    """Raises CancelledError only."""
    began = perf_counter()
    try:
        answer, error = await _sent(claimed), None
    except NotifierError as failed:
        answer, error = str(failed), failed
    meters.count_notification(claimed.channel.kind, error, perf_counter() - began)
    return Result(claimed, answer, round((perf_counter() - began) * 1_000), error)


async def _sent(claimed: Claimed) -> str:
    channel = claimed.channel
    try:
        notification = msgspec.convert(claimed.stored, Notification)
    except msgspec.ValidationError as error:
        raise notifiers.RefusedError(f"what was to be told can't be read: {error}") from None
    target = notifiers.target(
        channel.kind, channel.options, channel.secrets, channel.templates, delivery=f"pharos-{claimed.pk}",
        timeout=TIME_LIMIT,
    )  # fmt: skip
    return await notifiers.send(channel.kind, notification, target)


async def _close_connections() -> None:
    """Those of this event loop, which ends. Without an HTTP client there are none."""
    if client := sys.modules.get("core.http"):
        await client.close()


# --- The thread ----------------------------------------------------------------------------------------------------

Tell = Callable[[Claimed], Coroutine[Any, Any, Result]]


class Courier:
    """`take` may be called from any thread; the rest happens in the loop's own."""

    def __init__(self, tell: Tell = tell) -> None:
        self._tell = tell
        self._loop = asyncio.new_event_loop()
        self._writer = ThreadPoolExecutor(1, "delivery-answers")
        self._places = asyncio.Semaphore(UNDER_WAY_MAX)
        self._channels: dict[int, asyncio.Semaphore] = {}
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        self._begun: set[int] = set()
        self._results: list[tuple[Result, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._stopped = False
        # A daemon: what it leaves unfinished at the end of the process comes back when its lease ends.
        self._thread = threading.Thread(target=self._loop.run_forever, name="courier", daemon=True)
        self._thread.start()

    def take(self, claimed: Sequence[Claimed]) -> None:
        self._loop.call_soon_threadsafe(self._accept, claimed)

    def stop(self) -> None:
        """Gives those under way a moment, writes what is known, and hands back the rest."""
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(STOP_MAX)
        self._writer.shutdown(wait=False)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _accept(self, claimed: Sequence[Claimed]) -> None:
        if self._stopped:
            self._writer.submit(_release, claimed)
            return
        for each in claimed:
            task = self._loop.create_task(self._deliver(each))
            self._under_way[task] = each
            task.add_done_callback(self._under_way.pop)

    async def _deliver(self, claimed: Claimed) -> None:
        own = self._channels.setdefault(claimed.channel.pk, asyncio.Semaphore(CHANNEL_PLACES))
        async with own, self._places:
            left = (claimed.lease_end - clock.now()) / clock.SECOND
            if left < TIME_LIMIT + WRITE_TIME:
                return  # too late: when its lease ends it is due again
            self._begun.add(claimed.pk)
            result, written = await self._tell(claimed), self._loop.create_future()
            self._results.append((result, written))
            if self._writing is None:
                self._writing = self._loop.create_task(self._write())
            await written
            self._begun.discard(claimed.pk)

    async def _write(self) -> None:
        """Until everything is written; then it looks for what has become due meanwhile."""
        while self._results:
            pairs, self._results = self._results, []
            hungry = not self._stopped and len(self._under_way) - len(self._begun) < HUNGRY
            results = [result for result, _ in pairs]
            try:
                more = await self._loop.run_in_executor(self._writer, _write, results, hungry)
            except Error as error:
                log.error("Answers to %d messages wait: the database can't take them: %s", len(results), error)
                self._results = pairs + self._results
                await asyncio.sleep(RETRY)
                continue
            for _, written in pairs:
                if not written.done():  # cancelled, at the end
                    written.set_result(None)
            self._accept(more)
        self._writing = None

    async def _stop(self) -> None:
        self._stopped = True
        waiting = {task: each for task, each in self._under_way.items() if each.pk not in self._begun}
        for task in waiting:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=FINISH)
        for task in [*self._under_way]:
            task.cancel()
        if self._writing:
            await self._writing
        await _close_connections()
        await self._loop.run_in_executor(self._writer, _release, list(waiting.values()))
        await self._loop.run_in_executor(self._writer, connections.close_all)


def _write(results: Sequence[Result], go_on: bool) -> list[Claimed]:
    """In the writer's thread. What was claimed then. Raises django.db.Error: it shall be tried again."""
    close_old_connections()
    deliveries.record(results, timezone.now())
    return deliveries.claim(timezone.now()) if go_on else []


def _release(claimed: Sequence[Claimed]) -> None:
    with contextlib.suppress(Error):
        deliveries.release(claimed)


# --- The one of this process ---------------------------------------------------------------------------------------

_courier = OnePerProcess(Courier)
stop = _courier.stop
