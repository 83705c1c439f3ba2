"""`manage.py services_export`: all services, their checks and who needs whom, as YAML or CSV. Without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from services import transfer


class Command(BaseCommand):
    help = "Writes all services with their checks to a file or to the terminal. Secrets are named, not written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default="-", help="a file; - is the terminal (default)")
        parser.add_argument("--format", choices=[*transfer.FORMATS], help="by default as the file's name says, or yaml")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        text = transfer.write(options["format"] or transfer.format_of(name, ""))
        if name == "-":
            self.stdout.write(text, ending="")
            return
        try:
            Path(name).write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise CommandError(f"{name} can't be written: {error.strerror}.") from None
