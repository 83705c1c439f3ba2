"""Which rules are due, and what becomes of their alerts.

A tick takes the rules that are due (`_claim`): a conditional UPDATE leaves its token at them and moves them to the end
of a lease. Each is measured without a transaction; then one transaction writes what the rule found, its alerts, and
whom they go to (`alerts.dispatch`). That counts only while the token is still there: of a worker that died or was too
slow nothing remains, and its rules are due again when the lease ends.

Deadlines stay on a grid, as those of checks (`services.polling`). In each process one tick at a time works off what is
due, and one what something has just happened to (`alerts.early`): slow rules don't delay those that can't wait.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db import transaction
from django.db.models import BigIntegerField, F, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from alerts import conditions, dispatch, early, evaluation, facts, meters, reach, templating, thresholds
from alerts.conditions import ConditionError, Facts, Measured
from alerts.evaluation import Change, Episode, Spec, Verb
from alerts.models import Alert, AlertRule
from alerts.models.alerts import State
from alerts.thresholds import Threshold
from core import bulk, clock

LEASE: Final = 60 * clock.SECOND  # µs for which a claim lasts
BUDGET: Final = 5.0  # seconds of one tick: what it did not come to is handed back
TURN: Final = 20  # rules that are taken at once
SETTLE_EVERY: Final = 30 * clock.SECOND
GOLDEN: Final = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly, however many there are
UNUSED: Final = ("what", "impact", "diagnosis", "resolution", "escalating", "comment")  # of a rule: long
WORDED: Final = ("state", "value", "active_at", "fired_at", "true_at", "resolved_at", "annotations")

log = logging.getLogger(__name__)


_early, _turns = threading.Lock(), threading.Lock()
_missed: set[int] = set()  # rules that were woken and nobody could look at: the next early look does
_behind = False  # the last tick of this process left something over
_settled = 0  # µs: when this process looked last for what no deadline brings about


class Claimed(msgspec.Struct, frozen=True):
    token: str
    due: Mapping[int, int]  # by rule: when it was due, µs; 0 if it is new


def run_early(now: datetime) -> int:
    """Evaluates what something has just happened to, whether it is due or not. The number of rules."""
    global _missed
    if not _early.acquire(blocking=False):
        return 0
    try:
        at, known = clock.micros(now), facts.Facts(now)
        woken = early.rules(known) | _missed
        if not woken:
            return 0
        restless, _missed = _restless(woken, at, now, known)
        claimed = _claim(_asleep(restless, at), at, None)
        _missed |= restless - claimed.due.keys()
        return _evaluate_all(claimed, now, known, time.monotonic() + BUDGET)
    finally:
        _early.release()


def run_due(now: datetime) -> int:
    """Evaluates what is due, a few at a time: nobody else waits for those that it does not come to. The number of
    rules."""
    at, known = clock.micros(now), facts.Facts(now)
    _settle(at, now)
    if not _turns.acquire(blocking=False):
        return 0
    try:
        until = time.monotonic() + BUDGET
        done = 0
        while (claimed := _claim(Q(due_at__lte=at), at, TURN)).due:
            evaluated = _evaluate_all(claimed, now, known, until)
            done += evaluated
            if evaluated < len(claimed.due):
                _say_if_behind(True)
                return done
        _say_if_behind(False)
        return done
    finally:
        _turns.release()


def _say_if_behind(behind: bool) -> None:
    global _behind
    if behind and not _behind:
        log.warning("Rules are evaluated late: those that are due take more than %g s", BUDGET)
    _behind = behind


def evaluate(rules: Iterable[AlertRule], now: datetime, known: Facts | None = None) -> None:
    """These, whether they are due or not."""
    claimed = _claim(Q(pk__in=[rule.pk for rule in rules]), clock.micros(now), None)
    _evaluate_all(claimed, now, known or facts.Facts(now), math.inf)


def apply(rules: Collection[int]) -> None:
    """After they were changed: they are due at once, and what is being measured now does not count. Of those that are
    switched off the alerts end."""
    AlertRule.objects.filter(pk__in=rules).update(claim="", due_at=0)
    if off := list(AlertRule.objects.filter(pk__in=rules, enabled=False).values_list("pk", flat=True)):
        end_alerts(off, timezone.now())


def end_alerts(rules: Collection[int], now: datetime) -> int:
    """Of rules that are switched off, or deleted. Who was told of an alert is told of its end. The number of alerts."""
    with transaction.atomic():
        AlertRule.objects.filter(pk__in=rules).update(claim="", due_at=0)
        rows = _active(rules)
        for rule in AlertRule.objects.filter(pk__in=rows):
            found = evaluation.ended(map(episode_of, rows[rule.pk]), now)
            _write(rule, rows[rule.pk], found, now)
    return sum(map(len, rows.values()))


# --- Claims ----------------------------------------------------------------------------------------------------------


def _claim(which: Q, at: int, most: int | None) -> Claimed:
    wanted = AlertRule.objects.filter(which, enabled=True).order_by("due_at")
    due = dict(wanted.values_list("pk", "due_at")[:most])
    token = uuid.uuid4().hex
    free = AlertRule.objects.filter(which, pk__in=due, enabled=True)
    if due and free.update(claim=token, due_at=at + LEASE) < len(due):
        mine = set(AlertRule.objects.filter(pk__in=due, claim=token).values_list("pk", flat=True))
        due = {pk: before for pk, before in due.items() if pk in mine}
    return Claimed(token, due)


def next_due(rule: AlertRule, due: int, at: int) -> int:
    """The deadline after an evaluation at `at`; all µs. A new rule gets its place on the grid, away from the others."""
    interval = round(rule.interval * clock.SECOND)
    if not due:
        return at + max(clock.SECOND, round(rule.pk * GOLDEN % 1 * interval))
    return due if due > at else due + (at - due) // interval * interval + interval


def _settle(at: int, now: datetime) -> None:
    """What no deadline brings about: a clock that was set back, rules that were switched off behind our back."""
    global _settled
    if 0 <= at - _settled < SETTLE_EVERY:
        return
    _settled = at
    latest = Cast(F("interval") * clock.SECOND, BigIntegerField()) + (at + LEASE)
    AlertRule.objects.filter(enabled=True, due_at__gt=latest).update(claim="", due_at=0)
    off = _not_ended().filter(rule__enabled=False).values_list("rule", flat=True).distinct()
    if rules := [rule for rule in off if rule is not None]:
        end_alerts(rules, now)


# --- Measuring -------------------------------------------------------------------------------------------------------


def _evaluate_all(claimed: Claimed, now: datetime, known: Facts, until: float) -> int:
    """The number of those that it came to before `until`, by the monotonic clock; the others are handed back."""
    if not claimed.due:
        return 0
    rows = _active(claimed.due)
    left = dict(claimed.due)
    quiet: list[tuple[AlertRule, dict[str, Any]]] = []
    for rule in AlertRule.objects.filter(pk__in=claimed.due, claim=claimed.token).defer(*UNUSED):
        if time.monotonic() > until:
            break
        due, alerts = left.pop(rule.pk), rows.get(rule.pk, [])
        try:
            kept, changes = _look(rule, due, alerts, known, now)
            if changes:
                with transaction.atomic():
                    if _mine(rule).update(**kept):
                        _write(rule, alerts, changes, now)
            else:
                quiet.append((rule, kept))
        except Exception:
            # The others shall not suffer. It is due again when its lease ends.
            log.exception("Rule %s could not be evaluated", rule)
    with transaction.atomic():
        for rule, kept in quiet:
            _mine(rule).update(**kept)
        for pk, due in left.items():
            AlertRule.objects.filter(pk=pk, claim=claimed.token).update(claim="", due_at=due)
    return len(claimed.due) - len(left)


def _look(
    rule: AlertRule, due: int, rows: Sequence[Alert], known: Facts, now: datetime
) -> tuple[dict[str, Any], Sequence[Change]]:
    """What the rule keeps of it, and what becomes of its alerts."""
    at = clock.micros(now)
    began = time.perf_counter_ns()
    kept: dict[str, Any] = {"claim": "", "due_at": next_due(rule, due, at)}
    try:
        measured, found = _step(rule, rows, known, now)
    except ConditionError as error:
        meters.EVALUATIONS.add(1, "error")
        if rule.error != (said := str(error)[:500]):
            log.warning("Rule %s can't be evaluated: %s", rule, said)
        return kept | {"error": said, "took_us": _took(began)}, ()
    kept |= {"evaluated_at": at, "took_us": _took(began), "error": ""}
    meters.EVALUATIONS.add(1, "ok")
    meters.EVALUATION_TIMES.observe(kept["took_us"] / clock.SECOND)
    meters.EVALUATION_LATENESS.observe(max(at - due, 0) / clock.SECOND if due else 0.0)
    kept |= {"note": _note(rule, measured, found, len(rows), now), "values": _values(measured)}
    return kept, found.changes


def _step(rule: AlertRule, rows: Sequence[Alert], known: Facts, now: datetime) -> tuple[Measured, evaluation.Step]:
    """Raises ConditionError."""
    spec, measured = spec_of(rule), measure(rule, known)
    before = clock.moment(rule.evaluated_at) if rule.evaluated_at else None
    return measured, evaluation.step(spec, map(episode_of, rows), measured, now, before)


def _restless(rules: Collection[int], at: int, now: datetime, known: Facts) -> tuple[set[int], set[int]]:
    """Those of the rules whose alerts would change now, and those that it could not look at. Writes nothing: of those
    that are woken most sleep on."""
    until = time.monotonic() + BUDGET
    rows = _active(rules)
    restless, missed = set(), set()
    for rule in AlertRule.objects.filter(pk__in=rules, enabled=True).defer(*UNUSED):
        if rule.claim or rule.due_at <= at or time.monotonic() > until:
            # Who has it in hand, or is about to, may have measured before that happened which woke it.
            missed.add(rule.pk)
            continue
        try:
            _, found = _step(rule, rows.get(rule.pk, []), known, now)
        except ConditionError:
            continue  # it says so when it has its turn
        except Exception:
            log.exception("Rule %s could not be evaluated", rule)
            continue
        if any(change.verb != Verb.STAY for change in found.changes):
            restless.add(rule.pk)
    return restless, missed


def _asleep(rules: Collection[int], at: int) -> Q:
    return Q(pk__in=rules, due_at__gt=at, claim="")


def _mine(rule: AlertRule) -> QuerySet[AlertRule]:
    """The rule, if nobody else took it or changed it meanwhile."""
    return AlertRule.objects.filter(pk=rule.pk, claim=rule.claim, enabled=True)


def _took(began: int) -> int:
    return (time.perf_counter_ns() - began) // 1_000


def measure(rule: AlertRule, known: Facts) -> Measured:
    """Raises ConditionError."""
    config = conditions.fitted(rule.kind, rule.config)
    # More than the cap, so that alerts that there are stay while others are a little worse.
    return conditions.condition(rule.kind).measure(config, known, most=2 * rule.alerts_max)


def spec_of(rule: AlertRule) -> Spec:
    """Raises ConditionError."""
    limits: Sequence[Threshold] = ()
    if conditions.condition(rule.kind).MEASURES:
        try:
            limits = thresholds.parse(rule.thresholds)
        except (msgspec.ValidationError, ValueError) as error:
            raise ConditionError(f"the thresholds of this rule don't fit: {error}") from None
        if not limits:
            raise ConditionError("this rule has no limit that a value could pass")
    return Spec(
        rule.name, rule.severity, rule.operator, limits, rule.labels, rule.interval, rule.pending_for,
        rule.keep_firing_for, rule.no_data, rule.alerts_max,
    )  # fmt: skip


def _values(measured: Measured) -> list[Any]:
    return [[each.labels, each.value] for each in measured.samples[: reach.VALUES_MAX] if math.isfinite(each.value)]


NO_DATA: Final = "no data since"


def _note(rule: AlertRule, measured: Measured, found: evaluation.Step, before: int, now: datetime) -> str:
    if measured.no_data:
        return rule.note if rule.note.startswith(NO_DATA) else f"{NO_DATA} {now:%Y-%m-%d %H:%M:%S} UTC"
    if found.left_out:
        gone = {Verb.START: 1, Verb.RESOLVE: -1, Verb.FORGET: -1}
        alerts = before + sum(gone.get(change.verb, 0) for change in found.changes)
        return f"{alerts:,} alerts, {found.left_out:,} left out"
    return ""


# --- Alerts ----------------------------------------------------------------------------------------------------------


def _not_ended() -> QuerySet[Alert]:
    return Alert.objects.exclude(state=State.RESOLVED)


def _active(rules: Collection[int]) -> dict[int, list[Alert]]:
    """Alerts that have not ended, by their rule."""
    found: dict[int, list[Alert]] = {}
    for alert in _not_ended().filter(rule__in=list(rules)):
        assert alert.rule_id is not None
        found.setdefault(alert.rule_id, []).append(alert)
    return found


def episode_of(alert: Alert) -> Episode:
    return Episode(
        alert.fingerprint, alert.labels, alert.severity, alert.state, alert.active_at, alert.true_at, alert.fired_at,
        alert.resolved_at, alert.value, alert.annotations.get("detail", ""),
    )  # fmt: skip


def _write(rule: AlertRule, rows: Sequence[Alert], changes: Sequence[Change], now: datetime) -> None:
    """What has changed; who is to be told of it is decided in the same transaction."""
    by_fingerprint = {row.fingerprint: row for row in rows}
    forgotten: list[int] = []
    still_true: list[int] = []
    changed: list[Alert] = []
    told: list[Alert] = []
    for change in changes:
        if change.verb == Verb.START:
            continue
        row, annotations = by_fingerprint[change.alert.fingerprint], annotations_of(rule, change.alert)
        if change.verb == Verb.FORGET:
            forgotten.append(row.pk)
        elif change.alert.true_at == now and not _differs(row, change.alert, annotations):
            still_true.append(row.pk)
        else:
            _put(row, change.alert, annotations)
            changed.append(row)
        if change.verb in (Verb.FIRE, Verb.RESOLVE):
            told.append(row)
    if forgotten:
        Alert.objects.filter(pk__in=forgotten).delete()
    if still_true:
        Alert.objects.filter(pk__in=still_true).update(true_at=now)
    if changed:
        bulk.update(changed, WORDED)
    told += [row for row in _start(rule, changes) if row.state == State.FIRING]
    if told:
        dispatch.take(told, now)


def _start(rule: AlertRule, changes: Sequence[Change]) -> list[Alert]:
    fresh = {change.alert.fingerprint: change.alert for change in changes if change.verb == Verb.START}
    if not fresh:
        return []
    # Somebody else may send an alert with these very labels.
    theirs = set(_not_ended().filter(fingerprint__in=fresh).values_list("fingerprint", flat=True))
    rows = []
    for fingerprint, alert in fresh.items():
        if fingerprint not in theirs:
            row = Alert(rule=rule, fingerprint=fingerprint, labels=alert.labels, severity=alert.severity)
            _put(row, alert, annotations_of(rule, alert))
            rows.append(row)
    return Alert.objects.bulk_create(rows, batch_size=200)


def _differs(row: Alert, alert: Episode, annotations: Mapping[str, str]) -> bool:
    """In more than the time at which it was true last."""
    return (row.state, row.value, row.active_at, row.annotations) != (
        alert.state, alert.value, alert.active_at, annotations,
    )  # fmt: skip


def _put(row: Alert, alert: Episode, annotations: Mapping[str, str]) -> None:
    row.state, row.value, row.annotations = alert.state, alert.value, dict(annotations)
    row.active_at, row.fired_at, row.true_at = alert.active_at, alert.fired_at, alert.true_at
    row.resolved_at = alert.resolved_at


def annotations_of(rule: AlertRule, alert: Episode) -> dict[str, str]:
    """What people are told: the rule's summary and description for this alert; without a summary what was found."""
    given = {"labels": alert.labels, "value": alert.value, "detail": alert.detail, "severity": alert.severity}
    found = {
        "summary": _worded(rule.summary, given)[:500] or alert.detail or rule.name,
        "description": _worded(rule.description, given)[:5_000],
        "detail": alert.detail,
    }
    return {name: text for name, text in found.items() if text}


def _worded(text: str, given: Mapping[str, Any]) -> str:
    try:
        return templating.render(text, given).strip()
    except templating.TemplateError as error:
        return f"<template: {error}>"
