"""The latency of a check over time: percentiles, gaps, marks, bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import clock
from services import charts, details, drawings
from services.availability import Segment
from services.cards import percent
from services.durations import milliseconds, words
from services.models import Check, CheckHour, CheckResult
from services.status import Outcome
from services.templatetags.sla_times import span
from tests.services import made

pytestmark = pytest.mark.django_db
NOW = clock.micros(timezone.now()) // clock.HOUR * clock.HOUR + 30 * clock.MINUTE


@pytest.fixture
def check() -> Check:
    return made.check(made.service())


def test_a_point_has_the_median_the_95th_and_the_longest(check: Check) -> None:
    at = NOW - NOW % clock.MINUTE - clock.MINUTE
    CheckResult.objects.bulk_create(
        CheckResult(service_check=check, at=at + n, outcome=0, latency_us=n * 1_000) for n in range(1, 101)
    )
    [point] = charts.latency(check, charts.RANGES["3h"], NOW).points
    assert point == (at // 1_000, 50, 95, 100)


@pytest.mark.parametrize(
    ("values", "p50", "p95"), [([7], 7, 7), ([1, 2], 1, 2), ([3, 1, 2], 2, 3), (range(1, 21), 10, 19)]
)
def test_percentiles_are_values_that_were_measured(values: Any, p50: int, p95: int) -> None:
    assert charts.at_share(values, 0.5) == p50
    assert charts.at_share(values, 0.95) == p95


def test_failures_without_an_answer_have_no_latency(check: Check) -> None:
    made.result(check, NOW - clock.MINUTE, None, outcome=Outcome.UNREACHABLE)
    assert charts.latency(check, charts.RANGES["3h"], NOW).points == []


def test_days_come_from_hours_and_what_is_not_rolled_up_yet(check: Check) -> None:
    hour = NOW // clock.HOUR * clock.HOUR
    for back in (1, 2, 50):
        CheckHour.objects.create(
            service_check=check, hour=hour - back * clock.HOUR, up=9, p50_us=1_000, p95_us=2_000, max_us=3_000,
            parts={"redis": 1.5},
        )  # fmt: skip
    made.result(check, hour - 30 * clock.MINUTE, 99_000)  # is in the hour before already
    made.result(check, hour + clock.MINUTE, 8_000)
    found = charts.latency(check, charts.RANGES["7d"], NOW)
    assert [point.at for point in found.points] == [(hour - back * clock.HOUR) // 1_000 for back in (50, 2, 1, 0)]
    assert found.points[-2:] == [((hour - clock.HOUR) // 1_000, 1, 2, 3), (hour // 1_000, 8, 8, 8)]
    assert [took for _, took in found.parts["redis"]] == [1.5, 1.5, 1.5]


def test_the_latency_of_parts_comes_from_results(check: Check) -> None:
    at = NOW - NOW % clock.MINUTE - clock.MINUTE
    for n, took in enumerate((1.0, 2.0, 9.0)):
        made.result(
            check, at + n, parts=[{"path": "redis", "outcome": 0, "latency_ms": took}, {"path": "dead", "outcome": 3}]
        )
    assert charts.latency(check, charts.RANGES["3h"], NOW).parts == {"redis": [(at // 1_000, 2.0)]}


def test_a_month_is_bounded_and_asks_a_constant_number_of_questions(check: Check) -> None:
    hour = NOW // clock.HOUR * clock.HOUR
    CheckHour.objects.bulk_create(
        CheckHour(service_check=check, hour=hour - n * clock.HOUR, up=1, p50_us=1, p95_us=1, max_us=1)
        for n in range(900)
    )
    with CaptureQueriesContext(connection) as queries:
        found = charts.latency(check, charts.RANGES["30d"], NOW)
    assert len(found.points) == charts.POINTS_MAX
    assert len(queries) == 2


def test_outages_are_marked_with_their_log_lines(check: Check) -> None:
    now = timezone.now()
    made.change(check.service, now - timedelta(hours=30), "healthy", "unknown")
    made.change(check.service, now - timedelta(hours=2), "down", reason="refused")
    made.change(check.service, now - timedelta(hours=1), "healthy", "down")
    [outage] = details.chart(check.service, [check], {"range": "24h"}, now)["data"]["outages"]
    assert outage["to"] - outage["from"] == 3_600_000
    assert outage["why"] == "refused"
    assert outage["lines"].startswith("/logs/?service=worker&from=")


@pytest.mark.parametrize("given", [{"range": "9y"}, {"check": "77"}, {"check": "x", "range": ""}])
def test_what_is_not_understood_is_the_usual(check: Check, given: dict[str, str]) -> None:
    check.service.created_at = timezone.now() - timedelta(days=40)
    found = details.chart(check.service, [check], given, timezone.now())
    assert (found["range"], found["asked"]) == ("24h", check)


@pytest.mark.parametrize(("hours", "shown"), [(0.1, "3h"), (3, "3h"), (4, "24h"), (100, "24h")])
def test_of_a_young_service_all_is_shown_at_first(check: Check, hours: float, shown: str) -> None:
    now = timezone.now()
    check.service.created_at = now - timedelta(hours=hours)
    assert details.chart(check.service, [check], {}, now)["range"] == shown


# --- Small pictures, words ---------------------------------------------------------------------------------------


def segment(colour: str) -> Segment:
    times = {"red": "down", "green": "healthy", "grey": "unknown"}
    at = timezone.now()
    return Segment(at, at + timedelta(days=1), "today", {times[colour]: timedelta(days=1)})


def test_a_strip_of_a_list_has_few_pieces_and_that_of_a_page_all() -> None:
    segments = [segment(colour) for colour in ["grey"] * 10 + ["green"] * 50 + ["red"] * 2 + ["green"] * 28]
    assert drawings.strip(segments).count("<rect") == 5
    assert drawings.strip(segments, pieces=True).count("<rect") == 90
    assert "2 with an outage" in drawings.strip(segments)


def test_a_line_has_gaps_and_needs_two_values() -> None:
    assert "path" not in drawings.spark([None, 3.0])
    assert drawings.spark([1.0, 2.0, None, 2.0, 1.0]).count("M") == 4  # two lines, two areas
    assert "path" in drawings.spark([0.0, 0.0])
    assert "M240 14L240 14" in drawings.spark([1.0, None, 2.0], least=4.0)  # alone; half of what the upper edge is


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (48.9, "48 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (3_600, "1 h"),
        (15_120, "4 h 12 min"),
        (2_520_000, "29 d 4 h"),
    ],
)
def test_lengths_of_time_are_words(seconds: float, text: str) -> None:
    assert words(seconds) == text
    assert words(timedelta(seconds=seconds)) == text


def test_what_is_overspent_has_a_sign() -> None:
    assert [span(timedelta(minutes=minutes)) for minutes in (-3, 0, 61)] == ["−3 min", "0 s", "1 h 1 min"]
    assert span(None) == "–"


@pytest.mark.parametrize(("micros", "text"), [(None, ""), (400, "0.4 ms"), (42_300, "42 ms"), (1_230_000, "1.23 s")])
def test_latencies_are_short(micros: int | None, text: str) -> None:
    assert milliseconds(micros) == text


@pytest.mark.parametrize(("share", "text"), [(None, ""), (100.0, "100 %"), (99.9999, "99.99 %"), (99.2149, "99.21 %")])
def test_uptime_is_never_rounded_up(share: float | None, text: str) -> None:
    assert percent(share) == text
