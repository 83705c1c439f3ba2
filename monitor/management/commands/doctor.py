"""`manage.py doctor`: docs/operations.md has an example."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitor import doctor
from monitor.doctor.findings import OK, PROBLEM, WARNING

SIGNS: Final = {OK: "ok     ", WARNING: "WARNING", PROBLEM: "PROBLEM"}


class Command(BaseCommand):
    help = (
        "Looks whether everything is as it should be, and says what is to be done. The exit code is 1 if there is a "
        "problem. Without names: all checks."
    )
    requires_system_checks: Any = ()  # they are one of its checks

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", help=f"of checks: {', '.join(doctor.CHECKS)}")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        if unknown := [name for name in options["names"] if name not in doctor.CHECKS]:
            raise CommandError(f"There is no check {unknown[0]!r}; there is {', '.join(doctor.CHECKS)}.")
        found = doctor.examine(options["names"])
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(doctor.as_json(found))).decode())
        else:
            self._show(found)
        if doctor.worst(found) == PROBLEM:
            sys.exit(1)

    def _show(self, found: list[doctor.Checked]) -> None:
        width = max(len(each.name) for each in found)
        for each in found:
            self.stdout.write(f"{SIGNS[each.level]}  {each.name:<{width}}  {each.said}")
            for more in filter(None, (each.to_do, each.guide)):
                self.stdout.write(f"{'':{width + 11}}→ {more}")
        count = {level: sum(each.level == level for each in found) for level in SIGNS}
        self.stdout.write(f"\n{count[PROBLEM]} problems, {count[WARNING]} warnings, {count[OK]} ok.")
