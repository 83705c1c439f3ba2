"""What containers used in the last minutes, for the small lines in their table. That of one: container_series.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import Avg, F

from core import clock
from services.models import ContainerSample

POINTS: Final = 30
STEP: Final = 30 * clock.SECOND


class Usage(NamedTuple):
    """What a container used, the newest last; None where nothing was measured."""

    cpu: tuple[float | None, ...]  # percent
    memory: tuple[float | None, ...]  # bytes


def usages(containers: Collection[int], now: datetime) -> dict[int, Usage]:
    """By container; one query. Of whole steps only: one that goes on would change with each answer."""
    end = clock.micros(now) // STEP
    steps = range(end - POINTS, end)
    rows = (
        ContainerSample.objects.filter(container__in=containers, at__gte=steps.start * STEP, at__lt=end * STEP)
        .order_by()
        .values_list("container", F("at") / STEP)
        .annotate(Avg("cpu_percent"), Avg("memory_bytes"))
    )
    cpu: dict[int, dict[int, float | None]] = defaultdict(dict)
    memory: dict[int, dict[int, float | None]] = defaultdict(dict)
    for container, bucket, percent, size in rows:
        cpu[container][int(bucket)], memory[container][int(bucket)] = percent, size
    return {
        container: Usage(tuple(map(values.get, steps)), tuple(map(memory[container].get, steps)))
        for container, values in cpu.items()
    }
