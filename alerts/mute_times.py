"""Times of the week, month or year, as Alertmanager's `time_intervals` say them. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#time_interval
"""

from __future__ import annotations


class IntervalError(ValueError):
    """What was expected, and what came."""


def parse(value: object) -> list[object]:
    """Raises IntervalError."""
    if not isinstance(value, list):
        raise IntervalError("Expected a list of intervals.")
    return value
