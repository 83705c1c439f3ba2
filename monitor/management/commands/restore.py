"""`manage.py restore`: what `manage.py backup` wrote, put back."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from monitor import prepare
from monitor.backups import restoring
from monitor.backups.file import BackupError
from monitor.management.commands.up import StartError, take_lock


class Command(BaseCommand):
    help = "Puts a backup back, into an empty place, while Pharos does not run."
    requires_system_checks: Any = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="what `manage.py backup` wrote")
        parser.add_argument("--force", action="store_true", help="replaces all that is here")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        try:
            lock = take_lock(Path(settings.DATA_DIR) / "up.lock")
            for alias in settings.DATABASES:
                prepare.connect(alias)
            manifest = restoring.restore(path, self.say, force=options["force"])
            os.close(lock)
        except (BackupError, prepare.PrepareError, StartError) as error:
            sys.exit(f"pharos: {error}")
        except KeyboardInterrupt:
            sys.exit(130)
        lines = "" if manifest.has_logs else "; it was made without log lines"
        self.say(f"Restored {manifest.rows:,} rows of {manifest.made_at}, Pharos {manifest.version}{lines}.")
        self.say(f"When it was made: {manifest.redis}")
        self.say("Start Pharos again.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
