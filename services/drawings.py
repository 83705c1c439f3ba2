"""Small pictures in the page itself, as SVG that the style sheet colours: a strip of history, a line of latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from operator import itemgetter
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
    # Asked once: each time it is worked out anew.
    coloured = [(segment.colour, segment) for segment in segments]
    drawn = "".join(_pieces(coloured) if pieces else _runs(coloured))
    said = escape(_said([colour for colour, _ in coloured]))
    return mark_safe(  # noqa: S308 - titles are escaped
        f'<svg class="strip" style="--n:{len(segments)}" viewBox="0 0 {len(segments)} 1" preserveAspectRatio="none" '
        f'role="img" aria-label="{said}">{drawn}</svg>'
    )


def _pieces(segments: Sequence[tuple[str, Segment]]) -> Iterator[str]:
    for at, (colour, segment) in enumerate(segments):
        yield _piece(at, 1, colour, segment.title)


def _runs(segments: Sequence[tuple[str, Segment]]) -> Iterator[str]:
    at = 0
    for colour, run in groupby(segments, key=itemgetter(0)):
        same = [segment for _, segment in run]
        if colour in QUIET and len(same) > 1:
            yield _piece(at, len(same), colour, f"{same[0].title} … {same[-1].title}")
        else:
            yield from (_piece(at + n, 1, colour, segment.title) for n, segment in enumerate(same))
        at += len(same)


def _piece(at: int, width: int, colour: str, title: str) -> str:
    return f'<rect class="{colour}" x="{at}" width="{width}" height="1"><title>{escape(title)}</title></rect>'


def _said(colours: Sequence[str]) -> str:
    red, yellow = colours.count("red"), colours.count("yellow")
    if not red and not yellow:
        return f"The last {len(colours)} days: no outage"
    return f"The last {len(colours)} days: {red} with an outage, {yellow} degraded"


def spark(values: Sequence[float | None], least: float = 0) -> SafeString:
    """A line from left to right, its area below; a gap where there is no value. Nothing for fewer than two values.

    The upper edge stands for `least`, or a little more than the highest value.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return SafeString('<svg class="spark" aria-hidden="true"></svg>')
    top = max(max(known) * 1.15, least) or 1
    step = WIDTH / (len(values) - 1)
    runs = []
    for there, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        if there:
            points = [(round(at * step, 1), round(HEIGHT - (value or 0) / top * HEIGHT, 1)) for at, value in run]
            # One value alone is a dot, for lines have round ends.
            runs.append(points if len(points) > 1 else points * 2)
    lines = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in run) for run in runs)
    areas = "".join(
        f"M{run[0][0]:g} {HEIGHT}L" + "L".join(f"{x:g} {y:g}" for x, y in run) + f"L{run[-1][0]:g} {HEIGHT}Z"
        for run in runs
    )
    return mark_safe(  # noqa: S308 - numbers only
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="area" d="{areas}"/><path d="{lines}"/></svg>'
    )
