"""Results of checks → rows: the fact, what the check is settled on now, and the status of the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from services import live, statuses
from services.models import Check, StatusChange
from services.probes import Measurement, Part
from services.status import Outcome
from services.streaks import Streak, advance

# What has to be known of a check …
READ: Final = (
    "service", "outcome", "outcome_since", "streak_count", "streak_began", "last_at", "detail", "parts", "expires_at",
    "due_at", "claim", "failure_threshold", "success_threshold",
)  # fmt: skip
# … what an answer changes, and what a result is. Written as plain SQL for many rows at once: Django's bulk_update makes
# one statement with a CASE for each value, which takes a hundred times longer.
UPDATE: Final = """
    UPDATE services_check SET outcome = %s, outcome_since = %s, streak_count = %s, streak_began = %s, last_at = %s,
        last_outcome = %s, latency_us = %s, detail = %s, parts = %s, expires_at = %s, due_at = %s, claim = %s
    WHERE id = %s
"""
INSERT: Final = """
    INSERT INTO services_checkresult (service_check_id, at, outcome, latency_us, detail, parts)
    VALUES (%s, %s, %s, %s, %s, %s)
"""


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
        wanted = Check.objects.filter(pk__in={each.check for each in observations}).only(*READ)
        # In one order, so that two of us never wait for each other.
        checks = {check.pk: check for check in wanted.select_for_update(no_key=True).order_by("pk")}
        taken = [each for each in observations if (check := checks.get(each.check)) and _is_ours(check, each)]
        touched = {checks[each.check].service_id for each in taken if _apply(checks[each.check], each)}
        if taken:
            answered = {each.check for each in taken}
            _write((check for pk, check in checks.items() if pk in answered), connection)
            _add(taken, connection)
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
    check.latency_us = _micros(found)
    # While it is settled on something else, the sentence of that stays.
    if streak.outcome == found.outcome or streak.outcome is None:
        check.detail = _detail(found)
    check.parts = _parts(check.parts, found.parts, observation.at)
    # Who answers well without a certificate has none (any more); of who does not answer it is not known.
    check.expires_at = found.expires_at or (None if found.outcome == Outcome.UP else check.expires_at)
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


def _write(checks: Iterable[Check], connection: BaseDatabaseWrapper) -> None:
    rows = [
        (
            _number(check.outcome), check.outcome_since, check.streak_count, check.streak_began, check.last_at,
            _number(check.last_outcome), check.latency_us, check.detail, _json(check.parts, connection),
            connection.ops.adapt_datetimefield_value(check.expires_at), check.due_at, check.claim, check.pk,
        )
        for check in checks
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(UPDATE, rows)


def _add(observations: Sequence[Observation], connection: BaseDatabaseWrapper) -> None:
    rows = [
        (each.check, each.at, int(found.outcome), _micros(found), _detail(found), _json(_built(found), connection))
        for each in observations
        if (found := each.measurement)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, rows)


def _number(outcome: int | None) -> int | None:
    """PostgreSQL's driver would write the name of an enum's member."""
    return None if outcome is None else int(outcome)


def _micros(found: Measurement) -> int | None:
    return None if found.latency_ms is None else round(found.latency_ms * 1_000)


def _detail(found: Measurement) -> str:
    """PostgreSQL takes no NUL."""
    return found.detail.replace("\0", "")[:300]


def _built(found: Measurement) -> list[dict[str, Any]] | None:
    return msgspec.to_builtins(found.parts) or None


def _json(value: object, connection: BaseDatabaseWrapper) -> Any:
    return None if value is None else connection.ops.adapt_json_value(value, None)
