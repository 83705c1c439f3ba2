"""Results become hours, and old ones go."""

from __future__ import annotations

import math
from statistics import median_low

import pytest
from django.db.models import Sum
from pytest_django import Settings

from core import clock
from services import rollups, tasks
from services.models import Check, CheckHour, CheckResult
from services.status import Outcome
from tests.services.watched import watched

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

HOUR, MINUTE = clock.HOUR, clock.MINUTE
THEN = 1_795_000_000 * clock.SECOND // HOUR * HOUR
PLENTY = 60.0


def fill(check: Check, start: int, count: int, step: int = 10 * MINUTE, outcome: Outcome = Outcome.UP) -> None:
    """Results from `start` on, with latencies of 1, 2, … ms."""
    CheckResult.objects.bulk_create(
        CheckResult(
            service_check=check, at=start + number * step, outcome=outcome, latency_us=1_000 * (number + 1),
            parts=[{"path": "redis", "outcome": 0, "latency_ms": number}, {"path": "disk", "outcome": 0}],
        )
        for number in range(count)
    )  # fmt: skip


def upkeep(now: int, budget: float = PLENTY) -> int:
    """A turn of everybody."""
    return sum(rollups.upkeep(now + minute * MINUTE, budget) for minute in range(rollups.TURNS))


def hours() -> list[tuple[int, int]]:
    return [((hour - THEN) // HOUR, up) for hour, up in CheckHour.objects.order_by("hour").values_list("hour", "up")]


def test_an_hour_has_the_numbers_of_its_results(database: str) -> None:
    check = watched()
    fill(check, THEN, 6)
    CheckResult.objects.create(service_check=check, at=THEN + HOUR - 1, outcome=Outcome.UNREACHABLE)
    CheckResult.objects.create(service_check=check, at=THEN - 1, outcome=Outcome.FAILING)
    upkeep(THEN + 2 * HOUR)
    hour = CheckHour.objects.get(hour=THEN)
    assert (hour.up, hour.degraded, hour.failing, hour.unreachable) == (6, 0, 0, 1)
    assert (hour.p50_us, hour.p95_us, hour.max_us) == (3_000, 6_000, 6_000)
    assert hour.parts == {"redis": 2}
    assert CheckHour.objects.get(hour=THEN - HOUR).failing == 1


def test_the_current_hour_grows(database: str) -> None:
    check = watched()
    fill(check, THEN, 3)
    upkeep(THEN + 30 * MINUTE)
    assert hours() == [(0, 3)]
    fill(check, THEN + 30 * MINUTE, 3)
    upkeep(THEN + 50 * MINUTE)
    assert hours() == [(0, 6)]


def test_it_does_the_same_twice(database: str) -> None:
    fill(watched(), THEN, 20)
    upkeep(THEN + 4 * HOUR)
    before = list(CheckHour.objects.order_by("hour").values())
    upkeep(THEN + 5 * HOUR)
    assert list(CheckHour.objects.order_by("hour").values()) == before
    assert hours() == [(0, 6), (1, 6), (2, 6), (3, 2)]


def test_hours_without_results_are_left_out_and_what_was_missed_is_made_up_for(database: str) -> None:
    check = watched()
    fill(check, THEN, 6)
    upkeep(THEN + HOUR + 5 * MINUTE)
    fill(check, THEN + 40 * HOUR, 8)
    upkeep(THEN + 100 * HOUR)
    assert hours() == [(0, 6), (40, 6), (41, 2)]


def test_an_answer_that_is_written_late_counts(database: str) -> None:
    check = watched()
    fill(check, THEN, 6)
    fill(check, THEN + HOUR, 1)
    rollups._roll_up(check.pk, None, THEN + HOUR + MINUTE, math.inf)
    fill(check, THEN + HOUR - 1, 1)
    upkeep(THEN + HOUR + 20 * MINUTE)
    assert hours() == [(0, 7), (1, 1)]


def test_it_stops_when_its_time_is_over_and_goes_on_the_next_time(database: str) -> None:
    fill(watched(), THEN, 20)
    assert upkeep(THEN + 4 * HOUR, budget=-1) == 0
    assert hours() == []
    assert upkeep(THEN + 4 * HOUR) == 1
    assert len(hours()) == 4


def test_each_check_has_its_turn_once(database: str) -> None:
    for number in range(23):
        watched(f"service {number}")
    assert upkeep(THEN) == 23


def test_old_results_go_and_their_hours_stay(
    database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "DELETED_MAX", 7)
    settings.RESULTS_RETENTION_DAYS = 2
    check = watched()
    fill(check, THEN, 6 * 24 * 3)
    upkeep(THEN + 72 * HOUR - 9 * MINUTE)  # the last turn is at the full hour
    kept = CheckResult.objects.values_list("at", flat=True)
    assert min(kept) >= THEN + 24 * HOUR
    assert len(kept) == 6 * 48
    assert CheckHour.objects.aggregate(up=Sum("up"))["up"] == 6 * 24 * 3
    upkeep(THEN + 72 * HOUR - 9 * MINUTE)  # the last turn is at the full hour
    assert len(kept.all()) == 6 * 48


def test_zero_days_keep_results_for_ever(settings: Settings) -> None:
    settings.RESULTS_RETENTION_DAYS = 0
    fill(watched(), THEN, 6)
    upkeep(THEN + 10_000 * HOUR)
    assert CheckResult.objects.count() == 6


@pytest.mark.parametrize("count", [1, 2, 3, 10, 99])
def test_percentiles_are_those_of_the_nearest_rank(count: int) -> None:
    values = list(range(1, count + 1))
    assert rollups.percentile(values, 50) == median_low(values)
    assert rollups.percentile(values, 95) == math.ceil(0.95 * count)
    assert rollups.percentile(values, 100) == count
    assert rollups.percentile([], 50) is None


def test_beat_knows_the_tasks(settings: Settings) -> None:
    schedule = settings.CELERY_BEAT_SCHEDULE
    assert schedule["roll-up-results"]["task"] == tasks.upkeep.name
    assert schedule["settle-services"]["task"] == tasks.settle.name
    assert schedule["roll-up-results"]["options"]["expires"] > tasks.UPKEEP_BUDGET
