"""One file for each kind of condition. A new kind is a file, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from alerts.conditions.base import Condition, ConditionError, Facts, Measured, Sample

if TYPE_CHECKING:
    from alerts.models.rules import AlertRule

__all__ = ["Condition", "ConditionError", "Facts", "Measured", "Sample", "choices", "condition", "problems"]

# Kind → its label. The module of the same name is loaded when it is first needed.
CONDITIONS: Final[dict[str, str]] = {
    "log_count": "log lines: how many match",
    "log_rate": "log lines: how many a minute",
    "log_ratio": "log lines: which part matches",
    "log_distinct": "log lines: how many different values",
    "log_absence": "log lines: none come",
    "log_pattern": "log lines: a new pattern",
    "service_down": "service: down",
    "service_degraded": "service: degraded",
    "service_latency": "service: latency",
    "certificate": "service: certificate",
    "heartbeat": "service: heartbeat missing",
    "container_exit": "container: exited",
    "container_oom": "container: out of memory",
    "container_restarts": "container: restarts",
    "container_unhealthy": "container: unhealthy",
    "container_cpu": "container: CPU",
    "container_memory": "container: memory",
    "pharos_value": "Pharos itself: a number",
}


def choices() -> list[tuple[str, str]]:
    """A callable, so that a new kind needs no migration."""
    return list(CONDITIONS.items())


def condition(kind: str) -> Condition:
    """Raises ConditionError."""
    if kind not in CONDITIONS:
        raise ConditionError(f"there is no kind of condition {kind!r}; there is {', '.join(CONDITIONS)}")
    return cast(Condition, import_module(f"alerts.conditions.{kind}"))


def fitted(kind: str, config: Mapping[str, Any]) -> msgspec.Struct:
    """`config` as the kind's Config. Raises ConditionError."""
    try:
        return msgspec.convert(dict(config), condition(kind).Config)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConditionError(f"the settings of this condition don't fit: {error}") from None


def problems(rule: AlertRule) -> dict[str, list[str]]:
    """By field, for people; empty if the rule can be evaluated."""
    found: dict[str, list[str]] = {}
    try:
        config = fitted(rule.kind, rule.config)
        condition(rule.kind).check(config)
    except (ConditionError, ValueError) as error:
        found["config"] = [str(error)]
    return found
