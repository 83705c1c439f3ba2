"""Log lines name more different things than they should, or fewer: users, addresses, hosts."""

from __future__ import annotations

from collections import Counter

from alerts.conditions import of_logs
from alerts.conditions.base import Measured
from alerts.conditions.of_logs import Field, Grouped, Lines, Question
from logs import query
from logs.store.base import Key
from services.durations import words

LABEL = "log lines: how many different values"
HELP = "The different values of a field, like user_id, among the lines of a query."
MEASURES = True
UNIT = "values"


class Config(Grouped, frozen=True, kw_only=True):
    field: Field


def check(config: Config) -> None:
    of_logs.check(config)
    query.field_exists(config.field)


def describe(config: Config) -> str:
    what = f"different values of {config.field} in lines of {of_logs.shown(config.query)}"
    return f"{what} in {words(config.window)}{of_logs.by_group(config)}"


def _questions(config: Config) -> list[Question]:
    return [Question(of_logs.parsed(config.query), (*config.group_by, config.field), config.window)]


def _judge(config: Config, lines: Lines) -> Measured:
    values: Counter[Key] = Counter(key[:-1] for key in lines)
    if not config.group_by:
        values.setdefault((), 0)
    return Measured(of_logs.samples(config, values, lambda number: f"{number:,} values of {config.field}"))


measure, replay = of_logs.measuring(_questions, _judge)
