"""A certificate ends soon, or has ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.conditions import of_services
from alerts.conditions.base import Measured, Sample, capped, whatever_fits
from alerts.conditions.of_services import Chosen, described
from alerts.facts import Facts
from services.durations import words

LABEL = "service: certificate"
HELP = "The days that are left until a certificate ends that a check has seen. Compare with < or ≤."
MEASURES = True
UNIT = "days"

DAY = timedelta(days=1)


class Config(Chosen, frozen=True):
    pass


check = whatever_fits


def describe(config: Config) -> str:
    return f"days until a certificate of {described(config)} ends"


def measure(config: Config, facts: Facts, *, most: int) -> Measured:
    ends = _ends(config, facts)
    return capped(_at(ends, facts.at), most)


def replay(
    config: Config, start: datetime, end: datetime, step: float, *, most: int
) -> Iterator[tuple[datetime, Measured]]:
    """Of the certificates as they are now: those before them are forgotten."""
    ends = _ends(config, Facts(end))
    for at in of_services.moments(start, end, step):
        yield at, capped(_at(ends, at), most)


def _ends(config: Config, facts: Facts) -> list[tuple[str, str, datetime]]:
    return [
        (service.name, each.name, each.expires_at)
        for service, each in of_services.checks(config, facts)
        if each.expires_at is not None
    ]


def _at(ends: list[tuple[str, str, datetime]], at: datetime) -> Measured:
    samples = [
        Sample({"service": service, "check": name}, (until - at) / DAY, _told(until, at))
        for service, name, until in ends
    ]
    return Measured(of_services.by_value(samples, lowest_first=True), no_data=not samples)


def _told(until: datetime, at: datetime) -> str:
    if until <= at:
        return f"its certificate ended {words(at - until)} ago, on {until:%Y-%m-%d}"
    return f"its certificate ends in {words(until - at)}, on {until:%Y-%m-%d}"
