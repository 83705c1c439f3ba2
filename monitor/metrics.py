"""`/metrics`, for Prometheus: what all processes have counted, and how things are now.

Each process reports for itself (`core.reporting`), and whichever web process is asked shows them all: so one address is
enough, however many processes there are. Their series have the labels `process` and `replica`; numbers that belong to
the whole have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import redis
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from accounts.api import for_readers
from core import reporting
from core.meters import Numbers
from core.reporting import Report
from monitor import state

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PERMISSION: Final = "logs.read_records"
WHO: Final = ("process", "replica")


@never_cache
@for_readers(PERMISSION, "read metrics")
def page(request: HttpRequest) -> HttpResponse:
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

    return HttpResponse(text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def text() -> bytes:
    # Only who is asked for metrics needs the package.
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class All(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from families(reports(), state.found())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(All())
    return generate_latest(registry)


def reports() -> list[Report]:
    """Those of all processes that run; our own as it is now, whatever Redis has."""
    own = reporting.own()
    try:
        with reporting.connect() as client:
            others = [each for each in reporting.reports(client) if each.alive]
    except (redis.RedisError, OSError):
        others = []
    if own is None:
        return others
    return [own, *(each for each in others if (each.process, each.replica) != (own.process, own.replica))]


def families(several: Iterable[Report], whole: Iterable[Numbers]) -> Iterator[Metric]:
    by_name: dict[str, Metric] = {}
    for report in several:
        who = (report.process, report.replica)
        up = state.gauge("pharos_process_up", "Processes that report.", 1.0)
        ahead = state.gauge("pharos_clock_ahead_seconds", "How far its host's clock is ahead of Redis'.", report.clock)
        for numbers in (up, ahead, *report.numbers):
            family = by_name.setdefault(numbers.name, _family(numbers, WHO))
            if family.type == numbers.kind:  # a process of another version may mean something else by the name
                _add(family, numbers, who)
    for numbers in whole:
        _add(by_name.setdefault(numbers.name, _family(numbers)), numbers)
    yield from (by_name[name] for name in sorted(by_name))


def _family(numbers: Numbers, who: tuple[str, ...] = ()) -> Metric:
    from prometheus_client import metrics_core as core

    kinds = {
        "counter": core.CounterMetricFamily, "gauge": core.GaugeMetricFamily, "histogram": core.HistogramMetricFamily
    }  # fmt: skip
    family: Metric = kinds[numbers.kind](numbers.name, numbers.help, labels=[*who, *numbers.labels])
    return family


def _add(family: Metric, numbers: Numbers, who: tuple[str, ...] = ()) -> None:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    for labels, values in numbers.series:
        if isinstance(family, HistogramMetricFamily):
            *counts, total = values
            bounds = [*map(repr, numbers.bounds), "+Inf"]
            family.add_metric([*who, *labels], [*zip(bounds, accumulate(counts), strict=True)], total)
        elif isinstance(family, (CounterMetricFamily, GaugeMetricFamily)):
            family.add_metric([*who, *labels], values[0])
