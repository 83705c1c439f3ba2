"""What a container used over a time, as static/pharos/containers.js draws it."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Avg, F, Max

from core import clock
from services.glance import event_colour
from services.models import Container, ContainerEvent, ContainerSample

PERIODS: Final = {
    "1h": ("hour", clock.HOUR, 20 * clock.SECOND),
    "6h": ("6 hours", 6 * clock.HOUR, 2 * clock.MINUTE),
    "24h": ("day", clock.DAY, 10 * clock.MINUTE),
    "7d": ("7 days", 7 * clock.DAY, clock.HOUR),
}
SERIES: Final = ("cpu_percent", "memory_bytes", "network_rx", "network_tx", "block_read", "block_write")
MARKS: Final = (
    ContainerEvent.Kind.DEPLOY,
    ContainerEvent.Kind.DIE,
    ContainerEvent.Kind.OOM,
    ContainerEvent.Kind.RESTART_LOOP,
    ContainerEvent.Kind.START,
)
MARKS_MAX: Final = 40


def data(container: Container, period: str, now: int) -> dict[str, Any]:
    """Times are milliseconds; a step without a sample is None. CPU is the highest of a step, the rest its average."""
    _, span, step = PERIODS[period]
    last = now // step
    first = last - span // step + 1
    rows = (
        ContainerSample.objects.filter(container=container, at__gte=first * step)
        .order_by()
        .values_list(F("at") / step)
        .annotate(Max("cpu_percent"), *(Avg(name) for name in SERIES[1:]))
    )
    by_bucket = {int(bucket): values for bucket, *values in rows}
    empty: list[float | None] = [None] * len(SERIES)
    columns = zip(*(by_bucket.get(bucket, empty) for bucket in range(first, last + 1)), strict=True)
    found = {name: [_short(value) for value in column] for name, column in zip(SERIES, columns, strict=True)}
    return {
        "start": first * step // 1_000,
        "step": step // 1_000,
        "end": now // 1_000,
        "memory_limit": container.memory_limit,
        "marks": _marks(container, first * step),
        **found,
    }


def _short(value: float | None) -> float | None:
    if value is None:
        return None
    return round(value, 1) if value < 1_000 else round(value)


def _marks(container: Container, start: int) -> list[dict[str, Any]]:
    """The newest events that explain a line. A deploy has its container's name and that of the container before."""
    events = ContainerEvent.objects.filter(container=container, at__gte=clock.moment(start), kind__in=MARKS)
    return [
        {
            "at": clock.micros(event.at) // 1_000,
            "text": " ".join(filter(None, (str(ContainerEvent.Kind(event.kind).label), event.detail))),
            "colour": event_colour(event),
        }
        for event in events[:MARKS_MAX]
    ]
