"""What every condition shares: what it is given, what it returns, how it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """A value that was measured, and of what."""

    labels: dict[str, str]  # {"service": "worker"}; {} if the rule has no groups
    value: float = 1.0
    detail: str = ""  # a sentence without its end, for people: "readiness fails: redis connection refused"


class Measured(msgspec.Struct, frozen=True):
    """What a condition found at one time. Nothing to measure is another thing than nothing wrong."""

    samples: Sequence[Sample] = ()
    no_data: bool = False
    left_out: int = 0  # groups beyond the cap


def capped(found: Measured, most: int) -> Measured:
    if len(found.samples) <= most:
        return found
    return msgspec.structs.replace(
        found, samples=found.samples[:most], left_out=found.left_out + len(found.samples) - most
    )


class ConditionError(Exception):
    """It can't be measured: which part, why, and what to do. The text is safe to show."""


def whatever_fits(config: Any) -> None:
    """The `check` of conditions whose types say all."""


class Facts(Protocol):
    """What several conditions ask for at the same time, read once: see `alerts.facts`."""

    at: datetime


class Measure(Protocol):
    def __call__(self, config: Any, facts: Any, *, most: int) -> Measured: ...


class Replay(Protocol):
    def __call__(
        self, config: Any, start: datetime, end: datetime, step: float, *, most: int
    ) -> Iterator[tuple[datetime, Measured]]: ...


class Condition(Protocol):
    """A module in this folder: one kind of condition.

    `Config` is a msgspec.Struct (frozen, forbid_unknown_fields). What does not fit is refused when the rule is saved.
    """

    LABEL: str  # "log lines: how many match"
    HELP: str  # a sentence for the form
    MEASURES: bool  # whether values are compared with the rule's thresholds; else whatever is found is an alert
    UNIT: str  # "lines", "%", "ms"
    Config: type[msgspec.Struct]

    @staticmethod
    def check(config: Any) -> None:
        """Raises ConditionError or ValueError: the types fit, but the values make no sense."""

    @staticmethod
    def measure(config: Any, facts: Any, *, most: int) -> Measured:
        """At `facts.at` (`alerts.facts.Facts`); at most `most` samples, the worst first. Raises ConditionError."""

    @staticmethod
    def replay(
        config: Any, start: datetime, end: datetime, step: float, *, most: int
    ) -> Iterator[tuple[datetime, Measured]]:
        """What `measure` would have returned every `step` seconds, from what is stored. Raises ConditionError."""

    @staticmethod
    def describe(config: Any) -> str:
        """The condition in words, for pages: "more lines of level:error service:worker than the limit in 5 min"."""
