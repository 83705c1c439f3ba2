"""Wake-ups for those who look on, sent through the channel layer from threads without an event loop.

A wake-up only says that there is something new; what it is stands in the database. So one may be lost, and several may
become one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from channels.layers import get_channel_layer

log = logging.getLogger(__name__)

T = TypeVar("T")
PAUSE = 0.5  # seconds after a failure


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
