"""Wake-ups for those who look on, sent through the channel layer from threads without an event loop.

A wake-up only says that there is something new; what it is stands in the database. So one may be lost, and several may
become one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Final, Generic, TypeVar

from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
PAUSE = 0.5  # seconds after a failure
TOLD_MAX: Final = 500  # ids in one wake-up; one more stands for "many, look at everything"


class Publisher(Generic[T]):
    """`publish(news)` returns at once; a thread of its own sends `{"type": event, "news": news}` to the group.

    News that come faster than they are sent are merged.
    """

    def __init__(self, group: str, event: str, merge: Callable[[T, T], T]) -> None:
        self._group, self._event, self._merge = group, event, merge
        self._waiting: list[T] = []
        self._lock = threading.Lock()
        self._told = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        # A daemon: it has nothing to finish, and nobody shall wait for it at the end of the process.
        threading.Thread(target=self._run, name=f"{group}-publisher", daemon=True).start()

    def __call__(self, news: T) -> None:
        with self._lock:
            self._waiting = [self._merge(self._waiting[0], news)] if self._waiting else [news]
        self._loop.call_soon_threadsafe(self._told.set)

    def _run(self) -> None:
        self._loop.run_until_complete(self._send_for_ever())

    async def _send_for_ever(self) -> None:
        layer = get_channel_layer()
        while True:
            await self._told.wait()
            self._told.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, []
            for news in waiting:
                try:
                    await layer.group_send(self._group, {"type": self._event, "news": news})
                except Exception as error:  # noqa: BLE001 - whatever the layer raises: those who look on poll meanwhile
                    log.debug("No wake-up for %s: %s", self._group, error)
                    await asyncio.sleep(PAUSE)


class Announcer:
    """Tells a group which rows have changed, by their ids, once the transaction is over."""

    def __init__(self, group: str, event: str) -> None:
        self._group, self._event = group, event

    def __call__(self, rows: Iterable[int]) -> None:
        told = sorted(set(rows))
        if told:
            transaction.on_commit(partial(self._tell, told), robust=True)

    def _tell(self, rows: list[int]) -> None:
        self._publisher(rows[: TOLD_MAX + 1])

    @cached_property
    def _publisher(self) -> Publisher[list[int]]:
        # It starts a thread: only where there is something to tell.
        return Publisher(self._group, self._event, _merged)


def _merged(before: list[int], after: list[int]) -> list[int]:
    return sorted({*before, *after})[: TOLD_MAX + 1]
