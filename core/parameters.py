"""Parameters of an address, as programs give them: whole numbers and times. What can't be used is named."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from django.http import QueryDict

from core import clock

_RELATIVE: Final = re.compile(r"-(\d{1,6})(s|m|h|d|w)")
_UNITS: Final = {"s": clock.SECOND, "m": clock.MINUTE, "h": clock.HOUR, "d": clock.DAY, "w": 7 * clock.DAY}


class ParameterError(ValueError):
    """A parameter that can't be used: which one, why, and for a query where."""

    def __init__(self, field: str, message: str, position: int | None = None) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.position = field, message, position


def number(params: QueryDict, field: str, *, default: int, low: int, high: int) -> int:
    """A whole number. Raises ParameterError."""
    value = params.get(field, "").strip() or str(default)
    if re.fullmatch(r"-?\d{1,18}", value) and low <= int(value) <= high:
        return int(value)
    raise ParameterError(field, f"expected a whole number from {low:,} to {high:,}, got {value[:40]!r}")


def choices(params: QueryDict, field: str, known: Collection[str]) -> list[str]:
    """Of a parameter that is repeated or has commas. Raises ParameterError."""
    given = [name for value in params.getlist(field) for part in value.split(",") if (name := part.strip())]
    for name in given:
        if name not in known:
            raise ParameterError(field, f"expected one of {', '.join(known)}, got {name[:40]!r}")
    return given


def is_relative(value: str) -> bool:
    return _RELATIVE.fullmatch(value) is not None


def relative(value: str, now: int) -> int | None:
    """ "-15m", "-7d" → µs, never before 1970; None for anything else."""
    match = _RELATIVE.fullmatch(value)
    return max(now - int(match[1]) * _UNITS[match[2]], 0) if match else None


def moment(params: QueryDict, field: str, *, default: int, now: int) -> int:
    """A time as µs: ISO 8601 (UTC where it names no zone), relative ("-6h"), or "now". Raises ParameterError."""
    value = params.get(field, "").strip()
    if value in ("", "now"):
        return now if value else default
    if (found := relative(value, now)) is not None:
        return found
    try:
        # "+" in an address that was not quoted comes as a space.
        parsed = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
        return clock.micros(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise ParameterError(field, f"expected ISO 8601 or a time like -6h, got {value[:60]!r}") from None
