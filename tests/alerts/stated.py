"""A kind of condition that finds what a test says, and rules of that kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from alerts import conditions
from alerts.conditions import ConditionError, Measured, Sample
from alerts.conditions.of_services import Chosen
from alerts.models import AlertRule

KIND = "stated"
MEASURED = "stated_values"


class Config(Chosen, frozen=True):
    """Its name in `Stated.found`, and the services that it is said to look at."""

    what: str = "it"


class Stated:
    """`found` are measurements by name: a value, or a function of the time; an exception is raised."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.asked: list[tuple[str, datetime]] = []

    def measure(self, config: Config, facts: Any, *, most: int) -> Measured:
        self.asked.append((config.what, facts.at))
        return self._at(config.what, facts.at)

    def replay(
        self, config: Config, start: datetime, end: datetime, step: float, *, most: int
    ) -> Iterator[tuple[datetime, Measured]]:
        at = start
        while at < end:
            yield at, self._at(config.what, at)
            at += timedelta(seconds=step)

    def _at(self, name: str, at: datetime) -> Measured:
        found = self.found.get(name, Measured())
        measured = found(at) if isinstance(found, Callable) else found  # type: ignore[arg-type]
        if isinstance(measured, Exception):
            raise measured
        assert isinstance(measured, Measured)
        return measured


def check(config: Config) -> None:
    if config.what == "nonsense":
        raise ConditionError("expected something that makes sense")


@pytest.fixture(name="stated")
def stated_condition(db: None, monkeypatch: pytest.MonkeyPatch) -> Stated:
    """Rules that come with Pharos are not there."""
    AlertRule.objects.all().delete()
    made = Stated()
    module = ModuleType(f"alerts.conditions.{KIND}")
    module.__dict__.update(
        LABEL="what a test says", HELP="Nothing else.", MEASURES=False, UNIT="things", Config=Config, check=check,
        measure=made.measure, replay=made.replay, describe=lambda config: f"what a test says of {config.what}",
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(conditions.CONDITIONS, KIND, module.__dict__["LABEL"])
    # The same, with values that are compared.
    measures = ModuleType(f"alerts.conditions.{MEASURED}")
    measures.__dict__.update(module.__dict__ | {"__name__": measures.__name__, "MEASURES": True})
    monkeypatch.setitem(sys.modules, measures.__name__, measures)
    monkeypatch.setitem(conditions.CONDITIONS, MEASURED, "what a test says, with limits")
    return made


def rule(name: str = "Test", what: str = "it", services: Sequence[str] = (), **fields: Any) -> AlertRule:
    """In bulk, for then nothing follows from its being made."""
    kind = MEASURED if "thresholds" in fields else KIND
    config = {"what": what} | ({"services": list(services)} if services else {})
    made = AlertRule(name=name, kind=kind, config=config, **fields)
    return AlertRule.objects.bulk_create([made])[0]


def found(*services: str, value: float = 1.0, detail: str = "") -> Measured:
    samples: Sequence[Sample] = [Sample({"service": service}, value, detail) for service in services]
    return Measured(samples)
