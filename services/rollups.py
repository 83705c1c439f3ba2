"""Results become hours, and old results go.

Each check has its turn every few minutes: its newest hour is counted anew, and the ones after it, up to now. So an hour
is complete once there is a later one, and what was missed while nobody counted is made up for. Whoever does it twice
gets the same.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median_low
from typing import Any, Final

from django.conf import settings
from django.db.models import F, Min, OuterRef, Subquery

from core import clock
from services.models import Check, CheckHour, CheckResult
from services.status import Outcome

TURNS: Final = 10  # minutes until it is a check's turn again
SETTLED_AFTER: Final = 2 * clock.MINUTE  # an answer may be written that late
DELETED_MAX: Final = 1_000  # rows in one statement

Row = tuple[int, int, int | None, Any]  # at, outcome, latency, parts


def upkeep(now: int, budget: float) -> int:
    """Gives those checks their turn that have it in this minute; says how many had it.

    `now` is in µs, `budget` in seconds; what is left over then has to wait for its next turn.
    """
    deadline = time.monotonic() + budget
    cutoff = now - settings.RESULTS_RETENTION_DAYS * clock.DAY
    done = 0
    for check, newest, oldest in _whose_turn(now // clock.MINUTE % TURNS):
        if time.monotonic() > deadline:
            break
        if not _roll_up(check, newest, now, deadline):
            break
        if settings.RESULTS_RETENTION_DAYS and oldest is not None and oldest < cutoff:
            _delete(check, cutoff, deadline)
        done += 1
    return done


def _whose_turn(turn: int) -> Sequence[tuple[int, int | None, int | None]]:
    """Checks, each with its newest hour and the time of its oldest result."""
    hours = CheckHour.objects.filter(service_check=OuterRef("pk")).order_by("-hour").values("hour")[:1]
    results = CheckResult.objects.filter(service_check=OuterRef("pk")).order_by("at").values("at")[:1]
    checks = Check.objects.annotate(turn=F("pk") % TURNS).filter(turn=turn)
    return list(checks.values_list("pk", Subquery(hours), Subquery(results)))


def _roll_up(check: int, newest: int | None, now: int, deadline: float) -> bool:
    """False if the time was over before all hours were counted."""
    hour = _hour_with_results(check, newest or 0)
    while hour is not None:
        if time.monotonic() > deadline:
            return False
        _store(check, hour)
        if now < hour + clock.HOUR + SETTLED_AFTER:
            break
        hour = _hour_with_results(check, hour + clock.HOUR)
    return True


def _hour_with_results(check: int, start: int) -> int | None:
    """The first one from `start` on."""
    at: int | None = CheckResult.objects.filter(service_check=check, at__gte=start).aggregate(at=Min("at"))["at"]
    return None if at is None else at - at % clock.HOUR


def _store(check: int, hour: int) -> None:
    results = CheckResult.objects.filter(service_check=check, at__gte=hour, at__lt=hour + clock.HOUR)
    values = summary(results.values_list("at", "outcome", "latency_us", "parts").iterator())
    CheckHour.objects.update_or_create(service_check_id=check, hour=hour, defaults=values)


def summary(results: Iterable[Row]) -> dict[str, Any]:
    """The fields of a CheckHour."""
    outcomes: Counter[int] = Counter()
    latencies: list[int] = []
    parts: defaultdict[str, list[float]] = defaultdict(list)
    for _, outcome, latency, found in results:
        outcomes[outcome] += 1
        if latency is not None:
            latencies.append(latency)
        for path, took in _parts(found):
            parts[path].append(took)
    latencies.sort()
    return {
        **{each.name.lower(): outcomes[each] for each in Outcome},
        "p50_us": percentile(latencies, 50),
        "p95_us": percentile(latencies, 95),
        "max_us": percentile(latencies, 100),
        "parts": {path: median_low(took) for path, took in parts.items()} or None,
    }


def _parts(found: Any) -> Iterator[tuple[str, float]]:
    for part in found or ():
        if (took := part.get("latency_ms")) is not None:
            yield part["path"], took


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile; None of nothing."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def _delete(check: int, cutoff: int, deadline: float) -> None:
    """In small steps: others write in between."""
    old = CheckResult.objects.filter(service_check=check, at__lt=cutoff)
    while time.monotonic() <= deadline:
        some = list(old.order_by("at").values_list("pk", flat=True)[:DELETED_MAX])
        if some:
            CheckResult.objects.filter(pk__in=some).delete()
        if len(some) < DELETED_MAX:
            return
