"""A day of outages: results go in as a worker records them; uptime, MTTR and MTBF are calculated apart from what was
made to happen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from core import clock
from services import availability, maintenance, statuses
from services.models import Check, Dependency, MaintenanceWindow, Service, StatusChange
from services.probes import Measurement
from services.recording import Observation, record
from services.status import Outcome

DAY = datetime(2026, 10, 25, tzinfo=UTC)
EVERY = 2  # minutes between two results
LATE = timedelta(seconds=3)  # between a moment and who notices it


def minute(number: int) -> datetime:
    return DAY + timedelta(minutes=number)


def at(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def between(*ranges: str) -> set[int]:
    """Minutes of the day: "02:00-02:20"."""
    return {number for each in ranges for number in range(*(at(end) for end in each.split("-")))}


# What is made to happen.
DATABASE_AWAY = between("02:00-02:20", "03:10-03:50")  # a restart, and one during the nightly maintenance
API_AWAY = DATABASE_AWAY | between(
    "05:00-05:02",  # one lost answer
    *(f"06:{number:02}-06:{number + 2:02}" for number in range(0, 30, 4)),  # every other answer is lost
    "08:00-08:04", "08:06-08:12",  # twice, shortly one after the other
    "12:10-13:10",  # begins while it is paused
    "22:00-23:30",  # goes on over a maintenance window
)  # fmt: skip
API_DEGRADED = between("10:00-10:30")
API_PAUSED = between("12:00-13:00")
NIGHTLY = between("03:00-04:00")
API_WINDOW = between("22:30-23:00")

SET = (DATABASE_AWAY, API_AWAY, API_DEGRADED, API_PAUSED, NIGHTLY, API_WINDOW)

# What counts of it, as a person would reckon.
API_OUTAGES = ["02:00-02:20", "08:00-08:04", "08:06-08:12", "13:00-13:10", "22:00-23:30"]
DATABASE_OUTAGES = ["02:00-02:20"]


def outcome(number: int, away: set[int], degraded: Iterable[int] = ()) -> Measurement:
    if number in away:
        return Measurement(Outcome.UNREACHABLE, "connection refused")
    return Measurement(Outcome.DEGRADED, "slow") if number in degraded else Measurement()


def is_quiet(number: int) -> bool:
    """Nothing begins or ends around that minute. Fewer answers then say the same, and the test takes less long."""
    near = range(number - 2 * EVERY, number + 2 * EVERY + 1)
    return number % 20 != 0 and all(len({minute in each for minute in near}) == 1 for each in SET)


@pytest.mark.django_db
def test_a_day_of_outages_equals_a_calculation_done_apart() -> None:
    database, api = (Service.objects.create(name=name, status_since=minute(-60)) for name in ("database", "api"))
    Dependency.objects.create(child=api, parent=database)
    asks = {
        service.pk: Check.objects.create(service=service, name="readiness", interval=600).pk
        for service in (database, api)
    }
    MaintenanceWindow.objects.create(
        # 03:00 UTC: the clock was put back two hours before.
        name="nightly", everything=True, starts_at=minute(-9_999), cron="0 4 * * *", minutes=60, zone="Europe/Vienna"
    )  # fmt: skip
    move = MaintenanceWindow.objects.create(name="move", starts_at=minute(at("22:30")), ends_at=minute(at("23:00")))
    move.services.add(api)

    for number in range(0, 24 * 60, EVERY):
        if is_quiet(number):
            continue
        now = minute(number) + LATE
        if number in (at("12:00"), at("13:00")):
            Service.objects.filter(pk=api.pk).update(paused=number == at("12:00"))
            statuses.settle([api.pk], minute(number))
        maintenance.settle_boundaries(now)
        found = {database: outcome(number, DATABASE_AWAY)}
        if number not in API_PAUSED:
            found[api] = outcome(number, API_AWAY, API_DEGRADED)
        asked = clock.micros(minute(number))
        record([Observation(asks[service.pk], asked, each) for service, each in found.items()], now)

    end = minute(24 * 60)
    report = availability.for_services([database, api], DAY, end, now=end)

    expect(report[database.pk], between("00:00-24:00") - NIGHTLY, DATABASE_OUTAGES)
    expect(report[api.pk], between("00:00-24:00") - NIGHTLY - API_PAUSED - API_WINDOW, API_OUTAGES)
    # A change to better counts from when it was noticed.
    assert abs(report[api.pk].degraded - timedelta(minutes=30)) <= LATE
    assert StatusChange.objects.filter(service=api).count() < 30


def expect(found: availability.Availability, counted: set[int], outages: list[str]) -> None:
    """To the seconds that it took to notice that an outage was over."""
    down = [between(outage) & counted for outage in outages]
    slack = LATE * (len(outages) + 1)
    downtime = timedelta(minutes=sum(map(len, down)))
    uptime = timedelta(minutes=len(counted)) - downtime

    assert [f"{outage.start:%H:%M}-{outage.end:%H:%M}" for outage in found.outages] == outages
    assert abs(found.counted - timedelta(minutes=len(counted))) <= slack
    assert abs(found.down - downtime) <= slack
    assert found.uptime == pytest.approx(100 * (uptime / timedelta(minutes=len(counted))), abs=0.03)
    assert found.mttr is not None
    assert found.mtbf is not None
    assert abs(found.mttr - downtime / len(outages)) <= LATE
    assert abs(found.mtbf - uptime / len(outages)) <= LATE * 2
