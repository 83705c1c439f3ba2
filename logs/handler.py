"""Our own log lines, into the same stream as everybody's: a logging handler that never blocks, raises or feeds itself.

A thread of its own sends what was logged; lines wait in a bounded buffer while Redis is away, and the oldest go first.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Final

import msgspec
import redis
from django.conf import settings

from core import clock
from logs import meters
from logs.context import request_id, trace
from logs.records import Level, LogRecord

BUFFER: Final = 10_000  # lines
FLUSH_EVERY: Final = 0.1  # seconds
RETRY_EVERY: Final = 1.0
END_TIMEOUT: Final = 3.0  # seconds in which the rest is sent at the end
# Their lines tell of the sending itself.
SILENT: Final = ("redis", "logs.handler")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "request",
    "color_message",
}


class StreamHandler(logging.Handler):
    """`service` is what the lines are listed under; the process's role by default (PHAROS_PROCESS)."""

    def __init__(self, service: str = "") -> None:
        super().__init__()
        self.service = service or os.environ.get("PHAROS_PROCESS") or "pharos"
        self._waiting: deque[LogRecord] = deque(maxlen=BUFFER)
        self._dropped = 0
        self._sender: threading.Thread | None = None
        self._pid = 0
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._ending = threading.Event()
        atexit.register(self.close)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(SILENT) or threading.current_thread() is self._sender:
            return
        try:
            line = self._line(record)
        except Exception:  # noqa: BLE001 - a bad line must not hurt who logs it
            self.handleError(record)
            return
        if len(self._waiting) == BUFFER:
            self._dropped += 1
        self._waiting.append(line)
        self._wake.set()
        if self._pid != os.getpid():  # the first line, or the first after a fork
            self._start()

    def _line(self, record: logging.LogRecord) -> LogRecord:
        more = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0]:
            more["error"] = {
                "name": record.exc_info[0].__name__,
                "message": str(record.exc_info[1]),
                "stack": logging.Formatter().formatException(record.exc_info),
            }
        trace_id, span_id = trace.get()
        return LogRecord(
            timestamp=int(record.created * 1e6),
            level=_level(record.levelno),
            service=self.service,
            logger=record.name,
            message=record.getMessage(),
            request_id=request_id.get(),
            trace_id=trace_id,
            span_id=span_id,
            metadata=msgspec.json.encode(more, enc_hook=str),
        )

    def _start(self) -> None:
        with self.lock or threading.RLock():
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._ending.clear()
                self._sender = threading.Thread(target=self._run, name="log-sender", daemon=True)
                self._sender.start()

    def _run(self) -> None:
        from logs import stream

        client = stream.connect(timeout=2.0)
        ending = False
        while not ending:
            self._wake.wait()
            self._wake.clear()
            ending = self._ending.wait(FLUSH_EVERY)  # a burst travels together
            while self._waiting:
                if not self._send(client) and self._ending.wait(RETRY_EVERY):
                    break
            self._idle.set()

    def _send(self, client: redis.Redis) -> bool:
        from logs import stream

        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), 1_000))]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            meters.DROPPED.add(dropped, "buffer")
            message = f"{dropped:,} lines were dropped while Redis was away"
            batch.append(LogRecord(clock.now(), Level.WARN, self.service, message, logger=__name__))
        try:
            pipe = client.pipeline(transaction=False)
            for entry in stream.chunks(batch):
                pipe.xadd(settings.LOG_STREAMS[0], entry)  # type: ignore[arg-type]
            pipe.execute()
        except Exception:  # noqa: BLE001 - Redis away, full, or not yet there
            room = BUFFER - len(self._waiting)
            self._waiting.extendleft(reversed(batch[-room:] if room else []))
            self._dropped += dropped + max(len(batch) - room, 0)
            return False
        return True

    def flush(self) -> None:
        """Waits a moment for what was logged to be sent."""
        if self._waiting and self._pid == os.getpid():
            self._idle.clear()
            self._wake.set()
            with suppress(RuntimeError):
                self._idle.wait(1.0)

    def close(self) -> None:
        """Sends the rest, and ends the thread: Python aborts when a thread is in a library of C++ while it ends."""
        if self._sender is not None and self._pid == os.getpid():
            self._ending.set()
            self._wake.set()
            with suppress(RuntimeError):
                self._sender.join(END_TIMEOUT)
            self._pid = 0  # another line starts it anew
        super().close()


def _level(number: int) -> Level:
    """Python's levels, and what lies between them."""
    if number >= logging.CRITICAL:
        return Level.FATAL
    return Level(min(max(number, 1) // 10, 4)) if number >= logging.DEBUG else Level.TRACE


__all__: list[Any] = ["StreamHandler"]
