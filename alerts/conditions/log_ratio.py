"""Too large a part of the log lines match: the error rate."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alerts.conditions import of_logs
from alerts.conditions.base import Measured
from alerts.conditions.of_logs import Grouped, Lines, Query, Question
from logs import query
from services.durations import words

LABEL = "log lines: which part matches"
HELP = "How many of 100 lines match the query: of all lines, or of those that match “Of”."
MEASURES = True
UNIT = "%"


class Config(Grouped, frozen=True):
    of: Query = ""
    # Where there are fewer lines than that nothing is said: one error in two lines is not half of everything.
    at_least: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 20


def check(config: Config) -> None:
    of_logs.check(config)
    of_logs.parsed(config.of)


def describe(config: Config) -> str:
    whole = f"those of {config.of.strip()}" if config.of.strip() else "all lines"
    part = f"lines of {of_logs.shown(config.query)} in % of {whole}"
    return f"{part}, in {words(config.window)}{of_logs.by_group(config)}"


def _questions(config: Config) -> list[Question]:
    whole = of_logs.parsed(config.of)
    part = query.all_of(whole, of_logs.parsed(config.query))
    return [Question(node, config.group_by, config.window) for node in (part, whole)]


def _judge(config: Config, part: Lines, whole: Lines) -> Measured:
    shares = {key: 100 * part.get(key, 0) / lines for key, lines in whole.items() if lines >= config.at_least}
    return Measured(of_logs.samples(config, shares, lambda share: f"{share:.3g} % of the lines"), no_data=not shares)


measure, replay = of_logs.measuring(_questions, _judge)
