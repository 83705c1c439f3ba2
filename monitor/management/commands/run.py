"""`manage.py run PROCESS`: becomes one of the processes that `up` starts, for those who start them otherwise."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from monitor.management.commands.up import processes


class Command(BaseCommand):
    help = "Becomes one process of Pharos, until SIGTERM. Databases have to be prepared: manage.py prepare."
    requires_system_checks: Any = ("pharos",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("process", choices=[each["name"] for each in processes(None)])

    def handle(self, *args: Any, process: str, **options: Any) -> NoReturn:
        os.chdir(settings.BASE_DIR)
        connections.close_all()
        chosen = next(each for each in processes(None) if each["name"] == process)
        command = chosen["command"]
        os.execve(command[0], command, {**os.environ, **chosen["env"]})  # noqa: S606 - no shell is wanted
