"""The way out of `manage.py listen`: records from all its sources, in batches, into the first log stream.

A record may come with a mark, the place up to which its source has now been read: `(key, position)`. A batch goes out
as one script, which Redis runs wholly or not at all: its lines, and the positions of its marks in the hash POSITIONS.
So a source that begins anew at its position sends each line once, whatever ended the last one.

The script also knows whether it has run before: a batch whose answer was lost is sent again, and Redis adds it only if
it isn't there. And it runs only for the process that holds the lease (`logs.sources.listen`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import msgspec
import redis
from django.conf import settings

from logs import meters, stream
from logs.records import LogRecord
from logs.sources import streams

log = logging.getLogger(__name__)

POSITIONS: Final = "pharos:positions"
LEASE: Final = "pharos:listen:lease"
LEASE_MS: Final = 5_000
SENT: Final = "pharos:listen:sent:"  # and the token of a process: the number of its last batch
SENT_FOR: Final = 86_400  # seconds

BATCH_LINES: Final = 1_000
BATCH_BYTES: Final = 4 << 20
LINGER: Final = 0.1  # seconds that a line waits for others
BUFFER_LINES: Final = 20_000
BUFFER_BYTES: Final = 16 << 20
LINE_OVERHEAD: Final = 200  # bytes of a line beside its text, about
LOOK_EVERY: Final = 1.0  # seconds between two looks at the backlog
BACKOFF_MAX: Final = 5.0

TOO_MUCH: Final = "more lines wait to be stored than PHAROS_LOG_BACKLOG_MAX_BYTES allows"

# 0: the lease is somebody else's. 1: added, now or before.
# ARGV: token, its milliseconds ("" if the lease doesn't matter), number of the batch, seconds to remember it, number of
# entries; of each entry the number of its words, and these; then keys and positions ("" to forget one).
SEND: Final = """
if ARGV[2] ~= '' then
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= ARGV[1] then return 0 end
end
if redis.call('GET', KEYS[3]) == ARGV[3] then return 1 end
redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
local at = 6
for _ = 1, tonumber(ARGV[5]) do
  local words = tonumber(ARGV[at])
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
for i = at, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[4], ARGV[i])
  else redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
