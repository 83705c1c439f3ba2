"""A container uses much of the memory that it may."""

from __future__ import annotations

from alerts.conditions import of_containers
from alerts.conditions.base import whatever_fits
from alerts.conditions.of_containers import Used, described
from alerts.facts import ContainerFacts, Usage
from services.durations import words

LABEL = "container: memory"
HELP = "The mean over the window, in percent of the container's limit; of one without a limit, of its host's memory."
MEASURES = True
UNIT = "%"


class Config(Used, frozen=True):
    pass


check = whatever_fits


def describe(config: Config) -> str:
    return f"memory of {described(config)}, in % of its limit over {words(config.window)}"


def _value(each: ContainerFacts, used: Usage) -> float | None:
    if used.memory_bytes is None or not each.memory_limit:
        return None
    return 100 * used.memory_bytes / each.memory_limit


def _told(config: Config, value: float) -> str:
    return f"{value:.0f} % of its memory over {words(config.window)}"


measure, replay = of_containers.using(_value, _told)
