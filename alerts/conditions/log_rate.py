"""Log lines come faster than they should, or slower."""

from __future__ import annotations

from alerts.conditions import of_logs
from alerts.conditions.base import Measured
from alerts.conditions.of_logs import Grouped, Lines, Question
from services.durations import words

LABEL = "log lines: how many a minute"
HELP = "The lines of a query per minute, as a mean over the window."
MEASURES = True
UNIT = "lines/min"


class Config(Grouped, frozen=True):
    pass


check = of_logs.check


def describe(config: Config) -> str:
    mean = f"a mean over {words(config.window)}"
    return f"lines of {of_logs.shown(config.query)} a minute, {mean}{of_logs.by_group(config)}"


def _questions(config: Config) -> list[Question]:
    return [Question(of_logs.parsed(config.query), config.group_by, config.window)]


def _judge(config: Config, lines: Lines) -> Measured:
    counted: Lines = lines if config.group_by else {(): sum(lines.values())}
    rates = {key: 60 * number / config.window for key, number in counted.items()}
    return Measured(of_logs.samples(config, rates, lambda rate: f"{rate:,.4g} lines a minute"))


measure, replay = of_logs.measuring(_questions, _judge)
