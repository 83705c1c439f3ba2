"""Parts of reports: of incidents, rules, services and containers. Each is a table with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from django.db.models import Avg, Count, Max

from alerts import mtt, visible
from alerts.models import Alert, Incident
from alerts.models.incidents import Status
from core import clock
from services import availability
from services import visible as services_visible
from services.durations import milliseconds, words
from services.models import Check, CheckHour, Container, ContainerSample, Service

ROWS_MAX: Final = 20
USUAL_DAYS: Final = 7  # with which a day is compared
UNUSUAL: Final = 2.0  # times as much as usual …
UNUSUAL_MIN: Final = 3  # … and at least so many alerts
MIB: Final = 1 << 20
SLOWER: Final = 1.2  # times the latency of the time before


class Span(msgspec.Struct, frozen=True):
    """The time of a report, up to now, and the one before."""

    start: datetime
    end: datetime
    earlier_start: datetime
    earlier_end: datetime
    now: datetime


class Section(msgspec.Struct, frozen=True):
    title: str
    look: str  # what somebody should look for
    said: str = ""  # what there is to say, as a sentence
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def incidents(span: Span) -> Section:
    found = mtt.of_all(span.start, span.end)
    earlier = mtt.of_all(span.earlier_start, span.earlier_end)
    # Those that have not ended, whenever they began.
    left = visible.incidents(Incident.objects.filter(opened_at__lt=span.end)).exclude(status=Status.RESOLVED)
    said = (
        f"{found.incidents} opened ({earlier.incidents} the time before), {found.resolved} of them resolved,"
        f" {left.count()} not resolved now. MTTA {_span(found.mtta)}, MTTR {_span(found.mttr)}."
    )
    rows = [
        (each.title, each.severity, each.get_status_display(), words(span.now - each.opened_at))
        for each in map(visible.without_hidden, left.order_by("opened_at", "pk")[:ROWS_MAX])
    ]
    look = "Is somebody at each that is open? What would have kept it from happening?"
    return Section("Incidents", look, said, ("not resolved", "severity", "status", "for"), rows)


def anomalies(span: Span) -> Section:
    """Rules with far more alerts than on the days before."""
    days = max((span.end - span.start) / timedelta(days=1), 1 / 24)
    before = span.start - timedelta(days=USUAL_DAYS)
    usual = {name: count / USUAL_DAYS for name, count in _fired(before, span.start).items()}
    rows = [
        (name, f"{count:,}", f"{usual.get(name, 0):.1f}")
        for name, count in sorted(_fired(span.start, span.end).items(), key=lambda pair: (-pair[1], pair[0]))
        if count >= UNUSUAL_MIN and count / days > UNUSUAL * usual.get(name, 0)
    ]
    said = "" if rows else "No rule had far more alerts than on the days before."
    look = "Which of them are new since a deploy, and which rules are only too sensitive?"
    return Section("Anomalies", look, said, ("rule", "alerts", "usual per day"), rows[:ROWS_MAX])


def _fired(start: datetime, end: datetime) -> dict[str, int]:
    """Alerts by the name of their rule."""
    found = visible.alerts(Alert.objects.filter(rule__isnull=False, fired_at__gte=start, fired_at__lt=end)).order_by()
    return dict(found.values_list("rule__name").annotate(Count("pk")))


def noisiest(span: Span) -> Section:
    found = mtt.noisiest(span.start, span.end)
    rows = [
        (each.name, f"{each.alerts:,}", f"{each.notifications:,}", f"{each.incidents:,}", f"{each.ignored:,}")
        for each in found
    ]
    said = "" if rows else "No rule fired."
    look = "What nobody acknowledges is noise: raise the threshold, make it wait longer, or delete the rule."
    columns = ("rule", "alerts", "notifications", "incidents", "ended unseen")
    return Section("Noisiest rules", look, said, columns, rows)


def times(span: Span) -> Section:
    rows = [
        (each.name or "without a service", f"{each.incidents:,}", _span(each.mtta), _span(each.mttr))
        for each in mtt.by_service(span.start, span.end)[:ROWS_MAX]
    ]
    said = "" if rows else "There was no incident."
    look = "Where does it take longest, and is it finding out, or putting it right?"
    return Section("Times to acknowledge and to resolve", look, said, ("service", "incidents", "MTTA", "MTTR"), rows)


def slow(span: Span) -> Section:
    """Checks that have become slower, and the slowest."""
    found, earlier = _latencies(span.start, span.end), _latencies(span.earlier_start, span.earlier_end)
    names = {
        check.pk: str(check)
        for check in Check.objects.filter(pk__in=found).select_related("service").only("name", "service__name")
    }
    rows = [
        (
            names[pk],
            milliseconds(took),
            milliseconds(earlier.get(pk)),
            "slower" if pk in earlier and took > SLOWER * earlier[pk] else "",
        )
        for pk, took in sorted(found.items(), key=lambda pair: -pair[1])[:ROWS_MAX]
        if pk in names
    ]
    said = "" if rows else "No check was asked."
    look = "What has become slower, and since which deploy?"
    return Section("Slowest checks", look, said, ("check", "p95", "the time before", "trend"), rows)


def _latencies(start: datetime, end: datetime) -> dict[int, float]:
    """The mean of the p95 of the hours, in µs, by check."""
    hours = CheckHour.objects.filter(hour__gte=clock.micros(start), hour__lt=clock.micros(end), p95_us__isnull=False)
    if hidden := services_visible.hidden_services():
        hours = hours.exclude(service_check__service__in=hidden)
    return dict(hours.order_by().values_list("service_check").annotate(Avg("p95_us")))


def resources(span: Span) -> Section:
    samples = ContainerSample.objects.filter(at__gte=clock.micros(span.start), at__lt=clock.micros(span.end))
    used = samples.order_by().values_list("container").annotate(Avg("cpu_percent"), Max("memory_bytes"))
    there = services_visible.containers(Container.objects.filter(removed_at=None)).in_bulk()
    found = [(there[pk], cpu or 0.0, memory or 0) for pk, cpu, memory in used if pk in there]
    found.sort(key=lambda each: (-_share(each[0], each[2]), -each[1], each[0].name))
    rows = [
        (
            box.name, f"{memory / MIB:,.0f} MiB", f"{_share(box, memory):.0f} %" if box.memory_limit else "",
            f"{cpu:.0f} %",
        )
        for box, cpu, memory in found[:ROWS_MAX]
    ]  # fmt: skip
    said = "" if rows else "No container was measured."
    look = "Which of them are near their limit?"
    return Section("Resources", look, said, ("container", "highest memory", "of its limit", "CPU on average"), rows)


def _share(container: Container, memory: int) -> float:
    """In percent."""
    return 100 * memory / container.memory_limit if container.memory_limit else 0.0


def availability_of_all(span: Span) -> Section:
    services = list(services_visible.services(Service.objects.order_by("name")))
    found = availability.for_services(services, span.start, span.end, now=span.now)
    counted = [(each, found[each.pk]) for each in services if found[each.pk].counted]
    missed = sum(each.meets_target is False for _, each in counted)
    ordered = sorted(counted, key=lambda pair: (pair[1].uptime or 0, pair[0].name))
    rows = [
        (
            service.name, f"{each.uptime_text} %", "met" if each.meets_target else "missed", f"{len(each.outages)}",
            _span(each.down), _signed(each.budget_left),
        )
        for service, each in ordered[:ROWS_MAX]
    ]  # fmt: skip
    said = (
        f"{len(counted) - missed} of {len(counted)} services met their target." if counted else "Nothing was watched."
    )
    look = "Whose error budget is spent? What waits until it is back?"
    return Section("SLA", look, said, ("service", "uptime", "target", "outages", "down", "budget left"), rows)


def _signed(span: timedelta) -> str:
    return f"−{words(-span)}" if span < timedelta(0) else words(span)


def _span(span: timedelta | None) -> str:
    return "–" if span is None else words(span)
