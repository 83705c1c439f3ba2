"""`manage.py backup`: everything that Pharos keeps, in one file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat

from monitor import prepare
from monitor.backups import making, waiting
from monitor.backups.file import BackupError

PATIENCE = 10.0


class Command(BaseCommand):
    help = "Writes databases and secret key into one file, while Pharos runs. docs/backup.md says what it holds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            nargs="?",
            default="",
            help="the file to write, or a directory for one with the time in its name; default: backups in the data "
            "directory",
        )
        parser.add_argument("--without-logs", action="store_true", help="leaves out the stored lines")
        parser.add_argument(
            "--wait",
            type=float,
            default=PATIENCE,
            metavar="SECONDS",
            help=f"how long it waits for lines to be stored that have come ({PATIENCE:.0f})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            prepare.connect("default")
            path = making.place(options["file"])
            redis = waiting.drain(options["wait"])
            made = making.make(path, logs=not options["without_logs"], redis=redis)
        except (BackupError, prepare.PrepareError) as error:
            sys.exit(f"pharos: {error}")
        except KeyboardInterrupt:
            sys.exit(130)
        size = filesizeformat(path.stat().st_size).replace("\xa0", " ")
        without = "" if made.has_logs else ", without log lines"
        self.stdout.write(f"{path}: {size}, {made.rows:,} rows{without}; read again, and whole.\n{redis}")
        self.stdout.write("It holds the secret key and all that is stored: keep it where nobody else may read.")
