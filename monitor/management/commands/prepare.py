"""`manage.py prepare`: what has to be done once before the processes start, for those who start them with `run`."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from monitor import bootstrap, prepare


class Command(BaseCommand):
    help = (
        "Brings the databases up to date, and makes an administrator and a key at the first start. "
        "Run as many as you like: one works, the others wait for it."
    )
    requires_system_checks: Any = ("pharos",)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with prepare.alone():
                prepare.migrate(self.say)
                made = bootstrap.first_start()
        except prepare.PrepareError as error:
            sys.exit(f"pharos: {error}")
        self.say(bootstrap.credentials(made) or "Pharos is prepared.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
