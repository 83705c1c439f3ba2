"""What Redis holds, and no backup: lines that nobody has stored yet, and where listeners have read to."""

from __future__ import annotations

import time
from typing import Final

import redis

from core import clock
from logs import stream
from logs.sources import streams

REDIS_SECONDS: Final = 2.0
LOOK_EVERY: Final = 0.2  # seconds


def drain(patience: float) -> str:
    """Waits until lines that have come before now are stored, for `patience` seconds at most. What became of it."""
    began = clock.now()
    deadline = time.monotonic() + patience
    try:
        with stream.connect(REDIS_SECONDS) as client:
            names = streams.active(client.get(streams.REPORT))
            while True:
                wait = max(stream.oldest_wait(client, name) for name in names)
                if clock.now() - wait >= began or not wait:
                    return "All lines that had come are in the backup."
                if not stream.ingesters(client) or time.monotonic() > deadline:
                    return (
                        f"Lines of the last {wait / clock.SECOND:.0f} s wait in Redis and are not in the backup; "
                        "they stay there until they are stored."
                    )
                time.sleep(LOOK_EVERY)
    except (redis.RedisError, OSError):
        return "Redis is away: lines that wait there are not in the backup."


def running() -> bool:
    """Whether processes of Pharos work with this Redis."""
    try:
        with stream.connect(REDIS_SECONDS) as client:
            return bool(client.get(f"{stream.ALIVE}worker") or stream.ingesters(client))
    except (redis.RedisError, OSError):
        return False
