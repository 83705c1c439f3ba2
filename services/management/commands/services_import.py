"""`manage.py services_import`: shows what a file of services would make and change; with --apply it does it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from services import transfer
from services.transfer import Plan


class Command(BaseCommand):
    help = "Shows what a file of services, YAML or CSV, would make, change and leave. With --apply it does that."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="YAML or CSV; - is standard input")
        parser.add_argument("--apply", action="store_true", help="do it, all or nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        document = transfer.read(_content(name), "" if name == "-" else name)
        try:
            plan = transfer.carry_out(document) if options["apply"] else transfer.make_plan(document)
        except transfer.Refused as refused:
            plan = Plan([], refused.problems, [], [])
        if plan.problems:
            raise CommandError("Nothing was imported.\n" + "\n".join(f"  {problem}" for problem in plan.problems))
        self._show(plan, done=options["apply"])

    def _show(self, plan: Plan, *, done: bool) -> None:
        for row in plan.rows:
            self.stdout.write(f"{row.verb:7} {row.what}" + "".join(f"\n          {detail}" for detail in row.details))
        counts = "{make} to make, {change} to change, {leave} to leave".format(**plan.counts)
        self.stdout.write(f"Done: {counts}." if done else f"Nothing was changed yet: {counts}. Do it with --apply.")
        for missing in plan.missing:
            self.stdout.write(f"Enter in the admin: {missing}")


def _content(name: str) -> bytes:
    try:
        if name == "-":
            return sys.stdin.buffer.read(transfer.FILE_MAX + 1)
        with Path(name).open("rb") as file:
            return file.read(transfer.FILE_MAX + 1)
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}.") from None
