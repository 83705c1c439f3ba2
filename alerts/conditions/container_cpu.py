"""A container uses much of the processor."""

from __future__ import annotations

from alerts.conditions import of_containers
from alerts.conditions.base import whatever_fits
from alerts.conditions.of_containers import Used, described
from alerts.facts import ContainerFacts, Usage
from services.durations import words

LABEL = "container: CPU"
HELP = "The mean over the window, in percent of one core: 200 is two cores."
MEASURES = True
UNIT = "% of a core"


class Config(Used, frozen=True):
    pass


check = whatever_fits


def describe(config: Config) -> str:
    return f"CPU of {described(config)}, in % of one core over {words(config.window)}"


def _value(each: ContainerFacts, used: Usage) -> float | None:
    return used.cpu_percent


def _told(config: Config, value: float) -> str:
    return f"{value:,.0f} % of one core over {words(config.window)}"


measure, replay = of_containers.using(_value, _told)
