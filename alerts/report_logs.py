"""Parts of reports: what is known from log lines."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.template.defaultfilters import filesizeformat

from alerts.report_sections import ROWS_MAX, Section, Span
from core import clock
from logs import query
from logs.query import Node
from logs.records import Level
from logs.store import Usage, log_stores

DEADLINE: Final = 2.0  # seconds of one question to the log store
ERRORS: Final = query.Level(frozenset({Level.ERROR, Level.FATAL}))


def errors(span: Span) -> Section:
    """By service: how many of its lines are errors, and how many were."""
    lines, complete = _by_service(query.Everything(), span.start, span.end)
    failed, all_failed = _by_service(ERRORS, span.start, span.end)
    earlier, all_earlier = _by_service(ERRORS, span.earlier_start, span.earlier_end)
    rows = [
        (
            service,
            f"{count:,}",
            f"{100 * count / max(lines.get(service, 0), count):.2f} %",
            f"{earlier.get(service, 0):,}",
        )
        for service, count in list(failed.items())[:ROWS_MAX]
    ]
    said = "" if rows else "There was no error."
    if not (complete and all_failed and all_earlier):
        said = f"{said} Not all lines were counted in time.".strip()
    look = "Which errors are new, and which have become usual?"
    return Section("Error rates", look, said, ("service", "errors", "of its lines", "the time before"), rows)


def _by_service(node: Node, start: datetime, end: datetime) -> tuple[dict[str, int], bool]:
    """Lines, most first; and whether that are all."""
    found = log_stores["default"].values(
        node, "service", start=clock.micros(start), end=clock.micros(end), limit=1_000, deadline=DEADLINE
    )
    return dict(found.counts), found.complete


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, part):.2f} %"


def volume(span: Span) -> Section:
    from logs.usage import by_service

    days, earlier = _stored(span.start, span.end), _stored(span.earlier_start, span.earlier_end)
    before = {each.service: each.bytes for each in by_service(earlier)}
    rows = [
        (each.service, f"{each.lines:,}", _size(each.bytes), f"{each.share:g} %", _size(before.get(each.service, 0)))
        for each in by_service(days)[:ROWS_MAX]
    ]
    said = f"{_size(_sum(days))} stored, {_size(_sum(earlier))} the time before." if rows else "No line was stored."
    look = "Who sends more than it is worth? A pipeline can sample it, a retention rule can forget it sooner."
    return Section("Volume and cost", look, said, ("service", "lines", "stored", "share", "the time before"), rows)


def capacity(span: Span) -> Section:
    stats = log_stores["default"].stats()
    a_day = _sum(_stored(span.start, span.end)) / max((span.end - span.start) / timedelta(days=1), 1)
    size = f"{stats['lines']:,} lines in {_size(stats['bytes'])}"
    said = f"The log store has {size}, and took {_size(round(a_day))} a day."
    return Section("Capacity", "Is there room for the next months, at this rate?", said)


def _stored(start: datetime, end: datetime) -> list[Usage]:
    """By day (UTC) and service; what is deleted by now is not in it."""
    return [each for each in log_stores["default"].usage() if clock.micros(start) <= each.day < clock.micros(end)]


def _sum(usage: Iterable[Usage]) -> int:
    return sum(each.bytes for each in usage)


def _size(size: int) -> str:
    return str(filesizeformat(size)).replace("\xa0", " ")
