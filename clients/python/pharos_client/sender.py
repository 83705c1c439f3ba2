"""Lines on their way: a bounded buffer, and a thread that sends what is in it in batches.

Who logs only appends to a deque. Everything that may take time or fail is done by the thread, which starts with the
first line, in each process anew. While lines come it looks for them by itself: to wake a thread costs whoever does it
as much as the rest of the call. Nor does a call take a lock: most calls come after a pause, when none of this is in the
processor's caches any more, and then each further function costs some microseconds.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pharos_client import lines, stderr
from pharos_client.breaker import Breaker, State
from pharos_client.lines import Line, Recipe
from pharos_client.settings import Settings
from pharos_client.transports import AwayError, RefusedError, Transport
from pharos_client.values import Cleaner

BATCH_BYTES: Final = 1 << 20
EXIT_SECONDS: Final = 2.0
LINGER: Final = 1.0  # seconds after the last line in which the thread looks for more
YIELD: Final = 32  # lines after which who logs faster than they are sent lets the thread go first
TURN: Final = 8  # lines that the thread makes before others get their turn
SAY_EVERY: Final = 60.0  # seconds before a sentence about the same thing is written again
LARGE: Final = 16 << 10  # bytes; while lines are larger, each is counted at once, and not when the thread looks

Item = bytes | Recipe  # a line, or what makes it


@dataclass
class _Batch:
    items: list[Item] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)  # of the items, once they are made
    size: int = 0  # bytes; until then about
    is_late: bool = False  # tried before, and written to stderr
    may_go: bool = True  # the breaker allows to send it


class Sender:
    """`put` never raises and never waits for more than the copying of a batch."""

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport = transport
        self._settings = settings
        # Lines that the thread is left to make. It may be waiting for an answer meanwhile, for as long as a timeout.
        self._enough = max(settings.batch_lines, settings.buffer_lines // 2)
        self._said: dict[str, float] = {}
        self._begin()
        _senders.add(self)

    def _begin(self) -> None:
        # Reentrant: a signal handler or a destructor may log while its own thread is in here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._arrived: deque[Recipe] = deque()  # who appends has no lock
        self._arrived_max = self._settings.batch_lines
        self._looked = 0.0  # when they were last taken in
        self._fresh: deque[tuple[float, Item, int]] = deque()  # with a time before which it didn't come, and its size
        self._late: deque[bytes] = deque()
        self._sending = _Batch()
        self._bytes = 0  # of all three
        self._dropped = 0
        self._hurries = self._closing = False
        self._looks = False  # the thread, by itself: it is there, and won't sleep longer than a batch may wait
        self._breaker = Breaker()
        self._thread: threading.Thread | None = None
        self._ident = 0

    @property
    def state(self) -> State:
        """Of the circuit breaker."""
        return self._breaker.state

    # --- Who logs --------------------------------------------------------------------------------------------------

    def put(self, line: Line) -> None:
        try:
            data = lines.encoded(line)
        except Exception as error:  # noqa: BLE001 - whoever logs has other things to do
            data = lines.encoded(lines.unmade(self._settings.service, error))
        self._put(data, len(data))

    def put_later(self, recipe: Recipe) -> None:
        """The thread makes the line, unless it has enough to do."""
        if len(self._fresh) >= self._enough:
            data = self._made(recipe)
            self._put(data, len(data))
        elif threading.get_ident() != self._ident:
            self._arrived.append(recipe)
            # In this order: the thread says that it won't look, and then looks once more.
            if not self._looks or len(self._arrived) >= self._arrived_max:
                self._put()

    def _put(self, item: Item | None = None, size: int = 0) -> None:
        """Takes in what has arrived, and then the item, if there is one."""
        if threading.get_ident() == self._ident:
            return  # told of the sending itself: it would be sent, and told of, and sent
        try:
            with self._lock:
                self._take_in(self._looked if self._looks else time.monotonic())
                if item is not None:
                    self._add(item, size, time.monotonic())
                if self._thread is None:
                    self._start()
                elif not self._looks or len(self._fresh) >= self._settings.batch_lines:
                    self._looks = True
                    self._changed.notify_all()
            if len(self._fresh) >= self._enough and not len(self._fresh) % YIELD:
                time.sleep(0)
        except Exception as error:  # noqa: BLE001 - see above
            self._say("put", f"a line could not be taken ({type(error).__name__}: {error})")

    def _take_in(self, since: float) -> None:
        """What has arrived, not before `since`."""
        self._looked = time.monotonic()
        largest = 0
        while self._arrived:
            try:
                maker, fields, args, around = recipe = self._arrived.popleft()
            except IndexError:  # a signal handler was in here, and took it
                break
            size = maker.size_of(fields, args, around)
            self._add(recipe, size, since)
            largest = max(largest, size)
        self._arrived_max = 1 if largest > LARGE else self._settings.batch_lines

    def _add(self, item: Item, size: int, since: float) -> None:
        self._fresh.append((since, item, size))
        self._bytes += size
        self._bound()

    def _bound(self) -> None:
        """Drops the oldest lines that are too many. What is being sent can't be dropped any more."""
        while self._late or self._fresh:
            waiting = len(self._fresh) + len(self._late) + len(self._sending.items)
            if waiting <= self._settings.buffer_lines and self._bytes <= self._settings.buffer_bytes:
                return
            self._bytes -= len(self._late.popleft()) if self._late else self._fresh.popleft()[2]
            self._dropped += 1

    def flush(self, seconds: float = EXIT_SECONDS) -> bool:
        """Waits until everything is sent, and no longer than it makes sense: True if nothing is left."""
        with self._changed:
            self._hurries = True
            if self._arrived:
                self._put()
            self._changed.notify_all()
            self._changed.wait_for(self._rests, seconds)
            self._hurries = False
            return not (self._arrived or self._fresh or self._late or self._sending.items)

    def close(self, seconds: float = EXIT_SECONDS) -> None:
        """Sends what is left. What can't be sent in this time is written to stderr."""
        with self._changed:
            self._breaker.hurry()
            self._closing = True
        if self.flush(seconds):
            return
        with self._changed:
            self._take_in(self._looked)
            unwritten = [item for _, item, _ in self._fresh]
            number = len(self._sending.items) + len(self._late) + len(unwritten)
            if not self._sending.is_late:
                unwritten = [*self._sending.items, *unwritten]
                self._sending.is_late = True
            self._fresh.clear()
            self._late.clear()
            self._bytes = self._sending.size
        self._echo(map(self._made, unwritten))
        stderr.write([f"pharos_client: {number:,} lines were not sent before the end".encode()])

    def _rests(self) -> bool:
        if self._thread is None:
            return True
        if self._arrived or self._fresh or self._sending.items:
            return False
        return not self._late or (self._breaker.state is State.OPEN and not self._is_due(time.monotonic()))

    # --- The thread ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._closing = False
        thread = threading.Thread(target=self._run, name="pharos-sender", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends, or there are too many threads
            self._echo([self._made(item) for _, item, _ in self._fresh])
            self._fresh.clear()
            self._bytes = 0
            return
        self._thread = thread
        for name in ("multiprocessing.util", "billiard.util"):
            # Their children end without atexit.
            if module := sys.modules.get(name):
                module.Finalize(None, self.close, exitpriority=0)

    def _run(self) -> None:
        self._ident = threading.get_ident()
        try:
            while batch := self._next():
                self._deliver(batch)
        except Exception as error:  # noqa: BLE001 - the next line starts another thread
            self._say("run", f"the sending thread failed ({type(error).__name__}: {error})")
        finally:
            with self._changed:
                self._thread, self._ident, self._looks = None, 0, False
                self._changed.notify_all()

    def _next(self) -> _Batch | None:
        """Waits for a batch; None when there will be no more."""
        with self._changed:
            lingers = time.monotonic() + LINGER
            while not self._is_due(now := self._looking()):
                wait = self._wait(now)
                if wait is None and self._closing:
                    return None
                look = self._settings.batch_seconds
                if now < lingers and (wait is None or wait > look):
                    wait = look
                self._looks = wait is not None and wait <= look
                if self._looks or not self._arrived:
                    self._changed.wait(wait)
            self._looks = True  # as soon as the batch is sent
            batch = self._sending = self._taken(now)
        for place, item in enumerate(batch.items, 1):
            batch.lines.append(self._made(item))
            # With a backlog a turn given away may come back milliseconds later, and lines would be dropped.
            if not place % TURN and len(self._fresh) < self._settings.batch_lines:
                time.sleep(0)
        with self._changed:
            size = sum(map(len, batch.lines))
            self._bytes += size - batch.size
            batch.size = size
        return batch

    def _looking(self) -> float:
        self._take_in(self._looked)
        return self._looked

    def _is_due(self, now: float) -> bool:
        wait = self._wait(now)
        return wait is not None and wait <= 0

    def _wait(self, now: float) -> float | None:
        """Seconds until there is something to do; None if nothing is there."""
        waits = []
        if self._late:
            waits.append(self._breaker.remaining(now))
        if self._fresh:
            is_full = self._hurries or len(self._fresh) >= self._settings.batch_lines
            waits.append(0.0 if is_full else self._fresh[0][0] + self._settings.batch_seconds - now)
        return min(waits, default=None)

    def _taken(self, now: float) -> _Batch:
        may_go = self._breaker.allows(now)
        batch = _Batch(is_late=may_go and bool(self._late), may_go=may_go)
        while len(batch.items) < self._settings.batch_lines and batch.size < BATCH_BYTES:
            if batch.is_late and self._late:
                late = self._late.popleft()
                batch.items.append(late)
                batch.size += len(late)
            elif not batch.is_late and self._fresh:
                _, item, size = self._fresh.popleft()
                batch.items.append(item)
                batch.size += size
            else:
                break
        return batch

    def _made(self, item: Item) -> bytes:
        if isinstance(item, bytes):
            return item
        try:
            return lines.encoded(lines.made(item))
        except Exception as error:  # noqa: BLE001 - a bad line must not hold up the others
            return lines.encoded(lines.unmade(self._settings.service, error))

    def _deliver(self, batch: _Batch) -> None:
        if not batch.may_go:
            self._keep(batch)
            return
        try:
            complaint = self._transport.send(batch.lines)
        except RefusedError as error:
            number = f"{len(batch.lines):,} lines"
            self._say("refused", f"{number} are dropped, {self._transport.name} won't take them ({error})")
            self._done(batch, dropped=len(batch.lines))
        except Exception as error:  # noqa: BLE001 - AwayError, or a mistake in a transport
            self._breaker.failed(time.monotonic(), error.retry_after if isinstance(error, AwayError) else None)
            self._say("away", f"{self._transport.name} is away, lines are kept and sent later ({error})")
            self._keep(batch)
        else:
            if complaint:
                self._say("rejected", complaint)
            if self._said.pop("away", None):
                self._say("again", f"{self._transport.name} takes lines again")
            self._done(batch)

    def _keep(self, batch: _Batch) -> None:
        if not batch.is_late:
            self._echo(batch.lines)
        with self._changed:
            if batch.is_late:
                self._late.extendleft(reversed(batch.lines))
            else:
                self._late.extend(batch.lines)
            self._sending = _Batch()
            self._bound()
            self._changed.notify_all()

    def _done(self, batch: _Batch, dropped: int = 0) -> None:
        with self._changed:
            self._breaker.succeeded()
            self._bytes -= batch.size
            self._sending = _Batch()
            if dropped:
                self._dropped += dropped
            elif self._dropped:
                told = self._told_of_drops()
                self._add(told, len(told), time.monotonic())
                self._dropped = 0
            self._changed.notify_all()

    def _told_of_drops(self) -> bytes:
        message = f"{self._dropped:,} lines were dropped while {self._transport.name} took none"
        line = lines.make(
            Cleaner(()),
            level="warn",
            service=self._settings.service,
            logger="pharos_client",
            message=message,
            more={"dropped": self._dropped},
        )
        return lines.encoded(line)

    # --- Words to the operator -------------------------------------------------------------------------------------

    def _echo(self, batch: Iterable[bytes]) -> None:
        if self._settings.stderr:
            stderr.write(batch)

    def _say(self, about: str, sentence: str) -> None:
        now = time.monotonic()
        if now - self._said.get(about, -SAY_EVERY) >= SAY_EVERY:
            self._said[about] = now
            stderr.write([f"pharos_client: {sentence}".encode("utf-8", "replace")])

    # --- A fork ----------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        self._changed.acquire()

    def after_fork_in_parent(self) -> None:
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """The child begins anew: what waits is the parent's to send, and so is the connection."""
        self._begin()
        self._transport.forget()


_senders: weakref.WeakSet[Sender] = weakref.WeakSet()
_forking: list[Sender] = []


def _before_fork() -> None:
    _forking[:] = list(_senders)
    for sender in _forking:
        sender.before_fork()


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().after_fork_in_parent()


def _after_fork_in_child() -> None:
    while _forking:
        _forking.pop().after_fork_in_child()


def close_all(seconds: float = EXIT_SECONDS) -> None:
    """Of all senders together: the process ends."""
    end = time.monotonic() + seconds
    for sender in list(_senders):
        sender.close(max(end - time.monotonic(), 0.05))


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(close_all)
