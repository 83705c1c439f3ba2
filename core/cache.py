"""The cache that all processes share, in Redis; each its own while Redis is away.

What is in it may be lost at any time: how often somebody tried to sign in, which code was used just now. Without Redis
these counts hold for one process, and signing in still works: it is what one needs to find out what has happened.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import RedisError

log = logging.getLogger(__name__)

# For so many seconds after a failure Redis isn't asked: a sign-in asks a dozen times, and each may take a second.
PAUSE: Final = 5


class JsonSerializer:
    """Not pickle as in Django: senders of log lines may write to this Redis, and pickle would run their code."""

    def dumps(self, value: Any) -> Any:
        return value if type(value) is int else json.dumps(value)

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class SharedCache(BaseCache):
    """For values that JSON knows."""

    _asked_again_at = 0.0  # of the process, as time.monotonic says it

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._redis = RedisCache(server, params)
        self._own = LocMemCache("without-redis", {})

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._ask("add", key, value, timeout, version))

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._ask("get", key, default, version)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._ask("set", key, value, timeout, version)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._ask("touch", key, timeout, version))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return bool(self._ask("delete", key, version))

    def clear(self) -> None:
        raise NotImplementedError("Clearing the cache would empty its Redis database, with the log streams in it.")

    def _ask(self, verb: str, *args: Any) -> Any:
        if time.monotonic() >= SharedCache._asked_again_at:
            try:
                return getattr(self._redis, verb)(*args)
            except RedisError as error:
                SharedCache._asked_again_at = time.monotonic() + PAUSE
                log.warning("Redis is away, so attempts to sign in are counted by each process alone: %s", error)
        return getattr(self._own, verb)(*args)
