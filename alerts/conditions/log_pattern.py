"""A kind of log line that was not seen before: what changes from line to line, numbers and names, doesn't count."""

from __future__ import annotations

from alerts.conditions import of_logs
from alerts.conditions.base import ConditionError, Measured, Sample
from alerts.conditions.of_logs import Grouped, Lines, Lookback, Question
from logs import patterns
from logs.store.base import Key
from services.durations import words

LABEL = "log lines: a new pattern"
HELP = "Messages of a kind that came in the window, and not once in the time before it, lookback."
MEASURES = False
UNIT = "lines"


class Config(Grouped, frozen=True):
    query: of_logs.Query = "level:error"
    window: of_logs.Window = 900
    lookback: Lookback = 86_400  # seconds


def check(config: Config) -> None:
    of_logs.check(config)
    if config.lookback < 2 * config.window:
        raise ConditionError("lookback must be twice the window or longer")


def describe(config: Config) -> str:
    what = f"a new pattern in lines of {of_logs.shown(config.query)}"
    return f"{what}, not seen in {words(config.lookback)}{of_logs.by_group(config)}"


def _fields(config: Config) -> tuple[str, ...]:
    return (*config.group_by, patterns.PATTERN)


def _questions(config: Config) -> list[Question]:
    node = of_logs.parsed(config.query)
    return [Question(node, _fields(config), window) for window in (config.window, config.lookback)]


def _judge(config: Config, lines: Lines, every: Lines) -> Measured:
    """Without a line before the window there is nothing yet that a pattern could be new to."""
    if sum(every.values()) == sum(lines.values()):
        return Measured(no_data=True)
    fresh = sorted((key for key, number in lines.items() if number == every[key]), key=lambda key: (-lines[key], key))
    return Measured([_sample(config, key, lines[key]) for key in fresh])


def _sample(config: Config, key: Key, lines: int) -> Sample:
    return Sample(of_logs.labels(_fields(config), key), lines, f"new in {words(config.lookback)}: {key[-1]}")


measure, replay = of_logs.measuring(_questions, _judge)
