"""A container took more memory than it may, and was killed for it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alerts.conditions import of_containers
from alerts.conditions.base import whatever_fits
from alerts.conditions.of_containers import Chosen, described
from alerts.facts import ContainerFacts
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


def _tell(config: Config, _: ContainerFacts, number: int) -> str:
    times = "once" if number == 1 else f"{number:,} times"
    return f"out of memory in {words(config.window)}: {times}"


measure, replay = of_containers.counting({ContainerEvent.Kind.OOM: 1}, _tell, none_counts=False)
