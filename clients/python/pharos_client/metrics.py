"""Numbers about a service in the text format of Prometheus, for whoever asks for `/metrics`.

    orders = registry.counter("orders_total", "Orders that were placed.", "shop")
    orders.add(shop="milan")

The middlewares of `.django`, `.asgi` and `.wsgi` count requests with it. It counts within one process.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SERIES: Final = 500  # of one metric: what comes later is counted as OTHER
OTHER: Final = "other"
UNMATCHED: Final = "unmatched"  # the route of an address that there isn't
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)

Labels = tuple[str, ...]


class Metric:
    """One name, with a series for each set of label values."""

    kind = ""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        for word in (name, *labels):
            if not _NAME.fullmatch(word):
                raise ValueError(f"expected a name of letters, digits and _, got {word!r}")
        self.name, self.help, self.labels = name, help_text, tuple(labels)
        self._series: dict[Labels, Any] = {}
        # Reentrant: a destructor that counts may run while its own thread is in here.
        self._lock = threading.RLock()

    def _key(self, given: dict[str, Any]) -> Labels:
        """Of the series: an old one, or a new one while there may be more."""
        key = tuple(str(given[name]) for name in self.labels)
        return key if key in self._series or len(self._series) < SERIES else (OTHER,) * len(key)

    def text(self) -> Iterator[str]:
        with self._lock:
            series = sorted(self._series.items())
            lines = [line for key, value in series for line in self._lines(key, value)]
        help_text = self.help.replace("\\", "\\\\").replace("\n", "\\n")
        yield from (f"# HELP {self.name} {help_text}", f"# TYPE {self.name} {self.kind}", *lines)

    def _lines(self, key: Labels, value: Any) -> Iterator[str]:
        yield self._line("", key, value)

    def _line(self, suffix: str, key: Labels, value: float, *more: str) -> str:
        pairs = [f'{name}="{_escaped(text)}"' for name, text in zip(self.labels, key, strict=True)]
        inside = ",".join([*pairs, *more])
        return f"{self.name}{suffix}{{{inside}}} {value!r}" if inside else f"{self.name}{suffix} {value!r}"


class Counter(Metric):
    """Only grows. By custom its name ends in `_total`."""

    kind = "counter"

    def add(self, number: float = 1, /, **labels: Any) -> None:
        with self._lock:
            key = self._key(labels)
            self._series[key] = self._series.get(key, 0) + number


class Gauge(Counter):
    """Goes up and down."""

    kind = "gauge"

    def set(self, number: float, /, **labels: Any) -> None:
        with self._lock:
            self._series[self._key(labels)] = number


class Histogram(Metric):
    """How often values were at most so large. In seconds, by custom."""

    kind = "histogram"

    def __init__(self, name: str, help_text: str, labels: Sequence[str], buckets: Sequence[float] = BUCKETS) -> None:
        super().__init__(name, help_text, labels)
        self.buckets = tuple(sorted(buckets))

    def observe(self, value: float, /, **labels: Any) -> None:
        with self._lock:
            key = self._key(labels)
            # The numbers of the buckets, the last of which has no upper end, and the sum.
            numbers = self._series.setdefault(key, [*(0 for _ in self.buckets), 0, 0.0])
            numbers[bisect_left(self.buckets, value)] += 1
            numbers[-1] += value

    def _lines(self, key: Labels, value: list[float]) -> Iterator[str]:
        *numbers, total = value
        count = 0
        for bound, number in zip((*map(repr, self.buckets), "+Inf"), numbers, strict=True):
            count += int(number)
            yield self._line("_bucket", key, count, f'le="{bound}"')
        yield self._line("_sum", key, total)
        yield self._line("_count", key, count)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


M = TypeVar("M", bound=Metric)


class Registry:
    """The metrics of a process. To ask for one that is there already returns it."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return self._added(Counter(name, help_text, labels))

    def gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return self._added(Gauge(name, help_text, labels))

    def histogram(self, name: str, help_text: str, *labels: str, buckets: Sequence[float] = BUCKETS) -> Histogram:
        return self._added(Histogram(name, help_text, labels, buckets))

    def _added(self, metric: M) -> M:
        there: Any = self._metrics.setdefault(metric.name, metric)
        if type(there) is not type(metric) or there.labels != metric.labels:
            raise ValueError(f"expected another name than {metric.name!r}: it is a {there.kind} of {there.labels}")
        return there

    def text(self) -> str:
        return "".join(f"{line}\n" for metric in list(self._metrics.values()) for line in metric.text())


registry: Final = Registry()


class Requests:
    """What the middlewares count. `route` is the template of an address, `/orders/<id>`, never the address itself."""

    def __init__(self, registry: Registry = registry) -> None:
        self.registry = registry
        self._total = registry.counter("http_requests_total", "Requests answered.", "method", "route", "status")
        self._seconds = registry.histogram(
            "http_request_duration_seconds", "Time until the answer's end.", "method", "route"
        )
        self._errors = registry.counter(
            "http_request_exceptions_total", "Requests that ended in an exception.", "method", "route", "type"
        )
        self._running = registry.gauge("http_requests_in_progress", "Requests that are being answered.")

    def begun(self) -> Callable[..., None]:
        """Call what it returns at the request's end: `(method, route, status, error=None)`."""
        began = time.perf_counter()
        self._running.add(1)

        def ended(method: str, route: str | None, status: int, error: BaseException | None = None) -> None:
            self._running.add(-1)
            labels = _of(method, route)
            self._total.add(**labels, status=status)
            self._seconds.observe(time.perf_counter() - began, **labels)
            if error is not None:
                self.failed(method, route, error)

        return ended

    def failed(self, method: str, route: str | None, error: BaseException) -> None:
        self._errors.add(**_of(method, route), type=type(error).__name__)


def _of(method: str, route: str | None) -> dict[str, str]:
    return {"method": method if method in _METHODS else OTHER, "route": route or UNMATCHED}
