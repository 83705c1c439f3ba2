"""What this process has counted, as plain numbers: counters, gauges and histograms, by the values of their labels.

One lock for all of them. It is taken once for a batch, a request or a message, and never for a line: so counting costs
a tenth of a microsecond where something takes a thousand. How the numbers come out is for `core.reporting` to say.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final

import msgspec

SERIES_MAX: Final = 300  # of one meter; what is more is counted together, under these labels:
OTHER: Final = "other"
# Seconds: of a request, a search, a transaction.
TIMES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = tuple[str, ...]


class Numbers(msgspec.Struct, frozen=True):
    """What a meter has counted, as it is sent. Of a counter and a gauge each series has one number; of a histogram the
    numbers of its buckets, not added up, the last one for what is beyond them, and then the sum."""

    name: str
    help: str
    kind: str  # "counter", "gauge", "histogram"
    labels: Labels
    series: list[tuple[Labels, list[float]]]
    bounds: tuple[float, ...] = ()


class Meter:
    """`name` as Prometheus wants it, a counter's without `_total`. Made once, where a module begins."""

    KIND = ""

    def __init__(self, name: str, help: str, *labels: str, bounds: Sequence[float] = ()) -> None:  # noqa: A002 - the field's own
        self.name, self.help, self.labels, self.bounds = name, help, labels, tuple(bounds)
        self.rows: dict[Labels, list[float]] = {}
        METERS[name] = self

    def _empty(self) -> list[float]:
        return [0.0]

    def _row(self, labels: Labels) -> list[float]:
        row = self.rows.get(labels)
        if row is None:
            if len(self.rows) >= SERIES_MAX:
                labels = tuple(OTHER for _ in labels)
            row = self.rows.setdefault(labels, self._empty())
        return row

    def numbers(self) -> Numbers:
        with _lock:
            series = [(labels, [*row]) for labels, row in self.rows.items()]
        return Numbers(self.name, self.help, self.KIND, self.labels, series, self.bounds)

    def value(self, *labels: str) -> float:
        """What was counted so far; of a histogram how often. For tests, and for who looks at itself."""
        with _lock:
            row = self.rows.get(labels, [0.0])
            return sum(row[:-1]) if self.bounds else row[0]


class Counter(Meter):
    """It only rises. One without labels begins with a zero, so that its first rise is seen."""

    KIND = "counter"

    def __init__(self, name: str, help: str, *labels: str) -> None:  # noqa: A002 - the field's own
        super().__init__(name, help, *labels)
        if not labels:
            self.rows[()] = self._empty()

    def add(self, amount: float, *labels: str) -> None:
        with _lock:
            self._row(labels)[0] += amount


class Gauge(Meter):
    """As things are now."""

    KIND = "gauge"

    def set(self, value: float, *labels: str) -> None:
        with _lock:
            self._row(labels)[0] = value

    def add(self, amount: float, *labels: str) -> None:
        with _lock:
            self._row(labels)[0] += amount


class Histogram(Meter):
    """How large the values were: in how many of them, up to each bound."""

    KIND = "histogram"

    def __init__(self, name: str, help: str, *labels: str, bounds: Sequence[float] = TIMES) -> None:  # noqa: A002 - the field's own
        super().__init__(name, help, *labels, bounds=bounds)

    def _empty(self) -> list[float]:
        return [0.0] * (len(self.bounds) + 2)

    def observe(self, value: float, *labels: str) -> None:
        with _lock:
            row = self._row(labels)
            row[bisect_left(self.bounds, value)] += 1
            row[-1] += value

    @contextmanager
    def timed(self, *labels: str) -> Iterator[None]:
        """Observes how many seconds the block takes, also if it fails."""
        began = perf_counter()
        try:
            yield
        finally:
            self.observe(perf_counter() - began, *labels)


METERS: Final[dict[str, Meter]] = {}
_lock: Final = threading.Lock()


def counted() -> list[Numbers]:
    """Of all meters that have a number."""
    return [meter.numbers() for meter in [*METERS.values()] if meter.rows]
