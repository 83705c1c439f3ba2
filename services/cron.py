"""Cron expressions: when they come, and whether they are any good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

PUT_BACK: Final = timedelta(hours=2)  # more than clocks are ever put back by
INSTANT: Final = timedelta(microseconds=1)
LOOKED_AT: Final = 50  # occurrences, to find the shortest gap
FIELDS: Final = "minute, hour, day of the month, month, day of the week"


def occurrences(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The times of a cron expression after a moment, in UTC; it ends when there is none for 50 years.

    As with Debian's cron, what falls into the hour that is skipped in spring comes right after it, and what falls into
    the hour that comes twice in autumn comes once. Raises ValueError, as `check` says.
    """
    local = check_zone(zone)
    try:
        # From a little earlier: in the hour that comes twice, cronsim may go on in the first one.
        times = CronSim(cron, (after - PUT_BACK).astimezone(local))
    except CronSimError as error:
        raise ValueError(f"expected a cron expression ({FIELDS}), got {cron!r}: {str(error).lower()}") from None
    for at in times:
        moment = at.astimezone(UTC)
        if moment > after:
            yield moment


def check(cron: str, zone: str, after: datetime) -> None:
    """Raises ValueError with a sentence: what was expected, what came."""
    if len(cron.split()) != 5:
        raise ValueError(f"expected the five parts of a cron expression ({FIELDS}), got {cron!r}")
    if next(occurrences(cron, zone, after), None) is None:
        raise ValueError(f"expected a cron expression that comes some time, but {cron!r} never does")


def check_zone(zone: str) -> ZoneInfo:
    """Raises ValueError."""
    try:
        return ZoneInfo(zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError(f'expected a time zone like "Europe/Vienna", got {zone!r}') from None


def shortest_gap(cron: str, zone: str, after: datetime) -> timedelta:
    """Between the next occurrences; for ever if there is one at most."""
    times = islice(occurrences(cron, zone, after), LOOKED_AT)
    return min((later - earlier for earlier, later in pairwise(times)), default=timedelta.max)
