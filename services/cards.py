"""The card of a service, for the list, the start page and their WebSockets: one function, one fragment, as many queries
for any number."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.template.loader import get_template
from django.utils.safestring import SafeString

from core import clock
from services import availability, drawings
from services.durations import milliseconds
from services.listing import Brief
from services.models import Check, CheckHour, CheckResult, Service
from services.status import Role

SPARK_HOURS: Final = 24
FRESH: Final = 10 * clock.MINUTE  # what is drawn of a check that is younger than SPARK_MIN hours
FRESH_POINTS: Final = 30
SPARK_MIN: Final = 4  # hours
FRESH_ROWS: Final = 20_000  # of results, for all cards of a page
# Whose latency stands for the service: that of what users wait for.
_FIRST: Final = {Role.READINESS: 0, Role.HEALTH: 1, Role.LIVENESS: 2}
UPTIME_DAYS: Final = 30


class Asked(NamedTuple):
    """The check that stands for its service."""

    pk: int
    latency_us: int | None


def render(briefs: Sequence[Brief], now: datetime) -> list[SafeString]:
    """In the order of `briefs`. Seven queries for any number of services."""
    if not briefs:
        return []
    ids = [brief.pk for brief in briefs]
    checks = leading(ids)
    strips = availability.strip(ids, now)
    # Only the keys are needed of them.
    known = availability.for_services([Service(pk=pk) for pk in ids], now - timedelta(days=UPTIME_DAYS), now)
    sparks = _sparks([check.pk for check in checks.values()], clock.micros(now))
    template = get_template("services/_card.html")
    cards = []
    for brief in briefs:
        check = checks.get(brief.pk)
        context = {
            "service": brief,
            "uptime": percent(known[brief.pk].uptime) if brief.pk in known else "",
            "strip": drawings.strip(strips.get(brief.pk, [])),
            "latency": milliseconds(check.latency_us) if check else "",
            "spark": drawings.spark(sparks.get(check.pk, []) if check else []),
        }
        cards.append(SafeString(template.render(context).strip()))
    return cards


def leading(services: Sequence[int]) -> dict[int, Asked]:
    """The check that stands for each of them; one query."""
    found: dict[int, tuple[int, Asked]] = {}
    rows = Check.objects.filter(service__in=services, enabled=True).order_by("pk")
    for service, role, pk, latency in rows.values_list("service", "role", "pk", "latency_us"):
        rank = _FIRST.get(Role(role), len(_FIRST))
        if service not in found or rank < found[service][0]:
            found[service] = (rank, Asked(pk, latency))
    return {service: asked for service, (_, asked) in found.items()}


def percent(share: float | None) -> str:
    """With two decimals, never rounded up: "99.99 %" until there is no outage at all."""
    if share is None:
        return ""
    return "100 %" if share >= 100 else f"{math.floor(share * 100) / 100:.2f} %"


def _sparks(checks: Sequence[int], now: int) -> dict[int, list[float | None]]:
    """The median latency of each hour of a day; of young checks, that of the last minutes."""
    first = now - now % clock.HOUR - SPARK_HOURS * clock.HOUR
    hours: Mapping[int, dict[int, float]] = defaultdict(dict)
    rows = CheckHour.objects.filter(service_check__in=checks, hour__gte=first, p50_us__isnull=False)
    for check, hour, p50 in rows.values_list("service_check", "hour", "p50_us"):
        hours[check][(hour - first) // clock.HOUR] = p50 or 0
    young = [check for check in checks if len(hours[check]) < SPARK_MIN]
    sparks: dict[int, list[float | None]] = {
        check: [hours[check].get(n) for n in range(SPARK_HOURS)] for check in checks if check not in set(young)
    }
    return sparks | _fresh(young, now)


def _fresh(checks: Sequence[int], now: int) -> dict[int, list[float | None]]:
    width = FRESH // FRESH_POINTS
    first = now - FRESH
    points: Mapping[int, list[float | None]] = defaultdict(lambda: [None] * (FRESH_POINTS + 1))
    rows = CheckResult.objects.filter(service_check__in=checks, at__gte=first, latency_us__isnull=False)
    for check, at, latency in rows.values_list("service_check", "at", "latency_us")[:FRESH_ROWS]:
        points[check][min((at - first) // width, FRESH_POINTS)] = latency
    return {check: [value for value in values if value is not None] for check, values in points.items()}
