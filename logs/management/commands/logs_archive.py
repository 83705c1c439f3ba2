"""`manage.py logs_archive`: the days in the archive; archive now, restore a day, remove what was restored."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from logs import archive
from logs.models import ArchivedDay
from logs.store import log_stores


class Command(BaseCommand):
    help = "Shows the days in the archive, writes those that are due, restores a day, removes its restored lines."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb")
        verbs.add_parser("list", help="the days and their states (this is what it does without a word)")
        verbs.add_parser("run", help="archives what is due now instead of within the hour")
        for verb, meaning in (
            ("restore", "makes a day searchable for 7 days"),
            ("forget", "removes the restored lines of a day; the archive keeps them"),
        ):
            verbs.add_parser(verb, help=meaning).add_argument("day", type=date.fromisoformat, help="2026-11-20")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._do(options)
        except redis.RedisError as error:
            raise CommandError(f"The archive's lease is in Redis, which is away: {error}") from error

    def _do(self, options: dict[str, Any]) -> None:
        store, verb = log_stores["default"], options["verb"]
        if verb in {"run", "restore"} and not settings.LOG_ARCHIVE_URL:
            raise CommandError("There is no archive: set PHAROS_ARCHIVE_URL, see docs/retention.md.")
        if verb == "run":
            self.stdout.write(f"{archive.run(store):,} days were archived.")
        elif verb == "restore":
            archive.run(store, write=False)  # to know of days that another database archived
            if not archive.ask_to_restore([options["day"]]):
                raise CommandError(f"{options['day']} is not in the archive.")
            archive.run(store, write=False)
        elif verb == "forget":
            if not archive.ask_to_remove([options["day"]]):
                raise CommandError(f"{options['day']} is not restored.")
            archive.run(store, write=False)
        if verb in {"restore", "forget"}:
            self._show(ArchivedDay.objects.get(day=options["day"]))
        elif verb != "run":
            for row in ArchivedDay.objects.iterator():
                self._show(row)

    def _show(self, row: ArchivedDay) -> None:
        until = f", until {row.restored_until:%Y-%m-%d %H:%M} UTC" if row.restored_until else ""
        parts = [f"{row.day}  {row.lines:>13,} lines  {row.bytes:>15,} bytes  {row.get_state_display()}{until}"]
        self.stdout.write("  ".join(filter(None, [*parts, row.progress, row.error])))
