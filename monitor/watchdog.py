"""Who watches the watcher: an address outside that is pinged each minute, as long as Pharos really works.

The worker pings it, on beat's tick: that it does so shows that both run. Before, it sees that ingest has stored
something since the last time (our own lines come each ten seconds), that nothing waits too long, and that the database
takes a row. If one of them fails, the address with /fail is pinged, as healthchecks.io and heartbeats of another Pharos
understand it. Silence means that nothing works at all.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec
import redis
from django.conf import settings
from django.db import DatabaseError

from core import clock
from core.outbound import OutboundError
from logs import stream
from logs.store import log_stores
from monitor import health

log = logging.getLogger(__name__)

STATE: Final = "pharos:heartbeat"
REDIS_SECONDS: Final = 2.0
PING_SECONDS: Final = 10.0


class Last(msgspec.Struct, frozen=True):
    """What became of the last ping."""

    at: int  # µs
    commit: int  # the newest of the log store
    failing: str = ""  # what does not work, as a sentence without its end
    error: str = ""  # why the address could not be reached


def last(client: redis.Redis) -> Last | None:
    """Raises RedisError."""
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(cast(bytes, client.get(STATE)) or b"", type=Last)
    return None


def beat() -> Last | None:
    """Pings, if there is an address. What became of it is said once when it changes."""
    url = settings.HEARTBEAT_URL
    if not url:
        return None
    before = _before()
    commit, failing = examine(before)
    error = ping(_failed(url) if failing else url)
    now = Last(clock.now(), commit, failing, error)
    with suppress(redis.RedisError, OSError), stream.connect(REDIS_SECONDS) as client:
        client.set(STATE, msgspec.json.encode(now), ex=86_400)
    _say(before, now)
    return now


def examine(before: Last | None) -> tuple[int, str]:
    """The newest commit, and what does not work; "" if all does."""
    from monitor.doctor import database

    try:
        lag = health.ingest_lag()
        commit = log_stores["default"].last_commit()
        for alias in database.aliases():
            database.write(alias)
    except (redis.RedisError, DatabaseError, OSError) as error:
        return before.commit if before else 0, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if not lag.healthy:
        return commit, lag.detail
    if before and commit <= before.commit:
        return commit, "no line was stored since the last ping, not even one of our own"
    return commit, ""


def ping(url: str) -> str:
    """Why it could not be reached; "" if it was."""
    return asyncio.run(_ping(url))


async def _ping(url: str) -> str:
    # Who is watched by nobody needs no HTTP client.
    from core import http

    try:
        answer = await http.fetch(url, timeout=PING_SECONDS)
    except OutboundError as error:
        return str(error)
    finally:
        await http.close()
    return "" if answer.status < 400 else f"it answered {answer.status}"


def _failed(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))


def _before() -> Last | None:
    with suppress(redis.RedisError, OSError), stream.connect(REDIS_SECONDS) as client:
        return last(client)
    return None


def _say(before: Last | None, now: Last) -> None:
    said = (before.failing, before.error) if before else ("", "")
    if now.error and now.error != said[1]:
        log.warning("The outside heartbeat can't be pinged: %s", now.error)
    if now.failing and not said[0]:
        log.error("The outside heartbeat is told that Pharos fails: %s", now.failing)
    if before and any(said) and not (now.failing or now.error):
        log.info("The outside heartbeat is pinged again")
