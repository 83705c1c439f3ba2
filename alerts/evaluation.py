"""What becomes of a rule's alerts: what they were, and what is measured now, give what changes. Pure.

not true ──► pending ──(true for `pending_for`)──► firing ──(not true for `keep_firing_for`)──► resolved
                └──(not true)──► forgotten

Time in which nobody looked, or nothing was to be seen, does not count: after a night without a worker, or when a clock
is set, no alert fires or ends because of the hours between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from alerts.conditions.base import Measured, Sample
from alerts.labels import ALERTNAME, SEVERITY, fingerprint
from alerts.models.alerts import State
from alerts.models.rules import NoData, Operator
from alerts.severity import Severity
from alerts.thresholds import Threshold, passed

NO_DATA: Final = {"no_data": "true"}  # labels of the alert that there is nothing to measure
PATIENCE: Final = 60.0  # seconds, or three intervals: looks that are further apart have a gap between them
NOTHING: Final = timedelta(0)


class Spec(msgspec.Struct, frozen=True):
    """A rule, as far as it decides. Durations are in seconds."""

    name: str
    severity: str = Severity.HIGH
    operator: str = Operator.GREATER
    thresholds: Sequence[Threshold] = ()  # none: whatever is found is an alert
    labels: dict[str, str] = {}
    interval: float = 15.0
    pending_for: float = 0.0
    keep_firing_for: float = 0.0
    no_data: str = NoData.OK
    alerts_max: int = 100


class Episode(msgspec.Struct, frozen=True):
    """An alert, as `alerts.models.Alert` has it."""

    fingerprint: str
    labels: dict[str, str]
    severity: str
    state: str
    active_at: datetime
    true_at: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    value: float | None = None
    detail: str = ""


class Verb(StrEnum):
    START = "start"  # there was none: it is pending or firing now
    FIRE = "fire"  # it was pending
    STAY = "stay"  # what it is; its times or its value are others
    RESOLVE = "resolve"
    FORGET = "forget"  # it was pending, and told nobody


class Change(msgspec.Struct, frozen=True):
    verb: Verb
    alert: Episode  # as it is now


class Step(msgspec.Struct, frozen=True):
    changes: Sequence[Change] = ()
    left_out: int = 0  # alerts that there would be without the cap


def step(
    spec: Spec, alerts: Iterable[Episode], measured: Measured, now: datetime, before: datetime | None = None
) -> Step:
    """`alerts` are those that have not ended. `before` is when it was looked last: None is never, or not known."""
    blind = measured.no_data and spec.no_data != NoData.OK
    lost = _unseen(spec, before, now)
    found = _found(spec, measured)
    changes: list[Change] = []
    staying = 0
    for known in alerts:
        unknown = blind and not _tells_no_data(known)
        alert = _moved(known, now - before if unknown and before else lost)
        if seen := found.pop(alert.fingerprint, None):
            change = _still_true(spec, alert, seen, now)
        elif unknown:
            change = Change(Verb.STAY, alert)
        else:
            change = _not_true(spec, alert, now)
        if change.verb != Verb.STAY or change.alert != known:
            changes.append(change)
        staying += change.verb not in (Verb.RESOLVE, Verb.FORGET)
    room = max(0, spec.alerts_max - staying)
    changes += [_start(spec, seen, now) for seen in list(found.values())[:room]]
    return Step(changes, max(0, len(found) - room) + measured.left_out)


def ended(alerts: Iterable[Episode], now: datetime) -> list[Change]:
    """Of a rule that is not evaluated any more."""
    return [_end(alert, now) for alert in alerts]


# --- What is found ---------------------------------------------------------------------------------------------------


class _Seen(msgspec.Struct, frozen=True):
    fingerprint: str
    labels: dict[str, str]
    severity: str
    value: float | None
    detail: str


def _found(spec: Spec, measured: Measured) -> dict[str, _Seen]:
    """By fingerprint, in the order of the samples."""
    if measured.no_data:
        pairs = (
            [(Sample(NO_DATA, math.nan, "nothing to measure"), spec.severity)] if spec.no_data == NoData.ALERT else []
        )
    elif not spec.thresholds:
        pairs = [(sample, spec.severity) for sample in measured.samples]
    else:
        limits = spec.thresholds, spec.operator
        pairs = [(sample, severity) for sample in measured.samples for severity in passed(*limits, sample.value)]
    found: dict[str, _Seen] = {}
    for sample, severity in pairs:
        labels = labels_of(spec, sample.labels, severity)
        key = fingerprint(labels)
        value = sample.value if math.isfinite(sample.value) else None
        found.setdefault(key, _Seen(key, labels, severity, value, sample.detail))
    return found


def labels_of(spec: Spec, measured: dict[str, str], severity: str) -> dict[str, str]:
    """What was measured says more than the rule. Names that are the rule's own get out of its way, as in Prometheus."""
    own = {f"exported_{name}" if name in (ALERTNAME, SEVERITY) else name: text for name, text in measured.items()}
    return {**spec.labels, **own, ALERTNAME: spec.name, SEVERITY: str(severity)}


def _tells_no_data(alert: Episode) -> bool:
    return NO_DATA.items() <= alert.labels.items()


# --- One alert -------------------------------------------------------------------------------------------------------


def _start(spec: Spec, seen: _Seen, now: datetime) -> Change:
    fires = spec.pending_for <= 0
    alert = Episode(
        seen.fingerprint, seen.labels, seen.severity, State.FIRING if fires else State.PENDING,
        active_at=now, true_at=now, fired_at=now if fires else None, value=seen.value, detail=seen.detail,
    )  # fmt: skip
    return Change(Verb.START, alert)


def _still_true(spec: Spec, alert: Episode, seen: _Seen, now: datetime) -> Change:
    alert = replace(alert, true_at=now, value=seen.value, detail=seen.detail)
    if alert.state == State.PENDING and now - alert.active_at >= timedelta(seconds=spec.pending_for):
        return Change(Verb.FIRE, replace(alert, state=State.FIRING, fired_at=now))
    return Change(Verb.STAY, alert)


def _not_true(spec: Spec, alert: Episode, now: datetime) -> Change:
    if alert.state == State.FIRING and now - alert.true_at < timedelta(seconds=spec.keep_firing_for):
        return Change(Verb.STAY, alert)
    return _end(alert, now)


def _end(alert: Episode, now: datetime) -> Change:
    if alert.state == State.PENDING:
        return Change(Verb.FORGET, alert)
    # Never before it began, even if the clock was set back.
    at = max(now, alert.fired_at or alert.active_at)
    return Change(Verb.RESOLVE, replace(alert, state=State.RESOLVED, resolved_at=at))


# --- Time ------------------------------------------------------------------------------------------------------------


def _unseen(spec: Spec, before: datetime | None, now: datetime) -> timedelta:
    """How much of the time since the last look does not count."""
    if before is None:
        return NOTHING
    gap = now - before
    if gap < NOTHING:
        return gap
    if gap > timedelta(seconds=max(3 * spec.interval, PATIENCE)):
        return gap - timedelta(seconds=spec.interval)
    return NOTHING


def _moved(alert: Episode, lost: timedelta) -> Episode:
    """What is counted from: of a pending alert since when it is true, of a firing one when it was true last."""
    if not lost:
        return alert
    if alert.state == State.PENDING:
        return replace(alert, active_at=alert.active_at + lost, true_at=alert.true_at + lost)
    return replace(alert, true_at=alert.true_at + lost)
