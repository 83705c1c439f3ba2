"""Log lines that should come don't."""

from __future__ import annotations

from alerts.conditions import of_logs
from alerts.conditions.base import ConditionError, Measured, Sample
from alerts.conditions.of_logs import Grouped, Lines, Lookback, Question
from services.durations import words

LABEL = "log lines: none come"
HELP = "No line of the query in the window. With group_by: of a value that had lines in the time before, lookback."
MEASURES = False
UNIT = ""


class Config(Grouped, frozen=True):
    lookback: Lookback = 3_600  # seconds


def check(config: Config) -> None:
    of_logs.check(config)
    if config.lookback <= config.window:
        raise ConditionError("lookback must be longer than the window")


def describe(config: Config) -> str:
    return f"no line of {of_logs.shown(config.query)} in {words(config.window)}{of_logs.by_group(config)}"


def _questions(config: Config) -> list[Question]:
    node = of_logs.parsed(config.query)
    windows = (config.window, config.lookback) if config.group_by else (config.window,)
    return [Question(node, config.group_by, window) for window in windows]


def _judge(config: Config, lines: Lines, before: Lines | None = None) -> Measured:
    detail = f"no line in {words(config.window)}"
    expected = [()] if before is None else sorted(before)
    return Measured([Sample(of_logs.labels(config.group_by, key), 0.0, detail) for key in expected if key not in lines])


measure, replay = of_logs.measuring(_questions, _judge)
