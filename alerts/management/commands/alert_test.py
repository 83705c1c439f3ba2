"""`manage.py alert_test`: a drill of rules. docs/alert-rules.md has an example."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from alerts.drill import Drilled, drill
from alerts.models import AlertRule


class Command(BaseCommand):
    help = (
        "Makes the condition of each rule true on facts that are made up, and follows it through routes and groups to "
        "a receiver on this machine. Nobody is told. Without names: all rules that are switched on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", help="of rules")
        parser.add_argument("--all", action="store_true", help="also those that are switched off")

    def handle(self, *args: Any, **options: Any) -> None:
        rules = AlertRule.objects.prefetch_related("receivers")
        if names := options["names"]:
            rules = rules.filter(name__in=names)
            if missing := set(names) - {rule.name for rule in rules}:
                raise CommandError(f"There is no rule {min(missing)!r}.")
        elif not options["all"]:
            rules = rules.filter(enabled=True)
        found = list(drill(rules, timezone.now()))
        rows = [("rule", "severity", "fires after", "told", "got", "found"), *map(_row, found)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        missed = [each.rule for each in found if each.miss]
        self.stdout.write(f"\n{len(found)} rules, {len(missed)} missed.")
        if missed:
            raise CommandError(f"Missed: {', '.join(missed)}.")


def _row(drilled: Drilled) -> tuple[str, ...]:
    if drilled.miss:
        return drilled.rule, ", ".join(drilled.severities), "", "", "", f"MISSED: {drilled.miss}"
    told = ", ".join(drilled.receivers) + ("" if drilled.channels else " (no channel)")
    return drilled.rule, ", ".join(drilled.severities), drilled.after, told, str(drilled.got), drilled.detail
