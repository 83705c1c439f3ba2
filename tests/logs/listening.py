"""A listener in the loop of a test, and the real command as a process; a way in that tests steer (`run`)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from django.conf import settings
from django.db import connections

from core import clock
from logs.models import LogSource
from logs.records import Level, LogRecord
from logs.sources.listen import WAYS, Listener
from logs.sources.outlet import Outlet
from monitor.supervisor import die_with_parent


@asynccontextmanager
async def listening(ways: Mapping[str, str] = WAYS) -> AsyncIterator[Listener]:
    listener = Listener(ways)
    task = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        listener.stop()
        await asyncio.wait_for(task, 15)


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Returns once `condition` holds. It may ask a database."""
    async with asyncio.timeout(seconds):
        while True:
            if await asyncio.to_thread(_asked, condition):
                return
            await asyncio.sleep(0.01)


def _asked(condition: Callable[[], object]) -> object:
    try:
        return condition()
    finally:
        connections.close_all()


def start(log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """The real command on the databases and the Redis of this test."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.logs.listen_settings",
        "REDIS_URL": settings.REDIS_URL,
        "TEST_DATABASE": str(settings.DATABASES["default"]["NAME"]),
        "TEST_LOG_DATABASE": str(settings.DATABASES["logs"]["NAME"]),
        **variables,
    }
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", "listen"],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )


# --- A way in ------------------------------------------------------------------------------------------------------


async def run(source: LogSource, outlet: Outlet, report: Callable[[str], None]) -> None:
    """Sends the service of the row once and stays; a service that begins with "fail" fails, with "end" ends."""
    report(f"works for {source.service}")
    await outlet.put(LogRecord(clock.now(), Level.INFO, "way", f"began {source.service}"))
    if source.service.startswith("fail"):
        raise ValueError("it may not")
    if source.service.startswith("end"):
        return
    try:
        await asyncio.Event().wait()
    finally:
        outlet.offer(LogRecord(clock.now(), Level.INFO, "way", f"ended {source.service}"))
