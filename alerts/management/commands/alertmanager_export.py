"""`manage.py alertmanager_export`: routes, receivers, inhibit rules and mute times as an alertmanager.yml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alerts.alertmanager import exporting


class Command(BaseCommand):
    help = "Writes an alertmanager.yml that `amtool check-config` accepts. <secret> stands for each secret."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default="-", help="a file; - is the terminal (default)")

    def handle(self, *args: Any, **options: Any) -> None:
        name, found = options["file"], exporting.export()
        if name == "-":
            self.stdout.write(found.text, ending="")
        else:
            try:
                Path(name).write_text(found.text, encoding="utf-8", newline="")
            except OSError as error:
                raise CommandError(f"{name} can't be written: {error.strerror}.") from None
        for sentence in found.left_out:
            self.stderr.write(sentence)
