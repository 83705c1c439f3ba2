"""`manage.py ingest`: one ingester, until SIGTERM."""

from __future__ import annotations

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from core import memory, reporting
from logs import live
from logs.ingest import Ingester, consumer_name
from logs.store import log_stores


class Command(BaseCommand):
    help = "Takes lines from the log stream into the store. Run as many as you like: they share the work."
    requires_system_checks: Any = ("pharos",)

    def handle(self, *args: Any, **options: Any) -> None:
        reporting.begin("ingest")
        memory.settle()
        with consumer_name(settings.DATA_DIR) as name:
            ingester = Ingester(name, log_stores["default"], live.publisher())
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: ingester.stop())
            ingester.run()
