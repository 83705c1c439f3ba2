"""More log lines match than there should be, or fewer."""

from __future__ import annotations

from functools import partial

from alerts.conditions import of_logs
from alerts.conditions.base import Measured
from alerts.conditions.of_logs import Grouped, Lines, Question
from services.durations import words

LABEL = "log lines: how many match"
HELP = "The lines of a query in the window, all together or for each value of the fields of group_by."
MEASURES = True
UNIT = "lines"


class Config(Grouped, frozen=True):
    pass


check = of_logs.check


def describe(config: Config) -> str:
    return f"lines of {of_logs.shown(config.query)} in {words(config.window)}{of_logs.by_group(config)}"


def _questions(config: Config) -> list[Question]:
    return [Question(of_logs.parsed(config.query), config.group_by, config.window)]


def _judge(config: Config, lines: Lines) -> Measured:
    """Without groups, no line is a number, too."""
    counted: Lines = lines if config.group_by else {(): sum(lines.values())}
    return Measured(of_logs.samples(config, counted, partial(of_logs.lines_in, config)))


measure, replay = of_logs.measuring(_questions, _judge)
