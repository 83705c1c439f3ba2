"""When maintenance windows are open, and what their services look like then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from services import cron, maintenance, statuses, windows
from services.models import Check, MaintenanceWindow, Service, StatusChange
from services.status import Outcome
from services.windows import Interval

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday
HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def window(**values: Any) -> MaintenanceWindow:
    return MaintenanceWindow(**{"name": "update", "starts_at": NOON, **values})


def times(one: MaintenanceWindow, start: str, end: str) -> list[tuple[str, str]]:
    return [(f"{a:%m-%d %H:%M}", f"{b:%m-%d %H:%M}") for a, b in windows.intervals([one], utc(start), utc(end))]


# --- Times -----------------------------------------------------------------------------------------------------------


def test_a_window_is_open_from_its_start_until_before_its_end() -> None:
    one = window(ends_at=minute(10))

    assert [windows.is_open(one, minute(at)) for at in (-0.001, 0, 9.999, 10)] == [False, True, True, False]


def test_a_recurring_window_is_open_each_time_for_its_minutes() -> None:
    one = window(starts_at=utc("2026-11-01"), cron="0 3 * * SUN", minutes=90)

    assert times(one, "2026-11-01", "2026-11-20") == [
        ("11-01 03:00", "11-01 04:30"), ("11-08 03:00", "11-08 04:30"), ("11-15 03:00", "11-15 04:30"),
    ]  # fmt: skip
    sunday = utc("2026-11-08T03:00")
    for minutes, is_open in ((-0.01, False), (0, True), (89.99, True), (90, False)):
        assert windows.is_open(one, sunday + timedelta(minutes=minutes)) is is_open, minutes
    assert windows.opened(one, sunday + timedelta(minutes=30, microseconds=7)) == sunday


def test_a_recurring_window_that_is_open_at_the_edges_is_cut_there() -> None:
    one = window(starts_at=utc("2026-11-01T03:30"), ends_at=utc("2026-11-02T03:20"), cron="0 3 * * *", minutes=60)

    assert times(one, "2026-10-01", "2026-12-01") == [("11-01 03:30", "11-01 04:00"), ("11-02 03:00", "11-02 03:20")]
    assert times(one, "2026-11-01T03:40", "2026-11-02T03:10") == [
        ("11-01 03:40", "11-01 04:00"), ("11-02 03:00", "11-02 03:10"),
    ]  # fmt: skip


def test_in_the_skipped_hour_of_spring_a_window_comes_right_after_it() -> None:
    """In Vienna, 02:00 to 03:00 is not there on 29 March 2026."""
    one = window(starts_at=utc("2026-03-01"), cron="30 2 * * *", minutes=30, zone="Europe/Vienna")

    assert times(one, "2026-03-28", "2026-03-31") == [
        ("03-28 01:30", "03-28 02:00"), ("03-29 01:00", "03-29 01:30"), ("03-30 00:30", "03-30 01:00"),
    ]  # fmt: skip


def test_in_the_hour_of_autumn_that_comes_twice_a_window_comes_once() -> None:
    """In Vienna, 02:00 to 03:00 is there twice on 25 October 2026."""
    one = window(starts_at=utc("2026-10-01"), cron="30 2 * * *", minutes=120, zone="Europe/Vienna")

    assert times(one, "2026-10-24", "2026-10-27") == [
        ("10-24 00:30", "10-24 02:30"), ("10-25 00:30", "10-25 02:30"), ("10-26 01:30", "10-26 03:30"),
    ]  # fmt: skip
    for at, is_open in (("00:29", False), ("00:30", True), ("01:30", True), ("02:29", True), ("02:30", False)):
        assert windows.is_open(one, utc(f"2026-10-25T{at}")) is is_open, at


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 * * * *", "15 */3 * * *", "0 0 1 * *"])
def test_is_open_and_intervals_agree_over_both_changes_of_the_clock(zone: str, expression: str) -> None:
    one = window(starts_at=utc("2026-01-01"), cron=expression, minutes=45, zone=zone)
    for start in (utc("2026-03-07"), utc("2026-03-28"), utc("2026-04-04"), utc("2026-10-03"), utc("2026-10-24")):
        found = windows.intervals([one], start, start + timedelta(days=3))
        for step in range(3 * 24 * 4):
            now = start + timedelta(minutes=15 * step)
            assert windows.is_open(one, now) is any(a <= now < b for a, b in found), now


def test_windows_that_overlap_or_touch_are_one() -> None:
    found = [window(starts_at=minute(a), ends_at=minute(b)) for a, b in ((0, 10), (30, 40), (5, 20), (20, 25))]

    assert windows.intervals(found, NOON, minute(60)) == [
        Interval(NOON, minute(25)), Interval(minute(30), minute(40)),
    ]  # fmt: skip


def test_a_window_each_minute_for_ever_is_not_followed_for_ever() -> None:
    one = window(starts_at=utc("2000-01-01"), cron="* * * * *", minutes=1)

    (found,) = windows.intervals([one], utc("2001-01-01"), utc("2002-01-01"))

    assert found.end - found.start <= timedelta(minutes=windows.OCCURRENCES_MAX)


def test_a_cron_that_never_comes_is_never_open() -> None:
    assert not windows.is_open(window(cron="0 0 30 2 MON"), NOON)


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({}, "ends_at", "Expected an end: only a window with cron comes again for ever."),
        ({"ends_at": NOON}, "ends_at", "Expected an end after the start."),
        ({"cron": "0 3 * *"}, "cron", "Expected the five parts of a cron expression"),
        ({"cron": "0 0 3 * * *"}, "cron", "Expected the five parts of a cron expression"),
        ({"cron": "0 25 * * *"}, "cron", "got '0 25 * * *': bad hour"),
        ({"cron": "0 0 30 FEB *"}, "cron", "bad day-of-month"),
        ({"cron": "0 3 * * *", "zone": "Mars/Base"}, "zone", 'Expected a time zone like "Europe/Vienna", got'),
        ({"cron": "*/30 * * * *", "minutes": 5}, "cron", "Expected a window that comes once an hour at most."),
        ({"cron": "0 3,5 * * *", "minutes": 121}, "minutes", "Expected a window that closes before it opens again."),
        ({"cron": "0 3 * * *", "ends_at": minute(60)}, "cron", "Expected a time between start and end"),
        ({"cron": "0 3 * * *", "minutes": 0}, "minutes", "Expected a minute to a week."),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_sentence(values: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        window(**values).full_clean()

    assert sentence in " ".join(refused.value.message_dict[field])


def test_what_makes_sense_is_taken() -> None:
    window(ends_at=minute(1)).full_clean()
    window(starts_at=minute(-9_999), ends_at=minute(-9_000)).full_clean()  # work that is over
    window(cron="0 3 * * SUN", zone="Europe/Vienna", minutes=120).full_clean()
    window(cron="0 * * * *", minutes=60).full_clean()


def test_the_shortest_gap_knows_of_the_clock() -> None:
    assert cron.shortest_gap("0 3 * * *", "Europe/Vienna", utc("2026-03-20")) == 23 * HOUR


# --- Services --------------------------------------------------------------------------------------------------------


@pytest.fixture
def api(db: None) -> Service:
    return watched("api")


def watched(name: str) -> Service:
    """Healthy since an hour ago."""
    service = Service.objects.create(name=name, status="healthy", status_since=minute(-60), reason="every check is up")
    # A heartbeat is up until it is missed: no result has to come again and again.
    Check.objects.create(service=service, kind="heartbeat", outcome=Outcome.UP, outcome_since=0, last_at=1)
    return service


def history(service: Service) -> list[tuple[str, float]]:
    changes = StatusChange.objects.filter(service=service).order_by("pk")
    return [(change.new, (change.at - NOON).total_seconds() / 60) for change in changes]


def planned(*services: Service, **values: Any) -> MaintenanceWindow:
    one = window(**{"ends_at": minute(10), **values})
    one.save()
    one.services.set(services)
    return one


def test_services_turn_blue_when_a_window_opens_and_back_when_it_closes_at_the_true_times(api: Service) -> None:
    other = watched("worker")
    planned(api)

    for at in (-0.1, 0.05, 1, 2, 10.05, 11):
        maintenance.settle_boundaries(minute(at))

    assert history(api) == [("maintenance", 0), ("healthy", 10)]
    assert history(other) == []
    api.refresh_from_db()
    assert api.status_since == minute(10)


def test_what_was_down_all_the_time_is_down_again_from_the_end_of_the_window(api: Service) -> None:
    Check.objects.update(outcome=Outcome.UNREACHABLE, outcome_since=1, detail="refused")
    planned(api)

    for at in (-0.5, 0.5, 10.5):
        maintenance.settle_boundaries(minute(at))
        statuses.settle([api.pk], minute(at))

    assert history(api) == [("down", -60), ("maintenance", 0), ("down", 10)]


def test_a_window_of_everything_is_of_services_to_come_too(api: Service) -> None:
    planned(everything=True)
    maintenance.settle_boundaries(minute(1))
    late = Service.objects.create(name="late", status_since=minute(2))
    maintenance.settle_boundaries(minute(2))

    assert history(api) == [("maintenance", 0)]
    assert [new for new, _ in history(late)] == ["maintenance"]


def test_of_windows_that_overlap_the_next_one_goes_on(api: Service) -> None:
    planned(api, name="first", ends_at=minute(10))
    planned(api, name="second", starts_at=minute(5), ends_at=minute(20))

    reasons = []
    for at in (1, 6, 11):
        maintenance.settle_boundaries(minute(at))
        api.refresh_from_db()
        reasons.append(api.reason)
    maintenance.settle_boundaries(minute(21))

    assert reasons == ["maintenance: first", "maintenance: first", "maintenance: second"]
    assert history(api) == [("maintenance", 0), ("healthy", 20)]


def test_a_window_that_is_deleted_while_open_ends_now(api: Service) -> None:
    one = planned(api)
    maintenance.settle_boundaries(minute(1))
    one.delete()
    maintenance.settle_boundaries(minute(3))

    assert history(api) == [("maintenance", 0), ("healthy", 3)]


def test_a_window_that_opened_and_closed_while_pharos_was_off_leaves_the_status_alone(api: Service) -> None:
    planned(api)
    maintenance.settle_boundaries(minute(30))

    assert history(api) == []


def test_a_window_that_closed_while_pharos_was_off_closed_at_its_time(api: Service) -> None:
    planned(api)
    maintenance.settle_boundaries(minute(1))
    maintenance.settle_boundaries(minute(600))

    assert history(api) == [("maintenance", 0), ("healthy", 10)]


def test_who_is_paused_stays_paused(api: Service) -> None:
    Service.objects.update(paused=True)
    statuses.settle([api.pk], minute(-1))
    planned(api)
    maintenance.settle_boundaries(minute(1))

    assert history(api) == [("paused", -1)]


def test_a_recurring_window_opens_again(api: Service) -> None:
    planned(api, starts_at=minute(-600), ends_at=None, cron="0 * * * *", minutes=10)

    for at in (1, 11, 61, 71):
        maintenance.settle_boundaries(minute(at))

    assert history(api) == [("maintenance", 0), ("healthy", 10), ("maintenance", 60), ("healthy", 70)]


def test_the_name_of_the_open_window_is_told(api: Service) -> None:
    planned(api, name="move to the new cluster")

    assert windows.open_window(api, minute(1)) == "move to the new cluster"
    assert windows.open_window(api, minute(11)) == ""


def test_settling_many_services_takes_no_query_for_each(api: Service) -> None:
    services = [api, *(watched(f"service {number}") for number in range(9))]
    planned(*services)
    planned(everything=True, name="all", starts_at=minute(2))
    maintenance.settle_boundaries(minute(5))

    def queries(chosen: list[Service]) -> int:
        with CaptureQueriesContext(connection) as captured:
            statuses.settle([service.pk for service in chosen], minute(6))
        return len(captured)

    assert queries(services[:1]) == queries(services)


def test_with_nothing_to_do_it_takes_two_queries(api: Service) -> None:
    with CaptureQueriesContext(connection) as captured:
        maintenance.settle_boundaries(NOON)

    assert len(captured) == 2
