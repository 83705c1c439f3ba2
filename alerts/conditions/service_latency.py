"""A service answers its checks slowly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from statistics import fmean
from typing import Annotated, Final, Literal

import msgspec

from alerts.conditions import of_services
from alerts.conditions.base import Measured, Sample, capped, whatever_fits
from alerts.conditions.of_services import Chosen, Names, described
from alerts.facts import CheckFacts, Facts, ServiceFacts
from core import clock
from services import rollups
from services.durations import milliseconds, words
from services.models import CheckHour, CheckResult

LABEL = "service: latency"
HELP = "How long the answers to a service's checks take, over the window. Runs of jobs don't count."
MEASURES = True
UNIT = "ms"

Asked = tuple[ServiceFacts, CheckFacts]
RESULTS_MAX: Final = 300_000  # of a replay; of more, the hours are taken
Statistic = Literal["p95", "average", "highest"]


class Config(Chosen, frozen=True):
    checks: Names = ()
    window: Annotated[int, msgspec.Meta(ge=10, le=900)] = 300  # seconds
    statistic: Statistic = "p95"
    at_least: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 5  # answers, to say anything


check = whatever_fits


def describe(config: Config) -> str:
    return f"{config.statistic} of the latency of {described(config)} over {words(config.window)}"


def measure(config: Config, facts: Facts, *, most: int) -> Measured:
    return _judged(config, _checks(config, facts), facts.latencies(config.window), most)


def replay(
    config: Config, start: datetime, end: datetime, step: float, *, most: int
) -> Iterator[tuple[datetime, Measured]]:
    """Of many answers only those of whole hours are told."""
    checks = _checks(config, Facts(end))
    since = clock.micros(start) - config.window * clock.SECOND
    results = CheckResult.objects.filter(service_check__in=checks, at__gt=since, at__lt=clock.micros(end))
    if results.count() > RESULTS_MAX:
        yield from _by_hours(config, checks, start, end, step, most)
        return
    coming = deque(results.order_by("at").values_list("at", "service_check", "latency_us"))
    there: dict[int, deque[tuple[int, int]]] = {pk: deque() for pk in checks}
    for moment in of_services.moments(start, end, step):
        at = clock.micros(moment)
        while coming and coming[0][0] <= at:
            asked, pk, took = coming.popleft()
            if took is not None:
                there[pk].append((asked, took))
        for answers in there.values():
            while answers and answers[0][0] <= at - config.window * clock.SECOND:
                answers.popleft()
        latencies = {pk: [took for _, took in answers] for pk, answers in there.items()}
        yield moment, _judged(config, checks, latencies, most)


def _by_hours(
    config: Config, checks: Mapping[int, Asked], start: datetime, end: datetime, step: float, most: int
) -> Iterator[tuple[datetime, Measured]]:
    rows = CheckHour.objects.filter(
        service_check__in=checks, hour__gt=clock.micros(start) - clock.HOUR, hour__lt=clock.micros(end)
    )
    known = {
        (pk, hour): took for pk, hour, took in rows.values_list("service_check", "hour", OF_HOUR[config.statistic])
    }
    for moment in of_services.moments(start, end, step):
        at = clock.micros(moment)
        values = {pk: known.get((pk, at - at % clock.HOUR)) for pk in checks}
        yield moment, _measured(config, checks, {pk: took for pk, took in values.items() if took is not None}, most)


def _checks(config: Config, facts: Facts) -> dict[int, Asked]:
    return {
        each.pk: (service, each)
        for service, each in of_services.checks(config, facts)
        if each.kind != "heartbeat" and (not config.checks or of_services.is_named(each.name, config.checks))
    }


def _judged(config: Config, checks: Mapping[int, Asked], latencies: Mapping[int, Sequence[int]], most: int) -> Measured:
    enough = {pk: took for pk in checks if len(took := latencies.get(pk, ())) >= config.at_least}
    return _measured(config, checks, {pk: STATISTICS[config.statistic](took) for pk, took in enough.items()}, most)


def _measured(config: Config, checks: Mapping[int, Asked], values: Mapping[int, float], most: int) -> Measured:
    samples = []
    for pk, micros in values.items():
        service, each = checks[pk]
        detail = f"{each.name} takes {milliseconds(micros)} ({config.statistic} of {words(config.window)})"
        samples.append(Sample({"service": service.name, "check": each.name}, micros / 1_000, detail))
    return capped(Measured(of_services.by_value(samples), no_data=not samples), most)


def _p95(took: Sequence[int]) -> float:
    return rollups.percentile(sorted(took), 95) or 0


STATISTICS: Final[dict[str, Callable[[Sequence[int]], float]]] = {"p95": _p95, "average": fmean, "highest": max}
OF_HOUR: Final = {"p95": "p95_us", "average": "p50_us", "highest": "max_us"}
