"""Limits that values are compared with, each with the severity of what passes it. Pure."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from alerts.severity import Severity

COMPARES: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    severity: Severity
    value: float


def parse(value: object) -> list[Threshold]:
    """Of what a rule keeps: [{"severity": "critical", "value": 10}, …]; the worst first. Raises ValueError."""
    found = msgspec.convert(value, list[Threshold])
    if len({each.severity for each in found}) < len(found):
        raise ValueError("expected each severity once")
    if not all(math.isfinite(each.value) for each in found):
        raise ValueError("expected finite numbers")
    return sorted(found, key=lambda each: each.severity.rank)


def passed(thresholds: Sequence[Threshold], comparison: str, value: float) -> Iterator[Severity]:
    """The severities of those that `value` passes, in their order. NaN passes none."""
    compare = COMPARES[comparison]
    return (each.severity for each in thresholds if not math.isnan(value) and compare(value, each.value))
