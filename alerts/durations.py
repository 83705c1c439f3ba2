"""Lengths of time as Prometheus and Alertmanager write them: "30s", "1h30m". Pure.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#configuration-file
"""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"y": 365 * 86_400.0, "w": 7 * 86_400.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile("".join(rf"(?:(\d{{1,9}}){unit})?" for unit in UNITS))


def read(text: str) -> float:
    """Seconds. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if text.strip() == "0":
        return 0.0
    if not found or not any(found.groups()):
        raise ValueError(f"expected a time like 30s, 5m or 1h30m, got {text[:40]!r}")
    return sum(int(number) * size for number, size in zip(found.groups(), UNITS.values(), strict=True) if number)


def write(seconds: float) -> str:
    """The shortest that says the same, to the millisecond; no years and weeks, which people read slowly."""
    left = round(seconds * 1_000)
    parts = []
    for unit, size in list(UNITS.items())[2:]:
        number, left = divmod(left, round(size * 1_000))
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
