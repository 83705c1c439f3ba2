"""A container took more memory than it may, and was killed for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from alerts.conditions import of_containers
from alerts.conditions.base import Measured, whatever_fits
from alerts.conditions.of_containers import Chosen, described
from alerts.conditions.of_services import by_value
from alerts.facts import Facts
from services.durations import words
from services.models import ContainerEvent

LABEL = "container: out of memory"
HELP = "Containers of which a process was killed for want of memory, in the window."
MEASURES = False
UNIT = "times"


class Config(Chosen, frozen=True):
    window: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 900  # seconds


check = whatever_fits


def describe(config: Config) -> str:
    return f"{described(config)} ran out of memory in {words(config.window)}"


def _judge(config: Config, facts: Facts, numbers: Mapping[int, int]) -> Measured:
    meant = list(of_containers.chosen(config, facts))
    found = [
        of_containers.sample(each, facts, number, f"out of memory in {words(config.window)}: {_times(number)}")
        for each in meant
        if (number := numbers[each.pk])
    ]
    return Measured(by_value(found), no_data=not meant)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


measure, replay = of_containers.counting({ContainerEvent.Kind.OOM: 1}, _judge)
