"""`manage.py listen`: sources that somebody has to listen to, follow or open, each as a coroutine of one process.

The sources are rows of the admin, looked at every few seconds. Of several processes one holds a lease in Redis and does
the work, the others wait for it. What became of each source is left in Redis, for the admin to show.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import msgspec
import redis
from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, close_old_connections

from core import clock
from logs import stream
from logs.models import LogSource
from logs.sources.outlet import LEASE, LEASE_MS, LeaseLostError, Outlet

log = logging.getLogger(__name__)

Report = Callable[[str], None]  # takes a sentence for the admin
Run = Callable[[LogSource, Outlet, Report], Awaitable[None]]

# Kind → module whose `run(source, outlet, report)` works until it is cancelled, or raises. Loaded when it is needed.
WAYS: Final[Mapping[str, str]] = {
    LogSource.Kind.SYSLOG: "logs.sources.syslog",
    LogSource.Kind.DOCKER: "logs.sources.docker_logs",
    LogSource.Kind.FILES: "logs.sources.files",
}
SOURCES_MAX: Final = 256
REFRESH_EVERY: Final = 3.0  # seconds
RENEW_EVERY: Final = 1.0
REPORT: Final = "pharos:listen"
REPORT_FOR: Final = 86_400
PAUSE: Final = 0.5  # seconds before a source that failed is started again, at first, and at most
PAUSE_MAX: Final = 30.0
HEALTHY: Final = 60.0  # seconds after which the pause begins anew
STOP_MAX: Final = 3.0  # seconds for the sources, and then
FINISH_MAX: Final = 4.0  # for what they have handed over

RENEW: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class Left(msgspec.Struct):
    """What the one that listens leaves in Redis."""

    at: int = 0  # µs
    host: str = ""
    trouble: str = ""  # why lines wait in it
    sources: dict[int, str] = {}  # by primary key, a sentence


class Listener:
    """`run` returns after `stop`."""

    def __init__(self, ways: Mapping[str, str] = WAYS) -> None:
        self.token = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._ways = ways
        self._stopped = asyncio.Event()
        self._said_away = False

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        client = stream.connect_async()
        try:
            while not self._stopped.is_set():
                if await self._is_ours(client):
                    await _Tenure(client, self.token, self._ways, self._stopped).run()
                await _sleep(RENEW_EVERY, self._stopped)
        finally:
            await client.aclose()

    async def _is_ours(self, client: redis.asyncio.Redis) -> bool:
        try:
            ours = await client.set(LEASE, self.token, nx=True, px=LEASE_MS)
        except (redis.RedisError, OSError) as error:
            if not self._said_away:
                log.warning("Nothing is listened to until Redis answers: %s", error)
            self._said_away = True
            return False
        self._said_away = False
        return bool(ours)


class _Tenure:
    """The time for which one process holds the lease."""

    def __init__(
        self, client: redis.asyncio.Redis, token: str, ways: Mapping[str, str], stopped: asyncio.Event
    ) -> None:
        self.client, self.token, self.ways, self.stopped = client, token, ways, stopped
        self.outlet = Outlet(token)
        self.states: dict[int, str] = {}
        self._running: dict[int, tuple[object, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Until the lease is lost or somebody stops it."""
        log.info("Listening to the sources of the admin")
        sending = asyncio.create_task(self.outlet.run())
        work = [asyncio.create_task(self._look()), asyncio.create_task(self._renew()), sending]
        stopped = asyncio.create_task(self.stopped.wait())
        try:
            await asyncio.wait([*work, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            await _cancel(work[:1], STOP_MAX)
            await _cancel([task for _, task in self._running.values()], STOP_MAX)
            lost = any(task.done() and isinstance(_error(task), LeaseLostError) for task in work)
            left = await (self.outlet.rescue if lost else self.outlet.finish)(FINISH_MAX)
            if left:
                log.error("%s lines could not be sent before the end and are lost", f"{left:,}")
            if lost:
                log.warning("Another process listens now")
            for task in work:
                if task.done() and (error := _error(task)) and not isinstance(error, LeaseLostError):
                    log.error("Listening failed and begins anew", exc_info=error)
        finally:
            await _cancel([*work, stopped, *(task for _, task in self._running.values())], STOP_MAX)
            await self.outlet.close()
            with suppress(redis.RedisError, OSError):
                await self.client.eval(RELEASE, 1, LEASE, self.token)

    async def _renew(self) -> None:
        """Raises LeaseLostError. A lease that ended while Redis was away is taken again if nobody else has it."""
        while True:
            with suppress(redis.RedisError, OSError):
                if not await self.client.eval(RENEW, 1, LEASE, self.token, LEASE_MS):
                    raise LeaseLostError
                report = Left(clock.now(), socket.gethostname(), self.outlet.trouble, self.states)
                await self.client.set(REPORT, msgspec.json.encode(report), ex=REPORT_FOR)
            await asyncio.sleep(RENEW_EVERY)

    async def _look(self) -> None:
        """Starts what is new, stops what is gone, and does both with what was changed."""
        while True:
            try:
                wanted = {source.pk: source for source in await sync_to_async(_sources)()}
            except (DatabaseError, InterfaceError) as error:
                log.debug("The sources can't be read: %s", error)
            else:
                await self._follow(wanted)
            await asyncio.sleep(REFRESH_EVERY)

    async def _follow(self, wanted: Mapping[int, LogSource]) -> None:
        changed = {
            pk: task
            for pk, (before, task) in self._running.items()
            if pk not in wanted or _settings(wanted[pk]) != before
        }
        await _cancel(changed.values(), STOP_MAX)
        for pk in changed:
            del self._running[pk]
            self.states.pop(pk, None)
        for pk, source in wanted.items():
            if pk not in self._running:
                self._running[pk] = (_settings(source), asyncio.create_task(self._keep(source)))

    async def _keep(self, source: LogSource) -> None:
        """Runs a source, again and again if need be."""
        pause, said = PAUSE, ""

        def report(sentence: str) -> None:
            self.states[source.pk] = sentence

        while True:
            began = time.monotonic()
            report("starting")
            try:
                run: Run = import_module(self.ways[source.kind]).run
                await run(source, self.outlet, report)
                reason = "it ended by itself"
            except Exception as error:
                reason = str(error) or type(error).__name__
                if reason != said and not isinstance(error, OSError):
                    log.error("The source %s failed", source, exc_info=error)
            if time.monotonic() - began >= HEALTHY:
                pause, said = PAUSE, ""
            if reason != said:
                log.warning("The source %s is started again until it works: %s", source, reason)
            said = reason
            report(f"failed, tried again in {pause:g} s: {reason}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX)


def _sources() -> list[LogSource]:
    close_old_connections()
    return list(LogSource.objects.filter(enabled=True, kind__in=LogSource.LISTENED).order_by("pk")[:SOURCES_MAX])


def _settings(source: LogSource) -> object:
    """What a running source depends on."""
    return [getattr(source, field.attname) for field in source._meta.concrete_fields if field.name != "comment"]


def _error(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _cancel(tasks: Any, seconds: float) -> None:
    """Those that take longer are left alone."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


async def _sleep(seconds: float, stopped: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), seconds)
