"""A number that Pharos measures of itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

import msgspec

from alerts.conditions.base import ConditionError, Measured, Sample, capped, whatever_fits
from alerts.facts import Facts

LABEL = "Pharos itself: a number"
HELP = "What Pharos measures of itself: how long lines wait, how much disk is left, which process is missing."
MEASURES = True
UNIT = "s, %, number"

Value = Literal[
    "ingest_wait", "dead_letters", "tick_age", "process_missing", "disk_free", "channel_failing", "checks_overdue"
]
SAID: Final = {
    "ingest_wait": "seconds that the oldest line of a stream waits to be stored",
    "dead_letters": "dead letters that wait",
    "tick_age": "seconds since the last tick of beat",
    "process_missing": "seconds since something was heard of a kind of process",
    "disk_free": "percent of the data directory's disk that are free",
    "channel_failing": "seconds for which a channel has failed",
    "checks_overdue": "checks that are late",
}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: Value


check = whatever_fits


def describe(config: Config) -> str:
    return SAID[config.value]


def measure(config: Config, facts: Facts, *, most: int) -> Measured:
    found = sorted(facts.own(config.value), key=lambda each: -each.value)
    return capped(Measured([Sample(dict(each.labels), each.value, each.detail) for each in found]), most)


def replay(
    config: Config, start: datetime, end: datetime, step: float, *, most: int
) -> Iterator[tuple[datetime, Measured]]:
    raise ConditionError("what Pharos measures of itself is not kept: it can't be tried on the past")
