"""Small pictures without axes, drawn on the server: what checks and containers did lately, one query for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple

from django.db.models import Avg, F
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from core import clock
from services.availability import Segment
from services.models import CheckResult, ContainerSample

POINTS: Final = 30
LATENCY_STEP: Final = clock.MINUTE
SAMPLE_STEP: Final = 30 * clock.SECOND
WIDTH, HEIGHT = 120, 24  # of the picture's own units; the page gives it its size


class Line(NamedTuple):
    """Values at equal distances, the newest last; None where nothing was measured."""

    values: Sequence[float | None]
    top: float | None = None  # the value at the upper edge; the highest without one

    def svg(self) -> SafeString:
        """Decoration: what it says stands beside it as a number."""
        highest = max((value for value in self.values if value is not None), default=0) or 1
        top = max(self.top or 0, highest)
        path, area = [], []
        for run in _runs(self.values):
            points = [
                f"{_x(place, len(self.values)):g} {HEIGHT - 1 - value / top * (HEIGHT - 3):.1f}" for place, value in run
            ]
            first, last = _x(run[0][0], len(self.values)), _x(run[-1][0], len(self.values))
            path.append("M" + "L".join(points))
            area.append(f"M{first:g} {HEIGHT}L" + "L".join(points) + f"L{last:g} {HEIGHT}Z")
        return format_html(
            '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
            '<path class="area" d="{}"/><path class="line" d="{}" vector-effect="non-scaling-stroke"/></svg>',
            WIDTH, HEIGHT, "".join(area), "".join(path),
        )  # fmt: skip


def _x(place: int, number: int) -> float:
    return round(place * WIDTH / max(number - 1, 1), 1)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Stretches without a gap, as (place, value). A single value is a stretch of two, or it would be seen by nobody."""
    runs: list[list[tuple[int, float]]] = [[]]
    for place, value in enumerate(values):
        if value is not None:
            runs[-1].append((place, value))
        elif runs[-1]:
            runs.append([])
    return [run if len(run) > 1 else [run[0], (run[0][0] + 1, run[0][1])] for run in runs if run]


def strip(segments: Sequence[Segment]) -> SafeString:
    """Days as bars of their colour. What went wrong is the tooltip of its bar; quiet days side by side share one."""
    bars, place = [], 0
    for colour, run in groupby(segments, key=lambda segment: segment.colour):
        same = list(run)
        for piece in [same] if colour in QUIET else [[each] for each in same]:
            title = piece[0].title if len(piece) == 1 else ""
            bars.append((colour, place, len(piece), title))
            place += len(piece)
    drawn = format_html_join("", '<rect class="{}" x="{}" width="{}" height="1"><title>{}</title></rect>', bars)
    return format_html(
        '<svg class="segments" style="--n:{0}" viewBox="0 0 {0} 1" preserveAspectRatio="none" aria-hidden="true">'
        "{1}</svg>",
        len(segments),
        drawn,
    )


QUIET: Final = ("green", "grey")


def latencies(checks: Iterable[int], now: datetime) -> dict[int, Line]:
    """Check → its latency in ms, a minute for each point."""
    first, last = _window(now, LATENCY_STEP)
    rows = (
        CheckResult.objects.filter(
            service_check__in=list(checks), at__gte=first * LATENCY_STEP, at__lt=(last + 1) * LATENCY_STEP
        )
        .order_by()
        .values_list("service_check", F("at") / LATENCY_STEP)
        .annotate(Avg("latency_us"))
    )
    found: dict[int, dict[int, float | None]] = defaultdict(dict)
    for check, bucket, latency in rows:
        found[check][int(bucket)] = None if latency is None else latency / 1_000
    return {check: Line(_spread(values, first, last)) for check, values in found.items()}


class Usage(NamedTuple):
    """What a container used lately."""

    cpu: Line
    memory: Line


def usages(containers: Collection[int], now: datetime) -> dict[int, Usage]:
    """Container → its lines, half a minute for each point."""
    first, last = _window(now, SAMPLE_STEP)
    rows = (
        ContainerSample.objects.filter(
            container__in=containers, at__gte=first * SAMPLE_STEP, at__lt=(last + 1) * SAMPLE_STEP
        )
        .order_by()
        .values_list("container", F("at") / SAMPLE_STEP)
        .annotate(Avg("cpu_percent"), Avg("memory_bytes"))
    )
    cpu: dict[int, dict[int, float | None]] = defaultdict(dict)
    memory: dict[int, dict[int, float | None]] = defaultdict(dict)
    for container, bucket, percent, size in rows:
        cpu[container][int(bucket)], memory[container][int(bucket)] = percent, size
    return {
        container: Usage(
            Line(_spread(values, first, last), 5.0),  # an idle one is a flat line, not a mountain range
            Line(_spread(memory[container], first, last)),
        )
        for container, values in cpu.items()
    }


def _window(now: datetime, step: int) -> tuple[int, int]:
    """The numbers of the first and the last whole steps to show: one that goes on would change with each answer."""
    last = clock.micros(now) // step - 1
    return last - POINTS + 1, last


def _spread(values: Mapping[int, float | None], first: int, last: int) -> list[float | None]:
    return [values.get(bucket) for bucket in range(first, last + 1)]
