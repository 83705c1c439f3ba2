"""`manage.py logs_stats`: what is stored, who sends it, what waits."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat

from logs.rows import visible
from logs.store import log_stores
from logs.usage import Report, report


class Command(BaseCommand):
    help = "Shows what is stored: lines and bytes, by service and day, the backlog of the streams, and dead letters."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="prints one JSON object, times in UTC")

    def handle(self, *args: Any, **options: Any) -> None:
        store = log_stores["default"]
        found = report(store, store.usage())
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode())
        else:
            self.stdout.write("\n".join(_page(found)))


def _page(found: Report) -> Iterator[str]:
    yield from _columns(
        [
            ("lines", f"{found.lines:,}"),
            *([("restored", f"{found.restored:,} of them")] if found.restored else []),
            ("blocks", f"{found.blocks:,}"),
            ("bytes", f"{found.bytes:,}"),
            ("bytes a line", f"{found.bytes_per_line:,}"),
            ("oldest", _time(found.oldest)),
            ("newest", _time(found.newest)),
            ("dead letters", f"{found.dead_letters:,} ({found.dead_letters_waiting:,} not sent again)"),
        ],
        right=False,
    )
    yield from _section("STREAM", "ENTRIES", "BACKLOG", "PENDING", "WAIT", rows=_streams(found))
    if found.redis_error:
        yield found.redis_error
    yield from found.troubles
    title = "SERVICE" if len(found.services) == found.services_total else f"SERVICE (of {found.services_total:,})"
    yield from _section(title, "LINES", "BYTES", "SHARE", rows=_services(found))
    yield from _section(
        "DAY (UTC)", "LINES", "BYTES", rows=[(each.day, f"{each.lines:,}", _size(each.bytes)) for each in found.days]
    )


def _streams(found: Report) -> list[tuple[str, ...]]:
    return [
        (each.name, f"{each.length:,}", f"{each.backlog:,}", f"{each.pending:,}", f"{each.wait:.1f} s")
        for each in found.streams
    ]


def _services(found: Report) -> list[tuple[str, ...]]:
    # A name is log text, too: it must not act on the terminal.
    return [
        (visible(each.service), f"{each.lines:,}", _size(each.bytes), f"{each.share:.1f} %") for each in found.services
    ]


def _section(*head: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield ""
        yield from _columns([head, *rows])


def _columns(rows: Sequence[tuple[str, ...]], *, right: bool = True) -> Iterator[str]:
    """Lines of equal columns; those after the first are aligned to the right if `right`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if right and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "–"


def _size(size: int) -> str:
    return filesizeformat(size).replace("\xa0", " ")
