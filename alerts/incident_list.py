"""The list of incidents: which of them a page shows. Open ones first, then acknowledged ones; new before old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from django.contrib.auth import get_user_model
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from alerts import visible
from alerts.models import AlertRule, Incident
from alerts.models.incidents import Status
from alerts.severity import RANK, Severity
from services.models import Service

ROWS_MAX: Final = 50  # on a page
TEXT_MAX: Final = 200  # characters of a parameter
CHOICES_MAX: Final = 200
NOBODY: Final = "-"  # as an assignee; no user has this name
PERIODS: Final = {
    "1h": ("hour", timedelta(hours=1)),
    "24h": ("day", timedelta(days=1)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "90d": ("90 days", timedelta(days=90)),
}


class Wanted(msgspec.Struct, frozen=True):
    """What an address asks for."""

    q: str = ""
    status: str = ""
    severity: str = ""
    service: str = ""  # its name
    rule: str = ""  # its name
    assignee: str = ""  # a user's name, or NOBODY
    opened: str = ""  # a key of PERIODS
    page: int = 1

    @property
    def narrows(self) -> bool:
        return any(value for name, value in self.parameters.items() if name != "page")

    @property
    def parameters(self) -> dict[str, str]:
        """As in an address; "" for what is not asked for."""
        given = {name: str(getattr(self, name)) for name in self.__struct_fields__}
        return given | {"page": "" if self.page == 1 else str(self.page)}


class Listing(NamedTuple):
    rows: Sequence[Incident]
    counts: Counter[str]  # by status, of all that match the other filters
    matching: int
    pages: int


class Choices(NamedTuple):
    """What incidents can be narrowed to: names."""

    services: Sequence[str]
    rules: Sequence[str]
    assignees: Sequence[str]


def parse(parameters: QueryDict) -> Wanted:
    """Never fails: what is not understood is left out, as in an old link."""
    given: dict[str, Any] = {name: parameters.get(name, "").strip()[:TEXT_MAX] for name in Wanted.__struct_fields__}
    known = {"status": Status.values, "severity": Severity.values, "opened": PERIODS}
    for name, values in known.items():
        if given[name] not in values:
            given[name] = ""
    page = given["page"]
    given["page"] = max(int(page), 1) if page.isascii() and page.isdecimal() and len(page) < 7 else 1
    return Wanted(**given)


def look(wanted: Wanted, now: datetime) -> Listing:
    statuses = [status for status in Status.values if wanted.status in ("", status)]
    return _look(_matching(wanted, now), statuses, wanted.page, ROWS_MAX)


def active(most: int) -> Listing:
    """Those that are not over, at most `most` of them: open ones first, the worst first."""
    unresolved = visible.incidents(Incident.objects.exclude(status=Status.RESOLVED)).order_by(RANK, "-opened_at", "-pk")
    return _look(unresolved, [Status.OPEN, Status.ACKNOWLEDGED], 1, most)


def _look(matching: QuerySet[Incident], statuses: Sequence[str], page: int, most: int) -> Listing:
    counts: Counter[str] = Counter(dict(matching.order_by().values_list("status").annotate(Count("pk"))))
    total = sum(counts[status] for status in statuses)
    pages = max(-(-total // most), 1)
    rows = _rows(matching, statuses, counts, (min(page, pages) - 1) * most, most)
    return Listing(rows, counts, total, pages)


def _rows(
    matching: QuerySet[Incident], statuses: Sequence[str], counts: Counter[str], start: int, most: int
) -> Sequence[Incident]:
    """A query for each status that the page shows, by its index: a long history is not sorted."""
    rows: dict[int, Incident] = {}  # by id: one that is acknowledged just now is found by two of the queries
    related = matching.select_related("service", "assignee", "acknowledged_by", "resolved_by")
    for status in statuses:
        if start < counts[status] and len(rows) < most:
            rows |= {row.pk: row for row in related.filter(status=status)[start : start + most - len(rows)]}
        start = max(start - counts[status], 0)
    return [visible.without_hidden(row) for row in rows.values()]


def _matching(wanted: Wanted, now: datetime) -> QuerySet[Incident]:
    found = visible.incidents(Incident.objects.order_by("-opened_at", "-pk"))
    for word in wanted.q.split():
        said = Q(title__icontains=word) | Q(summary__icontains=word)
        number = word.removeprefix("#")
        found = found.filter(said | Q(pk=int(number)) if number.isdecimal() and len(number) < 19 else said)
    if wanted.severity:
        found = found.filter(severity=wanted.severity)
    if wanted.service:
        found = found.filter(service__name=wanted.service)
    if wanted.rule:
        found = found.filter(rule__name=wanted.rule)
    if wanted.assignee:
        found = (
            found.filter(assignee=None)
            if wanted.assignee == NOBODY
            else found.filter(assignee__username=wanted.assignee)
        )
    if wanted.opened:
        found = found.filter(opened_at__gte=now - PERIODS[wanted.opened][1])
    return found


def choices() -> Choices:
    def names(model: Any, field: str, of: str) -> list[str]:
        has = Exists(visible.incidents(Incident.objects.filter(**{of: OuterRef("pk")})).order_by())
        return list(model.objects.filter(has).order_by(field).values_list(field, flat=True)[:CHOICES_MAX])

    return Choices(
        names(Service, "name", "service"),
        names(AlertRule, "name", "rule"),
        names(get_user_model(), "username", "assignee"),
    )


def open_count() -> int:
    """Those that nobody has acknowledged: the number in the sidebar."""
    return visible.incidents(Incident.objects.filter(status=Status.OPEN)).order_by().count()
