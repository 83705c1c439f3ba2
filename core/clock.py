"""Time as the log store counts it: whole microseconds since the epoch, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> int:
    return time.time_ns() // 1_000


def micros(moment: datetime) -> int:
    """An aware datetime as microseconds."""
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def moment(micros: int) -> datetime:
    """Microseconds as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=micros)


def iso(micros: int) -> str:
    """Microseconds as ISO 8601 in UTC, always with six digits: "2026-11-21T10:30:45.123456Z"."""
    return moment(micros).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
