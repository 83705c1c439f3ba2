"""Uptime, outages and error budgets, calculated another way: second by second."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from services import availability
from services.availability import Change, Segment
from services.models import MaintenanceWindow, Service, StatusChange
from services.status import Status
from services.windows import Interval, merged
from tests.services.on_postgres import on_postgres

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECONDS = 60
UP = ("healthy", "degraded")
EXCLUDED = ("unknown", "paused", "maintenance")


def second(number: int) -> datetime:
    return START + timedelta(seconds=number)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def of(
    *changes: tuple[int, str], at_start: str = "healthy", windows: Sequence[tuple[int, int]] = (), target: str = "99.9"
) -> availability.Availability:
    """An hour; changes and windows at minutes."""
    return availability.of(
        [Change(minute(at), new, f"because {new}") for at, new in changes],
        START, minute(60), at_start, [Interval(minute(start), minute(end)) for start, end in windows],
        target=Decimal(target),
    )  # fmt: skip


statuses = st.sampled_from(Status.values)
moments = st.integers(-5, SECONDS + 5)


@settings(deadline=None)
@given(
    changes=st.lists(st.tuples(moments, statuses), max_size=12),
    at_start=statuses,
    windows=st.lists(st.tuples(moments, moments), max_size=3),
    now=moments,
)
def test_it_equals_a_count_of_every_second(
    changes: list[tuple[int, str]], at_start: str, windows: list[tuple[int, int]], now: int
) -> None:
    changes.sort(key=lambda change: change[0])
    planned = merged(Interval(second(start), second(end)) for start, end in windows if start < end)
    found = availability.of(
        [Change(second(at), new) for at, new in changes], START, second(SECONDS), at_start, planned, now=second(now)
    )

    def status_in(number: int) -> str:
        status = ([at_start] + [new for at, new in changes if at <= number])[-1]
        is_planned = any(start <= number < end for start, end in windows)
        return "maintenance" if is_planned and status != "paused" else status

    seconds = [status_in(number) for number in range(max(0, min(now, SECONDS)))]
    for status in Status.values:
        assert getattr(found, status) == timedelta(seconds=seconds.count(status)), status
    runs = [(key, len(list(run))) for key, run in groupby(s in UP for s in seconds if s not in EXCLUDED)]
    assert [outage.downtime.total_seconds() for outage in found.outages] == [n for is_up, n in runs if not is_up]
    assert found.longest_without.total_seconds() == max((n for is_up, n in runs if is_up), default=0)
    later = sum(not any(start <= n < end for start, end in windows) for n in range(max(0, now), SECONDS))
    assert found.remaining == timedelta(seconds=later)
    if found.mttr is not None and found.mtbf is not None and found.uptime is not None:
        assert found.uptime == pytest.approx(
            100 * found.mtbf.total_seconds() / (found.mtbf + found.mttr).total_seconds()
        )


def test_down_is_downtime_and_degraded_is_up_but_told_apart() -> None:
    found = of((10, "down"), (16, "degraded"), (30, "healthy"))

    assert found.uptime == 90
    assert (found.down, found.degraded) == (timedelta(minutes=6), timedelta(minutes=14))


@pytest.mark.parametrize("status", EXCLUDED)
def test_what_is_not_known_or_meant_to_be_does_not_count(status: str) -> None:
    found = of((10, status), (40, "down"), (45, "healthy"))

    assert found.counted == timedelta(minutes=30)
    assert found.excluded == timedelta(minutes=30)
    assert found.uptime == pytest.approx(100 * 25 / 30)


def test_a_time_of_which_nothing_counts_has_no_uptime() -> None:
    found = of(at_start="unknown")

    assert (found.uptime, found.mttr, found.mtbf, found.meets_target) == (None, None, None, None)
    assert found.uptime_text == "–"


def test_a_window_makes_downtime_maintenance_even_if_it_was_entered_later() -> None:
    found = of((10, "down"), (30, "healthy"), windows=[(10, 30)])

    assert (found.uptime, found.outages) == (100, ())


def test_what_does_not_count_does_not_end_an_outage() -> None:
    (outage,) = of((10, "down"), (20, "unknown"), (30, "down"), (35, "healthy")).outages

    assert (outage.start, outage.end, outage.downtime) == (minute(10), minute(35), timedelta(minutes=15))


def test_an_outage_that_maintenance_ended_is_over_when_maintenance_began() -> None:
    (outage,) = of((10, "down"), (20, "maintenance"), (30, "healthy")).outages

    assert (outage.end, outage.goes_on) == (minute(20), False)


def test_an_outage_knows_why_and_whether_it_goes_on() -> None:
    first, last = of((10, "down"), (20, "healthy"), (50, "down")).outages

    assert (first.reason, first.goes_on) == ("because down", False)
    assert last.goes_on


def test_an_outage_from_before_the_range_tells_the_reason_of_the_change_that_began_it() -> None:
    before = Change(minute(-5), "down", "connection refused", culprit_id=3)
    (outage,) = availability.of([before], START, minute(60), "down").outages

    assert (outage.start, outage.reason, outage.culprit) == (START, "connection refused", 3)


def test_means_are_of_the_outages() -> None:
    found = of((10, "down"), (14, "healthy"), (40, "down"), (42, "healthy"))

    assert found.mttr == timedelta(minutes=3)
    assert found.mtbf == timedelta(minutes=27)
    assert found.longest_without == timedelta(minutes=26)


def test_the_budget_is_what_the_target_leaves() -> None:
    found = of((10, "down"), (16, "healthy"), target="80")

    assert (found.budget, found.budget_left, found.budget_used) == (timedelta(minutes=12), timedelta(minutes=6), 50)
    assert found.meets_target


def test_a_budget_may_be_overspent() -> None:
    found = of((10, "down"), (16, "healthy"), target="95")

    assert found.budget_left == timedelta(minutes=-3)
    assert found.meets_target is False


def test_a_target_of_all_leaves_no_budget() -> None:
    assert of(target="100").meets_target
    assert of(target="100").budget_used is None


def test_the_budget_of_a_month_that_goes_on_is_that_of_the_whole_month() -> None:
    found = availability.of([], START, minute(100), "healthy", [Interval(minute(80), minute(90))],
                            target=Decimal(90), now=minute(20))  # fmt: skip

    assert (found.end, found.counted) == (minute(20), timedelta(minutes=20))
    assert found.budget == timedelta(minutes=9)


def test_uptime_is_never_rounded_up_to_all() -> None:
    changes = [Change(second(0), "down"), Change(second(1), "healthy")]
    found = availability.of(changes, START, START + timedelta(days=365), "healthy")

    assert found.uptime_text == "99.999"
    assert of().uptime_text == "100.000"


# --- Of services -----------------------------------------------------------------------------------------------------


def add(service: Service, *changes: tuple[int, str]) -> None:
    old = "unknown"
    for at, new in changes:
        StatusChange.objects.create(service=service, at=minute(at), old=old, new=new, reason=f"because {new}")
        old = new


@pytest.mark.django_db
def test_the_status_at_the_start_is_that_of_the_newest_change_before() -> None:
    api, worker, fresh = (Service.objects.create(name=name) for name in ("api", "worker", "fresh"))
    add(api, (-30, "healthy"), (-20, "down"), (6, "healthy"))
    add(worker, (-30, "down"), (-20, "healthy"), (-20, "degraded"))
    add(fresh, (90, "healthy"))

    found = availability.for_services([api, worker, fresh], START, minute(60), now=minute(60))

    assert (found[api.pk].uptime, found[api.pk].outages[0].reason) == (90, "because down")
    assert found[worker.pk].degraded == timedelta(minutes=60)
    assert found[fresh.pk].uptime is None


@pytest.mark.django_db
def test_windows_of_a_service_and_of_all_are_taken_out() -> None:
    api, worker = Service.objects.create(name="api", sla_target=95), Service.objects.create(name="worker")
    add(api, (-1, "healthy"), (10, "down"), (20, "healthy"))
    add(worker, (-1, "healthy"), (10, "down"), (20, "healthy"))
    own = MaintenanceWindow.objects.create(name="own", starts_at=minute(10), ends_at=minute(15))
    own.services.add(api)
    MaintenanceWindow.objects.create(name="all", everything=True, starts_at=minute(18), ends_at=minute(30))

    found = availability.for_services([api, worker], START, minute(60), now=minute(60))

    assert (found[api.pk].down, found[worker.pk].down) == (timedelta(minutes=3), timedelta(minutes=8))
    assert (found[api.pk].target, found[api.pk].maintenance) == (Decimal(95), timedelta(minutes=17))


@pytest.mark.django_db
def test_the_number_of_queries_does_not_depend_on_the_number_of_services() -> None:
    services = Service.objects.bulk_create(Service(name=f"service {number:03}") for number in range(50))
    window = MaintenanceWindow.objects.create(name="all", starts_at=minute(10), ends_at=minute(15))
    window.services.set(services)
    for service in services:
        add(service, (-1, "healthy"), (10, "down"), (20, "healthy"))

    def queries(ask: object, chosen: list[Service]) -> int:
        with CaptureQueriesContext(connection) as captured:
            if ask == "strip":
                availability.strip([service.pk for service in chosen], minute(60))
            else:
                availability.for_services(chosen, START, minute(60), now=minute(60))
        return len(captured)

    for ask in ("strip", "report"):
        assert queries(ask, services[:2]) == queries(ask, services) == 4


@pytest.mark.postgres
@pytest.mark.django_db(databases=["default", "postgres"])
def test_the_newest_change_before_is_found_on_postgres() -> None:
    with on_postgres():
        api = Service.objects.create(name="api")
        add(api, (-30, "healthy"), (-20, "down"), (-20, "degraded"), (6, "healthy"))
        own = MaintenanceWindow.objects.create(name="own", starts_at=minute(2), ends_at=minute(4))
        own.services.add(api)

        found = availability.for_services([api], START, minute(60), now=minute(60))

    assert found[api.pk].degraded == timedelta(minutes=4)


# --- The strip -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_segment_has_the_colour_of_the_worst_that_was_in_it() -> None:
    api = Service.objects.create(name="api")
    add(api, (15, "healthy"), (21, "down"), (22, "healthy"), (31, "degraded"), (40, "maintenance"), (50, "paused"))

    segments = availability.strip([api.pk], minute(60), 6, timedelta(hours=1))[api.pk]

    assert [segment.colour for segment in segments] == ["grey", "green", "red", "yellow", "blue", "grey"]
    assert segments[2].title == "21 Nov 12:20 to 12:30: down for 1 min, healthy for 9 min"
    assert (segments[0].start, segments[-1].end) == (START, minute(60))


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 5_400), max_size=8), segments=st.integers(1, 90))
def test_segments_cover_every_moment_once(cuts: list[int], segments: int) -> None:
    changes = [Change(second(at), "down" if at % 2 else "healthy") for at in sorted(cuts)]
    edges = [START + timedelta(seconds=5_400) * part / segments for part in range(segments + 1)]
    blank = [Segment(start, end, "", {}) for start, end in pairwise(edges)]
    found = list(availability._segments(blank, availability.spans(changes, START, edges[-1], "unknown"), {}))

    assert len(found) == segments
    assert sum((sum(each.times.values(), timedelta(0)) for each in found), timedelta(0)) == timedelta(seconds=5_400)
