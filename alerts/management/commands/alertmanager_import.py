"""`manage.py alertmanager_import`: shows what an alertmanager.yml would make and change; with --apply it does it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alerts.alertmanager import importing
from alerts.alertmanager.config import FILE_MAX, ConfigError


class Command(BaseCommand):
    help = (
        "Shows what an alertmanager.yml would make, change, leave and drop, and what has no counterpart here. With "
        "--apply it does that: its routes replace those that there are."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="alertmanager.yml; - is standard input")
        parser.add_argument("--apply", action="store_true", help="do it, all or nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        work = importing.carry_out if options["apply"] else importing.plan
        try:
            report = work(importing.text_of(_content(options["file"])))
        except ConfigError as error:
            raise CommandError(f"Nothing was imported: {error}.") from None
        for row in report.rows:
            self.stdout.write(f"{row.verb:7} {row.what}" + (f" → {row.detail}" if row.detail else ""))
        for warning in report.warnings:
            self.stdout.write(f"Note: {warning}")
        counts = "{make} to make, {change} to change, {leave} to leave, {drop} to drop".format(**report.counts)
        done = options["apply"]
        self.stdout.write(f"Done: {counts}." if done else f"Nothing was changed yet: {counts}. Do it with --apply.")


def _content(name: str) -> bytes:
    try:
        if name == "-":
            return sys.stdin.buffer.read(FILE_MAX + 1)
        with Path(name).open("rb") as file:
            return file.read(FILE_MAX + 1)
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}.") from None
