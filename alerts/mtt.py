"""How long incidents took: the mean time to acknowledge (MTTA) and to resolve (MTTR), by rule and by service; and
which rules are the noisiest.

Counted are incidents that were opened in a range of time, and that the viewer sees. MTTA is the mean of the times from
the opening to the first acknowledgement, of those that were acknowledged; MTTR that from the opening to the end, of
those that are over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from django.db.models import Count, Min, OuterRef, Subquery

from accounts import visibility
from alerts import visible
from alerts.models import Alert, AlertRule, Delivery, Incident, IncidentEvent
from alerts.models.deliveries import Reason
from alerts.models.incidents import Verb
from services.models import Service

INCIDENTS_MAX: Final = 50_000  # that are looked at, the newest
NOTHING: Final = timedelta(0)


class Times(msgspec.Struct, frozen=True):
    """Of some incidents."""

    name: str  # of the rule or the service; "" for those without one
    id: int | None
    incidents: int
    acknowledged: int
    resolved: int
    mtta: timedelta | None
    mttr: timedelta | None


class Noise(msgspec.Struct, frozen=True):
    """What a rule brought about."""

    name: str
    id: int
    alerts: int
    notifications: int
    incidents: int
    ignored: int  # incidents that ended although nobody had acknowledged them


class _Row(NamedTuple):
    rule: int | None
    service: int | None
    opened_at: datetime
    resolved_at: datetime | None
    acknowledged_at: datetime | None  # first


def of_all(start: datetime, end: datetime) -> Times:
    return _times("", None, _rows(start, end))


def by_rule(start: datetime, end: datetime) -> list[Times]:
    """Those with most incidents first."""
    return _by(start, end, lambda row: row.rule, dict(AlertRule.objects.values_list("pk", "name")))


def by_service(start: datetime, end: datetime) -> list[Times]:
    """Those with most incidents first."""
    return _by(start, end, lambda row: row.service, dict(Service.objects.values_list("pk", "name")))


def noisiest(start: datetime, end: datetime, most: int = 10) -> list[Noise]:
    """The rules with most alerts that fired."""
    fired = visible.alerts(Alert.objects.filter(rule__isnull=False, fired_at__gte=start, fired_at__lt=end)).order_by()
    counted = fired.values("rule").annotate(alerts=Count("pk")).order_by("-alerts", "rule")[:most]
    alerts: dict[int, int] = {row["rule"]: row["alerts"] for row in counted}
    names = dict(AlertRule.objects.filter(pk__in=alerts).values_list("pk", "name"))
    told = Delivery.objects.filter(created_at__gte=start, created_at__lt=end, incident__rule__in=alerts).order_by()
    told = told.exclude(reason__in=(Reason.SUMMARY, Reason.TEST))
    if visibility.current().limited:
        told = told.filter(incident__in=visible.incidents(Incident.objects.filter(rule__in=alerts)).order_by())
    notifications = dict(told.values_list("incident__rule").annotate(Count("pk")))
    rows = defaultdict(list)
    for row in _rows(start, end):
        rows[row.rule].append(row)
    return [
        Noise(
            names[rule],
            rule,
            fired_alerts,
            notifications.get(rule, 0),
            len(rows[rule]),
            sum(row.resolved_at is not None and row.acknowledged_at is None for row in rows[rule]),
        )
        for rule, fired_alerts in alerts.items()
    ]


def _rows(start: datetime, end: datetime) -> list[_Row]:
    # Taken back, an acknowledgement still was one: the events know.
    acknowledgements = IncidentEvent.objects.filter(incident=OuterRef("pk"), verb=Verb.ACKNOWLEDGE).order_by()
    first = acknowledgements.values("incident").annotate(at=Min("at")).values("at")
    found = visible.incidents(Incident.objects.filter(opened_at__gte=start, opened_at__lt=end))
    fields = ("rule", "service", "opened_at", "resolved_at", "first")
    newest = found.annotate(first=Subquery(first)).order_by("-opened_at")
    return [_Row(*row) for row in newest.values_list(*fields)[:INCIDENTS_MAX]]


def _by(start: datetime, end: datetime, which: Callable[[_Row], int | None], names: dict[int, str]) -> list[Times]:
    groups: dict[int | None, list[_Row]] = defaultdict(list)
    for row in _rows(start, end):
        groups[which(row)].append(row)
    times = [_times(names.get(pk or 0, ""), pk, rows) for pk, rows in groups.items()]
    return sorted(times, key=lambda each: (-each.incidents, each.name))


def _times(name: str, pk: int | None, rows: Sequence[_Row]) -> Times:
    answered = [row.acknowledged_at - row.opened_at for row in rows if row.acknowledged_at]
    over = [row.resolved_at - row.opened_at for row in rows if row.resolved_at]
    return Times(name, pk, len(rows), len(answered), len(over), _mean(answered), _mean(over))


def _mean(spans: Iterable[timedelta]) -> timedelta | None:
    spans = list(spans)
    return sum(spans, NOTHING) / len(spans) if spans else None