end
return 1
"""

Mark = tuple[str, str]  # key, position


LISTEN: Final = "listen"  # what its lines are counted under


class LeaseLostError(Exception):
    """Another process listens now."""


class _Line(msgspec.Struct):
    record: LogRecord | None  # None: only a mark
    mark: Mark | None
    size: int


def _weighed(lines: Iterable[_Line]) -> tuple[int, int]:
    """Lines, and their bytes."""
    sizes = [line.size - LINE_OVERHEAD for line in lines if line.record is not None]
    return len(sizes), sum(sizes)


class Outlet:
    """One for a process; `token` names it among others. All methods belong to one event loop.

    Lines wait in a buffer of bounded size while Redis is away or full, or while too many lines wait to be stored.
    """

    def __init__(self, token: str, connect: Callable[[], redis.asyncio.Redis] = stream.connect_async) -> None:
        self.token = token
        self.sent = 0  # lines
        self.claims: set[str] = set()  # keys that a source works on: another one leaves them alone
        self.trouble = ""  # why nothing is sent at the moment, as a sentence
        self._client = connect()
        self._send_script: Any = self._client.register_script(SEND)
        self._lines: deque[_Line] = deque()
        self._size = 0
        self._positions: dict[str, str] = {}  # of the marks in the buffer
        self._batch = 0
        self._arrived, self._enough, self._room, self._empty = (asyncio.Event() for _ in range(4))
        self._room.set()
        self._empty.set()
        self._hurry = False
        self._backlog = 0
        self._next_look = 0.0

    # --- For the sources -------------------------------------------------------------------------------------------

    async def put(self, record: LogRecord, mark: Mark | None = None) -> None:
        """Waits while the buffer is full. Cancelled while it waits, the record is not taken."""
        while not self._room.is_set():
            await self._room.wait()
        self._add(record, mark)

    def offer(self, record: LogRecord) -> bool:
        """Never waits. False: there is no room, the record is not taken."""
        if self._room.is_set():
            self._add(record, None)
            return True
        return False

    async def position(self, key: str) -> str | None:
        """The position of the last mark with this key: what comes after it was never taken. Waits for Redis."""
        wait = 0.0
        while key not in self._positions:
            try:
                found: Any = await self._client.hget(POSITIONS, key)
            except (redis.RedisError, OSError) as error:
                wait = await self._pause(f"Redis doesn't answer: {error}", wait)
            else:
                self._over()
                return found.decode() if found is not None else None
        return self._positions[key] or None

    async def move(self, key: str, position: str) -> None:
        """A mark without a record."""
        while not self._room.is_set():
            await self._room.wait()
        self._add(None, (key, position))

    async def forget(self, key: str) -> None:
        """Removes a position that is of no use any more."""
        await self.move(key, "")

    def _add(self, record: LogRecord | None, mark: Mark | None) -> None:
        size = LINE_OVERHEAD
        if record is not None:
            size += len(record.message) + len(record.title) + len(record.metadata)
        self._lines.append(_Line(record, mark, size))
        self._size += size
        if mark:
            self._positions[mark[0]] = mark[1]
        self._arrived.set()
        self._empty.clear()
        if len(self._lines) >= BATCH_LINES or self._size >= BATCH_BYTES:
            self._enough.set()
        if len(self._lines) >= BUFFER_LINES or self._size >= BUFFER_BYTES:
            self._room.clear()

    # --- For the process -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sends what comes, until cancelled. Raises LeaseLostError; `rescue` then sends what would be lost."""
        while True:
            await self._arrived.wait()
            if not self._hurry:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._enough.wait(), LINGER)
            batch = self._next_batch()
            await self._send(batch, leased=True)
            self._remove(len(batch))

    async def finish(self, seconds: float) -> int:
        """Waits until all is sent, at most so long. The number of lines that are left and had no mark: they go."""
        self._hurry = True
        self._enough.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)
        return sum(line.mark is None for line in self._lines)

    async def rescue(self, seconds: float) -> int:
        """After the lease was lost. Lines with a mark are read again by whoever has it now; the others are sent here.

        The number of lines that could not be sent.
        """
        self._lines = deque(line for line in self._lines if line.mark is None)
        self._positions.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while batch := self._next_batch():
                    await self._send(batch, leased=False)
                    self._remove(len(batch))
        return len(self._lines)

    async def close(self) -> None:
        await self._client.aclose()

    def _next_batch(self) -> list[_Line]:
        batch: list[_Line] = []
        size = 0
        for line in islice(self._lines, BATCH_LINES):
            size += line.size
            if batch and size > BATCH_BYTES:
                break
            batch.append(line)
        return batch

    def _remove(self, count: int) -> None:
        meters.count_arrival(LISTEN, *_weighed(islice(self._lines, count)))
        for _ in range(count):
            line = self._lines.popleft()
            self._size -= line.size
            self.sent += line.record is not None
            if line.mark and self._positions.get(line.mark[0]) == line.mark[1]:
                del self._positions[line.mark[0]]
        if len(self._lines) < BATCH_LINES and self._size < BATCH_BYTES and not self._hurry:
            self._enough.clear()
        if len(self._lines) < BUFFER_LINES and self._size < BUFFER_BYTES:
            self._room.set()
        if not self._lines:
            self._arrived.clear()
            self._empty.set()

    async def _send(self, batch: Sequence[_Line], *, leased: bool) -> None:
        """Until Redis has it."""
        records = [line.record for line in batch if line.record is not None]
        entries = await asyncio.to_thread(_sealed, records) if records else []
        marks = dict(line.mark for line in batch if line.mark)
        self._batch += 1
        words = [len(entries)]
        for entry in entries:
            words += [2 * len(entry), *(part for pair in entry.items() for part in pair)]  # type: ignore[list-item]
        arguments = [
            self.token, LEASE_MS if leased else "", self._batch, SENT_FOR, *words,
            *(part for mark in marks.items() for part in mark),
        ]  # fmt: skip
        keys = [settings.LOG_STREAMS[0], LEASE, SENT + self.token, POSITIONS]
        wait = 0.0
        while True:
            try:
                if records and await self._backlog_bytes() > settings.LOG_BACKLOG_MAX:
                    wait = await self._pause(TOO_MUCH, wait)
                    continue
                ours = await self._send_script(keys=keys, args=arguments)
            except redis.exceptions.OutOfMemoryError:
                wait = await self._pause("Redis has no memory left for more lines", wait)
            except (redis.RedisError, OSError) as error:
                wait = await self._pause(f"Redis doesn't take them: {error}", wait)
            else:
                self._over()
                if not ours:
                    raise LeaseLostError
                return

    async def _backlog_bytes(self) -> int:
        if time.monotonic() >= self._next_look:
            names = streams.active(await self._client.get(streams.REPORT))
            self._backlog = await stream.backlog_bytes(self._client, names)
            self._next_look = time.monotonic() + LOOK_EVERY
        return self._backlog

    async def _pause(self, trouble: str, before: float) -> float:
        """Says a trouble once, and waits longer each time. How long it was."""
        if not self.trouble:
            log.warning("Lines wait here, nothing is lost that can wait: %s", trouble)
        self.trouble = trouble
        wait = min(BACKOFF_MAX, before * 2 or 0.1)
        await asyncio.sleep(wait)
        return wait

    def _over(self) -> None:
        if self.trouble:
            log.info("Lines are sent again")
        self.trouble = ""


def _sealed(records: Sequence[LogRecord]) -> list[dict[bytes, bytes]]:
    """A record that can't be packed is a mistake of ours: it must not hold up the others for ever."""
    try:
        return stream.chunks(records)
    except Exception:
        log.exception("A line could not be packed and is left out")
        if len(records) == 1:
            return []
        middle = len(records) // 2
        return _sealed(records[:middle]) + _sealed(records[middle:])
