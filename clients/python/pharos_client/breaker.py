"""A circuit breaker: after several failures nobody is asked for a while, then one try says how it goes on."""

from __future__ import annotations

import random
from enum import Enum
from typing import Final

FAILURES: Final = 3
WAIT: Final = 1.0  # seconds, doubled with each failure of a try
WAIT_MAX: Final = 30.0


class State(Enum):
    CLOSED = "closed"  # all is sent
    OPEN = "open"  # nothing is, until the wait is over
    HALF_OPEN = "half-open"  # one try is


class Breaker:
    """Times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._failures = 0
        self._wait = WAIT
        self._retry_at = 0.0

    def allows(self, now: float) -> bool:
        """May a batch be sent? After the wait this is the try."""
        if self.state is State.OPEN and now >= self._retry_at:
            self.state = State.HALF_OPEN
        return self.state is not State.OPEN

    def remaining(self, now: float) -> float:
        """Seconds until the next try."""
        return max(self._retry_at - now, 0.0) if self.state is State.OPEN else 0.0

    def succeeded(self) -> None:
        self.state, self._failures, self._wait = State.CLOSED, 0, WAIT

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """With `retry_after` (seconds) there is nothing to find out: it opens at once."""
        self._failures += 1
        if retry_after is not None:
            self._open(now + retry_after)
        elif self.state is State.HALF_OPEN or self._failures >= FAILURES:
            # Many clients that lost the same Redis shall not all come back in the same moment.
            self._open(now + self._wait * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            self._wait = min(self._wait * 2, WAIT_MAX)

    def _open(self, until: float) -> None:
        self.state, self._retry_at = State.OPEN, until

    def hurry(self) -> None:
        """The process ends: the next try is now or never."""
        self._retry_at = 0.0
