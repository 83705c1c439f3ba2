"""A container restarts again and again."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alerts.conditions import of_containers
from alerts.conditions.base import whatever_fits
from alerts.conditions.of_containers import Chosen, described
from alerts.facts import ContainerFacts
from services.durations import words
from services.models import ContainerEvent

LABEL = "container: restarts"
HELP = "How often a container was started again in the window. The first start of a new container is none."
MEASURES = True
UNIT = "restarts"


class Config(Chosen, frozen=True):
    window: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 600  # seconds


check = whatever_fits


def describe(config: Config) -> str:
    return f"restarts of {described(config)} in {words(config.window)}"


def _tell(config: Config, container: ContainerFacts, number: int) -> str:
    last = f", last exit code {container.exit_code}" if container.exit_code is not None else ""
    return f"{number:,} {'restart' if number == 1 else 'restarts'} in {words(config.window)}{last}"


measure, replay = of_containers.counting(
    {ContainerEvent.Kind.START: 1, ContainerEvent.Kind.CREATE: -1}, _tell, none_counts=True
)
