"""Heartbeat: nobody is asked. A job tells of itself (`services.heartbeats`), and is missed when it doesn't."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from services import cron
from services.probes.base import Asked, FailingError, Measurement

LABEL: Final = "heartbeat: a job pings when it has run"
TARGET: Final = "nothing: the job finds Pharos"
YEAR: Final = 366 * 86_400

Seconds = Annotated[int, msgspec.Meta(ge=1, le=YEAR)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ping is expected every `period` seconds, or at the times of `cron`; `grace` seconds later it is missed."""

    period: Seconds = 3_600
    cron: str = ""
    zone: str = "UTC"
    grace: Seconds = 300
    max_runtime: Annotated[int, msgspec.Meta(ge=0, le=YEAR)] = 0  # from start to success; 0: as long as the grace

    def __post_init__(self) -> None:
        if self.cron:
            cron.check(self.cron, self.zone, datetime.now(UTC))

    @property
    def runtime(self) -> timedelta:
        return timedelta(seconds=self.max_runtime or self.grace)

    def deadline(self, after: datetime) -> datetime:
        """When the next ping after one is missed."""
        grace = timedelta(seconds=self.grace)
        if not self.cron:
            return after + timedelta(seconds=self.period) + grace
        return next(cron.occurrences(self.cron, self.zone, after)) + grace


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None: the token is made by Pharos."""


def check_target(target: str) -> None:
    if target:
        raise ValueError(f"expected no target: a heartbeat is not asked, it tells; got {target!r}")


async def run(asked: Asked) -> Measurement:
    raise FailingError("a heartbeat can't be asked: it tells")
