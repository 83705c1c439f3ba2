"""Conditions on services and their checks: what they measure now, and what they would have measured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import conditions
from alerts.conditions import Measured, service_latency
from alerts.facts import Facts
from core import clock
from services.models import CheckHour, MaintenanceWindow
from services.status import Outcome
from tests.services import made

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


def measured(kind: str, facts: Facts | None = None, *, most: int = 100, **config: Any) -> Measured:
    module = conditions.condition(kind)
    fitted = conditions.fitted(kind, config)
    module.check(fitted)
    return module.measure(fitted, facts or Facts(NOW), most=most)


def found(measured: Measured) -> list[tuple[Mapping[str, str], float, str]]:
    return [(sample.labels, sample.value, sample.detail) for sample in measured.samples]


def replayed(
    kind: str, start: datetime, end: datetime, step: float = 60, **config: Any
) -> list[tuple[datetime, Measured]]:
    return list(conditions.condition(kind).replay(conditions.fitted(kind, config), start, end, step, most=100))


def changes(times: list[tuple[datetime, Measured]]) -> list[tuple[int, list[str]]]:
    """Minutes since the first look at which the services that are found change."""
    told: list[tuple[int, list[str]]] = []
    for at, each in times:
        names = sorted(sample.labels["service"] for sample in each.samples)
        if not told or told[-1][1] != names:
            told.append(((at - times[0][0]) // MINUTE, names))
    return told


# --- Down, degraded ------------------------------------------------------------------------------------------------


def test_services_that_are_down_are_found_with_the_reason_the_longest_first() -> None:
    made.service("api", "down", "liveness is unreachable", status_since=NOW - MINUTE)
    made.service("db", "down", "container db exited with 137", status_since=NOW - 10 * MINUTE)
    made.service("web", "degraded", "readiness fails", status_since=NOW - MINUTE)
    made.service("idle")
    assert found(measured("service_down")) == [
        ({"service": "db"}, 600.0, "container db exited with 137"),
        ({"service": "api"}, 60.0, "liveness is unreachable"),
    ]
    assert found(measured("service_degraded")) == [({"service": "web"}, 60.0, "readiness fails")]
    assert measured("service_down", most=1).left_out == 1


def test_names_categories_and_labels_choose() -> None:
    made.service("shop-api", "down", category="api", labels={"team": "shop"})
    made.service("shop-db", "down", category="database", labels={"team": "data"})
    made.service("redis", "down", category="cache")

    def names(**config: Any) -> list[str]:
        return [sample.labels["service"] for sample in measured("service_down", **config).samples]

    assert sorted(names()) == ["redis", "shop-api", "shop-db"]
    assert names(services=["redis", "nothing"]) == ["redis"]
    assert sorted(names(services=["shop-*"])) == ["shop-api", "shop-db"]
    assert names(categories=["database", "sso"]) == ["shop-db"]
    assert names(labels={"team": "shop"}) == ["shop-api"]
    assert names(services=["shop-*"], but=["*-db"]) == ["shop-api"]


def test_without_a_service_that_is_known_there_is_no_data() -> None:
    assert measured("service_down").no_data
    made.service("api", "unknown")
    assert measured("service_down").no_data
    made.service("web", "paused")
    assert not measured("service_down").no_data


def test_a_replay_of_outages_knows_maintenance() -> None:
    api, web = made.service("api"), made.service("web", "down")
    start = NOW - 60 * MINUTE
    made.change(web, start - DAY, "down", reason="gone")
    made.change(api, start - DAY, "healthy", "unknown")
    made.change(api, start + 10 * MINUTE, "down", reason="readiness is unreachable")
    made.change(api, start + 20 * MINUTE, "healthy", "down")
    window = MaintenanceWindow.objects.create(name="w", starts_at=start + 40 * MINUTE, ends_at=start + 50 * MINUTE)
    window.services.add(web)
    times = replayed("service_down", start, NOW)
    assert changes(times) == [(0, ["web"]), (10, ["api", "web"]), (20, ["web"]), (40, []), (50, ["web"])]
    assert times[12][1].samples[1].detail == "readiness is unreachable"
    assert changes(replayed("service_degraded", start, NOW)) == [(0, [])]


# --- Latency -------------------------------------------------------------------------------------------------------


def answers(check: Any, *latencies_ms: float, until: datetime = NOW, every: timedelta = 10 * SECOND) -> None:
    for number, took in enumerate(reversed(latencies_ms)):
        made.result(check, clock.micros(until - number * every), round(took * 1_000))


def test_latencies_of_the_window_are_told_by_check() -> None:
    api, worker = made.service("api"), made.service("worker")
    answers(made.check(api, "readiness"), *([100] * 18), 900, 1_000)
    answers(made.check(worker, "liveness"), *([20] * 10))
    answers(made.check(worker, "backup", kind="heartbeat"), *([60_000] * 10))
    assert found(measured("service_latency")) == [
        ({"service": "api", "check": "readiness"}, 900.0, "readiness takes 900 ms (p95 of 5 min)"),
        ({"service": "worker", "check": "liveness"}, 20.0, "liveness takes 20 ms (p95 of 5 min)"),
    ]
    assert measured("service_latency", statistic="highest", checks=["readi*"]).samples[0].value == 1_000
    assert measured("service_latency", statistic="average", window=20, at_least=2).samples[0].value == 950


def test_few_answers_say_nothing() -> None:
    answers(made.check(made.service("api")), 100, 100)
    assert measured("service_latency").no_data
    assert not measured("service_latency", at_least=2).no_data


def test_who_is_not_expected_to_answer_is_not_slow() -> None:
    for name, status in (("api", "maintenance"), ("web", "paused")):
        answers(made.check(made.service(name, status)), *([100] * 10))
    assert measured("service_latency").no_data


def test_a_replay_of_latencies_says_what_was_measured_then() -> None:
    check = made.check(made.service("api"))
    start = NOW - 30 * MINUTE
    answers(check, *range(1, 181), until=NOW)
    for at, each in replayed("service_latency", start, NOW, 45):
        assert (at, found(each)) == (at, found(measured("service_latency", Facts(at))))


def test_a_replay_of_many_answers_takes_their_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    check = made.check(made.service("api"))
    answers(check, *range(1, 30))
    for hour, took in ((10, 500), (11, 700)):
        at = clock.micros(NOW.replace(hour=hour))
        CheckHour.objects.create(service_check=check, hour=at, p50_us=1, p95_us=took * 1_000, max_us=2)
    monkeypatch.setattr(service_latency, "RESULTS_MAX", 20)
    times = replayed("service_latency", NOW - 90 * MINUTE, NOW, 1_800)
    assert [each.samples[0].value for _, each in times] == [500, 700, 700]


# --- Certificates --------------------------------------------------------------------------------------------------


def test_days_until_certificates_end_the_first_to_end_first() -> None:
    made.check(made.service("web"), "tls", expires_at=NOW + 20 * DAY)
    made.check(made.service("api"), "tls", expires_at=NOW - DAY / 2)
    made.check(made.service("worker"), "readiness")
    assert found(measured("certificate")) == [
        ({"service": "api", "check": "tls"}, -0.5, "its certificate ended 12 h ago, on 2026-11-21"),
        ({"service": "web", "check": "tls"}, 20.0, "its certificate ends in 20 d, on 2026-12-11"),
    ]
    assert measured("certificate", services=["worker"]).no_data
    times = replayed("certificate", NOW - DAY, NOW, 3_600)
    assert [each.samples[1].value for _, each in times[::12]] == [21.0, 20.5]


# --- Heartbeats ----------------------------------------------------------------------------------------------------


def test_jobs_that_did_not_run_are_found() -> None:
    service = made.service("jobs")
    since = clock.micros(NOW - 5 * MINUTE)
    common: dict[str, Any] = {"kind": "heartbeat", "outcome_since": since}
    made.check(service, "backup", Outcome.UNREACHABLE, detail="no ping came", **common)
    made.check(service, "report", Outcome.FAILING, detail="exit code 1", **common)
    made.check(service, "cleanup", Outcome.UP, **common)
    made.check(service, "web", Outcome.UNREACHABLE, outcome_since=since)
    assert found(measured("heartbeat")) == [
        ({"service": "jobs", "check": "backup"}, 300.0, "no ping came"),
        ({"service": "jobs", "check": "report"}, 300.0, "exit code 1"),
    ]
    assert len(measured("heartbeat", failed=False).samples) == 1
    assert len(measured("heartbeat", jobs=["rep*"]).samples) == 1
    assert measured("heartbeat", jobs=["other"]).no_data


def test_a_replay_of_jobs_follows_their_pings() -> None:
    job = made.check(made.service("jobs"), "backup", kind="heartbeat")
    start = NOW - 60 * MINUTE
    for minutes, outcome in ((-30, 3), (10, 0), (40, 2), (45, 0)):
        made.result(job, clock.micros(start + minutes * MINUTE), None, outcome=outcome, detail="no ping came")
    times = replayed("heartbeat", start, NOW)
    assert changes(times) == [(0, ["jobs"]), (10, []), (40, ["jobs"]), (45, [])]
    assert changes(replayed("heartbeat", start, NOW, failed=False)) == [(0, ["jobs"]), (10, [])]


# --- What it costs -------------------------------------------------------------------------------------------------


def test_a_tick_asks_the_database_the_same_number_of_times_however_many_rules() -> None:
    for number in range(20):
        answers(made.check(made.service(f"api-{number}", "down"), expires_at=NOW), *([100] * 6))
    kinds = ["service_down", "service_degraded", "service_latency", "certificate", "heartbeat"]

    def statements(rules: int) -> int:
        facts = Facts(NOW)
        with CaptureQueriesContext(connection) as asked:
            for number in range(rules):
                for kind in kinds:
                    measured(kind, facts, services=[f"api-{number}"])
        return len(asked)

    assert statements(20) == statements(1) == 3
