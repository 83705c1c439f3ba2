"""A container restarts again and again."""

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

LABEL = "container: restarts"
HELP = "How often a container was started again in the window. The first start of a new container is none."
MEASURES = True
UNIT = "restarts"


class Config(Chosen, frozen=True):
    window: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 600  # seconds


check = whatever_fits


def describe(config: Config) -> str:
    return f"restarts of {described(config)} in {words(config.window)}"


def _judge(config: Config, facts: Facts, numbers: Mapping[int, int]) -> Measured:
    meant = list(of_containers.chosen(config, facts))
    found = []
    for each in meant:
        restarts = max(numbers[each.pk], 0)
        last = f", last exit code {each.exit_code}" if each.exit_code is not None else ""
        detail = f"{restarts:,} {'restart' if restarts == 1 else 'restarts'} in {words(config.window)}{last}"
        found.append(of_containers.sample(each, facts, restarts, detail))
    return Measured(by_value(found), no_data=not meant)


measure, replay = of_containers.counting({ContainerEvent.Kind.START: 1, ContainerEvent.Kind.CREATE: -1}, _judge)
