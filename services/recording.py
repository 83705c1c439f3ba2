"""Results of checks → rows: the fact, what the check is settled on now, and the status of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db import transaction

from services import live, statuses
from services.models import Check, CheckResult, StatusChange
from services.probes import Measurement, Part
from services.status import Outcome
from services.streaks import Streak, advance

FIELDS: Final = (
    "outcome", "outcome_since", "streak_count", "streak_began", "last_at", "last_outcome", "latency_us", "detail",
    "parts", "expires_at", "due_at", "claim",
)  # fmt: skip


class Observation(msgspec.Struct, frozen=True):
    """One answer of one check."""

    check: int
    at: int  # µs: when it was asked
    measurement: Measurement
    claim: str | None = None  # of the worker that asked; None: nobody had to claim it ("check now", a heartbeat)
    next_due: int | None = None  # µs: when it is due next, if this answer decides it


def record(observations: Sequence[Observation], now: datetime) -> list[StatusChange]:
    """Writes all of them in one transaction. What somebody else has claimed meanwhile is dropped."""
    with transaction.atomic():
        checks = Check.objects.filter(pk__in={each.check for each in observations}).defer("secrets").in_bulk()
        taken = [each for each in observations if (check := checks.get(each.check)) and _is_ours(check, each)]
        touched = {checks[each.check].service_id for each in taken if _apply(checks[each.check], each)}
        _write({each.check: checks[each.check] for each in taken})
        CheckResult.objects.bulk_create([_result(each) for each in taken])
        live.announce(checks[each.check].service_id for each in taken)
    return statuses.settle(touched, now) if touched else []


def _is_ours(check: Check, observation: Observation) -> bool:
    return observation.claim is None or observation.claim == check.claim


def _apply(check: Check, observation: Observation) -> bool:
    """Whether the service has to be judged anew."""
    found = observation.measurement
    before = (check.outcome, check.detail, check.last_at is None)
    streak = advance(
        _streak(check), found.outcome, observation.at,
        failures=check.failure_threshold, successes=check.success_threshold,
    )  # fmt: skip
    check.outcome, check.outcome_since = streak.outcome, streak.since
    check.streak_count, check.streak_began = streak.count, streak.began
    check.last_at, check.last_outcome = observation.at, found.outcome
    check.latency_us = None if found.latency_ms is None else round(found.latency_ms * 1_000)
    # While it is settled on something else, the sentence of that stays.
    if streak.outcome == found.outcome or streak.outcome is None:
        check.detail = found.detail[:300]
    check.parts = _parts(check.parts, found.parts, observation.at)
    check.expires_at = found.expires_at or check.expires_at
    if observation.next_due is not None:
        check.due_at, check.claim = observation.next_due, ""
    return (check.outcome, check.detail, False) != before


def _streak(check: Check) -> Streak:
    settled = None if check.outcome is None else Outcome(check.outcome)
    return Streak(settled, check.outcome_since, check.streak_count, check.streak_began)


def _parts(before: Sequence[Mapping[str, Any]], now: Sequence[Part], at: int) -> list[dict[str, Any]]:
    """Each with the time since which it is as it is."""
    known = {part["path"]: part for part in before}
    fresh = []
    for part in now:
        old = known.get(part.path)
        same = old is not None and old.get("outcome") == part.outcome
        fresh.append({**msgspec.to_builtins(part), "since": old["since"] if old and same else at})
    return fresh


def _result(observation: Observation) -> CheckResult:
    found = observation.measurement
    return CheckResult(
        service_check_id=observation.check,
        at=observation.at,
        outcome=found.outcome,
        latency_us=None if found.latency_ms is None else round(found.latency_ms * 1_000),
        detail=found.detail[:300],
        parts=msgspec.to_builtins(found.parts) or None,
    )


def _write(checks: Mapping[int, Check]) -> None:
    if checks:
        Check.objects.bulk_update(checks.values(), FIELDS)
