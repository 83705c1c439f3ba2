"""Small pictures in the page itself, as SVG that the style sheet colours: a strip of history, a line of latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

from django.utils.safestring import SafeString, mark_safe

from services.availability import Segment

WIDTH, HEIGHT = 240, 28
QUIET: Final = ("green", "grey")  # neighbours of these colours are one piece in a list


def strip(segments: Sequence[Segment], *, pieces: bool = False) -> SafeString:
    """Each segment one wide; the style sheet cuts the gaps. What it stands for is the tooltip of each.

    With `pieces` every segment is an element of its own. Without, days without an outage share one: a list of a
    thousand services has four thousand elements then, and not ninety thousand.
    """
    drawn = "".join(_pieces(segments) if pieces else _runs(segments))
    return mark_safe(  # noqa: S308 - titles are escaped
        f'<svg class="strip" style="--n:{len(segments)}" viewBox="0 0 {len(segments)} 1" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(_said(segments))}">{drawn}</svg>'
    )


def _pieces(segments: Sequence[Segment]) -> Iterator[str]:
    for at, segment in enumerate(segments):
        yield _piece(at, 1, segment.colour, segment.title)


def _runs(segments: Sequence[Segment]) -> Iterator[str]:
    at = 0
    for colour, run in groupby(segments, key=lambda segment: segment.colour):
        same = list(run)
        if colour in QUIET and len(same) > 1:
            yield _piece(at, len(same), colour, f"{same[0].title} … {same[-1].title}")
        else:
            yield from (_piece(at + n, 1, colour, segment.title) for n, segment in enumerate(same))
        at += len(same)


def _piece(at: int, width: int, colour: str, title: str) -> str:
    return f'<rect class="{colour}" x="{at}" width="{width}" height="1"><title>{escape(title)}</title></rect>'


def _said(segments: Sequence[Segment]) -> str:
    red = sum(segment.colour == "red" for segment in segments)
    yellow = sum(segment.colour == "yellow" for segment in segments)
    if not red and not yellow:
        return f"The last {len(segments)} days: no outage"
    return f"The last {len(segments)} days: {red} with an outage, {yellow} degraded"


def spark(values: Sequence[float | None]) -> SafeString:
    """A line from left to right, its area below; a gap where there is no value. Nothing for fewer than two values."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return SafeString('<svg class="spark" aria-hidden="true"></svg>')
    top = max(known) * 1.15 or 1
    step = WIDTH / (len(values) - 1)
    runs = []
    for there, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        if there:
            runs.append([(round(at * step, 1), round(HEIGHT - (value or 0) / top * HEIGHT, 1)) for at, value in run])
    lines = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in run) for run in runs)
    areas = "".join(
        f"M{run[0][0]:g} {HEIGHT}L" + "L".join(f"{x:g} {y:g}" for x, y in run) + f"L{run[-1][0]:g} {HEIGHT}Z"
        for run in runs
    )
    return mark_safe(  # noqa: S308 - numbers only
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="area" d="{areas}"/><path d="{lines}"/></svg>'
    )
