"""Whether some more log lines could make a rule's value pass a limit that it has not passed. Pure.

What was measured last is the most that is there still: the window moves on, and lines leave it. A new line adds one at
most to a value that counts lines. So a rule of "more than 500" that stood at 100 needs no look because of ten lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from alerts import thresholds

VALUES_MAX: Final = 20  # that a rule keeps, the highest first

# By kind: what so many lines add to a value at most. Of other kinds nothing is known.
ADDED: Final[Mapping[str, Callable[[int, float], float]]] = {
    "log_count": lambda lines, window: lines,
    "log_distinct": lambda lines, window: lines,
    "log_rate": lambda lines, window: 60 * lines / window,
}
RISING: Final = (">", ">=")  # comparisons that a value passes when it rises


def could_fire(
    kind: str, window: float, comparison: str, limits: object, values: Sequence[Sequence[Any]], most: int, lines: int
) -> bool:
    """`limits` and `values` (of the highest groups, `most` at most) are as the rule keeps them; `lines` have matched
    since they were measured. True if it isn't known."""
    added = ADDED.get(kind)
    if added is None or comparison not in RISING:
        return True
    try:
        wanted = thresholds.parse(limits)
    except (msgspec.ValidationError, ValueError):
        return True
    passes = thresholds.COMPARES[comparison]
    measured = [float(value) for _, value in values]
    # A group that isn't there yet begins with none. Of a full list the others may be as high as its last.
    hidden = measured[-1] if len(measured) >= min(most, VALUES_MAX) else 0.0
    more = added(lines, window)
    for limit in (each.value for each in wanted):
        if passes(hidden + more, limit):
            return True
        if any(passes(value + more, limit) and not passes(value, limit) for value in measured):
            return True
    return False
