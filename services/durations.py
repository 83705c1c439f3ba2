"""Lengths of time for people: "48 s", "2 min 10 s", "29 d 4 h". static/pharos/shell.js counts on the same way."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def words(span: timedelta | float) -> str:
    """`span` in seconds or as a timedelta, by its two largest units. Never less than nothing."""
    seconds = max(int(span.total_seconds() if isinstance(span, timedelta) else span), 0)
    for at, (unit, size) in enumerate(UNITS[:-1]):
        if seconds >= size:
            smaller, small = UNITS[at + 1]
            rest = seconds % size // small
            return f"{seconds // size} {unit} {rest} {smaller}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def milliseconds(micros: float | None) -> str:
    """A latency given in µs: "0.4 ms", "42 ms", "1.23 s"; "" if there is none."""
    if micros is None:
        return ""
    if micros < 1_000:
        return f"{micros / 1_000:.1f} ms"
    return f"{micros / 1_000:.0f} ms" if micros < 1_000_000 else f"{micros / 1_000_000:.2f} s"
