"""`manage.py check_config`: docs/operations.md has an example."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from monitor import config_check


class Command(BaseCommand):
    help = (
        "Looks whether all that is configured can work: services, checks, rules, routes, receivers, channels, log "
        "sources, pipelines. With files (rules, alertmanager.yml, services) it looks at these instead, and imports "
        "nothing. The exit code is 1 if something is wrong."
    )
    requires_system_checks: Any = ()  # it tells what they say

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", help="YAML, or CSV of services")

    def handle(self, *args: Any, **options: Any) -> None:
        files = options["files"]
        if files:
            found = [complaint for name in files for complaint in config_check.of_file(name)]
            looked = f"{len(files)} file{'s' * (len(files) > 1)}"
        else:
            found = list(config_check.stored())
            looked = f"{config_check.counted():,} rows"
        for complaint in found:
            self.stdout.write(str(complaint))
        wrong = sum(complaint.serious for complaint in found)
        self.stdout.write(f"{looked}, {wrong} wrong.")
        if wrong:
            sys.exit(1)
