"""Reports of a day, a week or a month: what happened, what is unusual, what to look at. For the page and for mail.

Each section says what to look for, and can be ticked off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

import msgspec

from alerts import report_logs, report_sections
from alerts.models.reports import Cadence
from alerts.report_sections import Section, Span
from services import sla
from services.sla import Period

SECTIONS: Final[Mapping[str, Sequence[tuple[str, Callable[[Span], Section]]]]] = {
    Cadence.DAILY: (
        ("incidents", report_sections.incidents),
        ("anomalies", report_sections.anomalies),
        ("errors", report_logs.errors),
        ("resources", report_sections.resources),
    ),
    Cadence.WEEKLY: (
        ("incidents", report_sections.incidents),
        ("noisiest", report_sections.noisiest),
        ("times", report_sections.times),
        ("slow", report_sections.slow),
        ("errors", report_logs.errors),
        ("sla", report_sections.availability_of_all),
    ),
    Cadence.MONTHLY: (
        ("incidents", report_sections.incidents),
        ("noisiest", report_sections.noisiest),
        ("times", report_sections.times),
        ("sla", report_sections.availability_of_all),
        ("volume", report_logs.volume),
        ("capacity", report_logs.capacity),
    ),
}
MAIL_ROWS: Final = 5  # of a section
OF_LOGS: Final = frozenset({"errors", "volume", "capacity"})  # for those who may read logs


class Report(msgspec.Struct, frozen=True):
    cadence: str
    period: Period
    sections: Mapping[str, Section]  # by the key that is ticked off

    @property
    def title(self) -> str:
        return title(self.cadence, self.period)


def title(cadence: str, period: Period) -> str:
    """ "Day 2026-11-20", "Week 2026-11-16 to 2026-11-22", "Month November 2026"."""
    if cadence == Cadence.DAILY:
        return f"Day {period.first}"
    return f"Week {period.first} to {period.last}" if cadence == Cadence.WEEKLY else f"Month {period.first:%B %Y}"


def period_of(cadence: str, day: date, zone: tzinfo) -> Period:
    """That with the day; weeks begin on Monday."""
    if cadence == Cadence.MONTHLY:
        return sla.month(day, zone)
    if cadence == Cadence.WEEKLY:
        monday = day - timedelta(days=day.weekday())
        return Period(monday, monday + timedelta(days=6), zone)
    return Period(day, day, zone)


def before(cadence: str, period: Period) -> Period:
    return period_of(cadence, period.first - timedelta(days=1), period.zone)


def after(cadence: str, period: Period) -> Period:
    return period_of(cadence, period.last + timedelta(days=1), period.zone)


def build(cadence: str, period: Period, now: datetime, *, logs: bool = True) -> Report:
    """Of what has been of it. Without `logs`, nothing that is known from log lines."""
    earlier = before(cadence, period)
    span = Span(period.start, min(period.end, now), earlier.start, earlier.end, now)
    wanted = [(key, make) for key, make in SECTIONS[cadence] if logs or key not in OF_LOGS]
    return Report(cadence, period, {key: make(span) for key, make in wanted})


def as_text(report: Report) -> str:
    """For mail and chat: a paragraph for each section."""
    return "\n\n".join("\n".join(_lines(section)) for section in report.sections.values())


def _lines(section: Section) -> Iterable[str]:
    yield section.title
    if section.said:
        yield f"  {section.said}"
    for row in section.rows[:MAIL_ROWS]:
        told = [f"{column} {cell}" for column, cell in zip(section.columns[1:], row[1:], strict=True) if cell]
        yield f"  - {row[0]}: {', '.join(told)}" if told else f"  - {row[0]}"
    if len(section.rows) > MAIL_ROWS:
        yield f"  and {len(section.rows) - MAIL_ROWS} more"
