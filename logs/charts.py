"""A histogram for people: bars of a round length for the chart, and the same numbers as a table. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from core import clock
from logs.records import LEVELS
from logs.store.base import Histogram

BARS_MAX: Final = 90
SECONDS: Final = (1, 2, 5, 10, 15, 30)
MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 7 * 1440, 30 * 1440)
STEPS: Final = (*(n * clock.SECOND for n in SECONDS), *(n * clock.MINUTE for n in MINUTES))


def step_of(span: int) -> int:
    """The bar width that shows `span` in at most BARS_MAX bars, both in microseconds."""
    return next((step for step in STEPS if span <= step * BARS_MAX), max(STEPS[-1], span // BARS_MAX))


def data(counted: Histogram, start: int, end: int, shown: set[str]) -> dict[str, Any]:
    """What static/pharos/chart.js draws, with the levels `shown`. Times are milliseconds."""
    return {
        "step": counted.step // 1000,
        "start": start // 1000,
        "end": end // 1000,
        "levels": [[name, name in shown] for name in LEVELS],
        "buckets": [[bucket // 1000, *counts] for bucket, counts in sorted(counted.buckets.items())],
    }


def table(counted: Histogram) -> list[tuple[datetime, list[int]]]:
    """The newest bar first and in it the worst level first, without bars that are empty."""
    newest_first = sorted(counted.buckets.items(), reverse=True)
    return [(clock.moment(bucket), counts[::-1]) for bucket, counts in newest_first if any(counts)]
