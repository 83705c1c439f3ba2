"""Things that a process has one of, made when it is first needed and stopped with the worker: an event loop in a thread
of its own, for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from celery.signals import worker_shutdown


class Stoppable(Protocol):
    def stop(self) -> None: ...


T = TypeVar("T", bound=Stoppable)


class OnePerProcess(Generic[T]):
    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._one: T | None = None

    def get(self) -> T:
        """From any thread."""
        with self._lock:
            if self._one is None:
                self._one = self._make()
                worker_shutdown.connect(self.stop, weak=False)
            return self._one

    def stop(self, **_: Any) -> None:
        """At the end of the process. Twice is as good as once."""
        with self._lock:
            one, self._one = self._one, None
        if one:
            one.stop()
