"""`manage.py listen`: one listener, until SIGTERM."""

from __future__ import annotations

import asyncio
import resource
import signal
from typing import Any

from django.core.management.base import BaseCommand

from core import reporting
from logs.sources.listen import Listener


class Command(BaseCommand):
    help = "Takes in what syslog, Docker and files have to say, as the log sources of the admin name them."
    requires_system_checks: Any = ("pharos",)

    def handle(self, *args: Any, **options: Any) -> None:
        reporting.begin("listen")
        asyncio.run(listen())


async def listen() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each file that is followed stays open
    listener = Listener()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, listener.stop)
    await listener.run()
