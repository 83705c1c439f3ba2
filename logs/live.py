"""What live viewers see. The store is the truth, the channel layer carries wake-ups ("commit 17 is there"): a lost
wake-up costs a moment and never a line, and a viewer that was away asks for everything after the last commit it saw.

Each process reads a commit from the store once, for all its viewers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
from channels.layers import get_channel_layer
from django.db import close_old_connections

from core.wakeups import Publisher
from logs import meters
from logs.records import LogRecord
from logs.store import Backlog, log_stores

log = logging.getLogger(__name__)
T = TypeVar("T")

GROUP: Final = "logs.live"
EVENT: Final = "logs.committed"
KEPT_LINES: Final = 5_000  # records that a process keeps for its viewers
REPLAY_LINES: Final = 5_000  # lines that a viewer who was away gets again; of more, it is told the number
LOOKED_JUST_NOW: Final = 0.005  # seconds
POLL: Final = 1.0  # seconds after which a viewer looks without a wake-up
END_TRIES: Final = 3
END_TIMEOUT: Final = 1.0  # seconds of each


def publisher() -> Publisher[int]:
    """Tells all viewers of a commit."""
    return Publisher(GROUP, EVENT, max)


class Seen(msgspec.Struct, frozen=True):
    """What a viewer gets next."""

    newest: int
    records: list[LogRecord]  # by commit, then by position
    skipped: int
    commits: list[int]  # of each record


class Feed:
    """The newest commits of the store, read once for all viewers of this process."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, LogRecord]] = deque()  # of the commits floor < number <= newest
        self._floor = self._newest = -1
        self._lock = asyncio.Lock()
        self._looked_at = 0.0
        self._viewers = 0
        self._told = 0  # the newest commit that a wake-up told of
        self._bell = asyncio.Event()
        self._ear: asyncio.Task[None] | None = None
        # A thread of its own: slow pages don't hold up the live view.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live-feed")

    async def newest(self) -> int:
        """The store's newest commit."""
        return await self._in_thread(_last_commit)

    async def after(self, number: int, *, woken_by: int = 0) -> Seen:
        """Everything after commit `number`. `woken_by` is the commit that a wake-up told of, if one came."""
        async with self._lock:
            await self._catch_up(woken_by)
            if number >= self._floor:
                recent = [item for item in reversed(self._kept) if item[0] > number][::-1]
                return _seen(Backlog(self._newest, recent, 0))
        return _seen(await self._in_thread(_read, number))

    async def _catch_up(self, woken_by: int) -> None:
        now = time.monotonic()
        if self._newest >= woken_by > 0 or now - self._looked_at < LOOKED_JUST_NOW:
            return  # for another viewer
        if self._newest < 0:
            self._newest = self._floor = await self._in_thread(_last_commit)
        backlog = await self._in_thread(_read, self._newest)
        self._looked_at = now
        if backlog.skipped:
            self._kept.clear()
            self._floor = backlog.records[0][0] - 1 if backlog.records else backlog.newest
        self._kept.extend(backlog.records)
        self._newest = backlog.newest
        while len(self._kept) > KEPT_LINES or (self._kept and self._kept[0][0] <= self._floor):
            self._floor = max(self._floor, self._kept.popleft()[0])

    async def follow(self, number: int) -> AsyncGenerator[Seen, None]:
        """Everything after commit `number`, then everything new, for ever.

        Something comes at least every POLL seconds, perhaps without records, so that callers notice a viewer's end.
        They have to close it (`aclosing`): until then it is a viewer.
        """
        self._viewers += 1
        meters.VIEWERS.add(1)
        self._ear = self._ear or asyncio.create_task(self._listen())
        told = 0
        try:
            while True:
                seen = await self.after(number, woken_by=told)
                number = max(number, seen.newest)
                yield seen
                told = await self._next_wake_up(number)
        finally:
            self._viewers -= 1
            meters.VIEWERS.add(-1)
            if not self._viewers and self._ear:
                ear, self._ear = self._ear, None
                await _end(ear)

    async def _next_wake_up(self, number: int) -> int:
        """The newest commit told of, once it is beyond `number`; 0 when POLL seconds pass first."""
        if self._told > number:
            return self._told
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await self._bell.wait()
                return self._told
        return 0

    async def _listen(self) -> None:
        """Hears wake-ups for all viewers of the process. While Redis is away they poll."""
        layer = get_channel_layer()
        while not _is_cancelled():
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                while not _is_cancelled():
                    message = await layer.receive(channel)
                    self._told = max(self._told, int(message["news"]))
                    bell, self._bell = self._bell, asyncio.Event()
                    bell.set()
            except Exception as error:  # noqa: BLE001 - whatever the layer raises
                log.debug("No wake-ups: %s", error)
                await asyncio.sleep(POLL)

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _fresh, call, args)


def _is_cancelled() -> bool:
    """Before Python 3.12, a command of Redis that ends at the same moment keeps the cancellation for itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _end(ear: asyncio.Task[None]) -> None:
    """The channel layer unsubscribes before a cancelled task ends. When nobody answers, it is cancelled anew."""
    for _ in range(END_TRIES):
        ear.cancel()
        if (await asyncio.wait([ear], timeout=END_TIMEOUT))[0]:
            return


def _fresh(call: Callable[..., T], args: tuple[object, ...]) -> T:
    close_old_connections()
    return call(*args)


def _read(number: int) -> Backlog:
    return log_stores["default"].committed_after(number, limit=REPLAY_LINES)


def _last_commit() -> int:
    return log_stores["default"].last_commit()


def _seen(backlog: Backlog) -> Seen:
    return Seen(
        backlog.newest,
        [record for _, record in backlog.records],
        backlog.skipped,
        [commit for commit, _ in backlog.records],
    )


_feeds: dict[asyncio.AbstractEventLoop, Feed] = {}


def feed() -> Feed:
    """The feed of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _feeds:
        _feeds.clear()  # a loop that was left behind (tests) takes its feed along
        _feeds[loop] = Feed()
    return _feeds[loop]
