"""The value that the rule looks at, as it was."""

from __future__ import annotations

from typing import Any, Final

from alerts import conditions
from alerts.evidence.scene import BEGAN_MAX, Scene, Taken, iso

POINTS_MAX: Final = 120
SERIES_MAX: Final = 5


def values(scene: Scene) -> Taken:
    rule = scene.incident.rule
    if rule is None or not conditions.condition(rule.kind).MEASURES:
        return None
    condition = conditions.condition(rule.kind)
    config = conditions.fitted(rule.kind, rule.config)
    start = scene.start - BEGAN_MAX
    step = max(rule.interval, (scene.until - start).total_seconds() / POINTS_MAX)
    mine = scene.labels.items()
    series: dict[tuple[tuple[str, str], ...], list[list[Any]]] = {}
    for at, measured in condition.replay(config, start, scene.until, step, most=rule.alerts_max):
        for sample in measured.samples:
            key = tuple(sorted(sample.labels.items()))
            if sample.labels.items() <= mine or len(series) < SERIES_MAX or key in series:
                series.setdefault(key, []).append([iso(at), sample.value])
    # That of the alert first.
    ordered = sorted(series.items(), key=lambda pair: not (dict(pair[0]).items() <= mine))[:SERIES_MAX]
    if not ordered:
        return None
    data = {
        "series": [{"labels": dict(key), "points": points[:POINTS_MAX]} for key, points in ordered],
        "unit": condition.UNIT,
        "operator": rule.operator,
        "thresholds": rule.thresholds,
    }
    return data, ""
