"""Conditions on containers: what they measure now, and what they would have measured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import conditions
from alerts.conditions import ConditionError, Measured, of_containers
from alerts.facts import Facts
from core import clock
from services.models import Container, ContainerEvent, ContainerSample, DockerHost
from tests.services import made

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
START = NOW - 60 * MINUTE
Kind = ContainerEvent.Kind


@pytest.fixture
def host() -> DockerHost:
    return DockerHost.objects.create(name="one", address="unix:///one.sock")


def container(host: DockerHost, name: str, state: str = "running", **fields: Any) -> Container:
    fields = {"container_id": f"id-{name}", "state_since": NOW - 10 * MINUTE, **fields}
    return Container.objects.create(host=host, name=name, state=state, **fields)


def event(of: Container, at: datetime, kind: Kind, detail: str = "") -> None:
    ContainerEvent.objects.create(container=of, at=at, kind=kind, detail=detail)


def measured(kind: str, facts: Facts | None = None, **config: Any) -> Measured:
    module = conditions.condition(kind)
    fitted = conditions.fitted(kind, config)
    module.check(fitted)
    return module.measure(fitted, facts or Facts(NOW), most=100)


def found(measured: Measured) -> list[tuple[Mapping[str, str], float, str]]:
    return [(sample.labels, sample.value, sample.detail) for sample in measured.samples]


def changes(kind: str, **config: Any) -> list[tuple[int, list[tuple[str, float | None]]]]:
    """Minutes since START at which the containers that are found, or their values, change."""
    told: list[tuple[int, list[tuple[str, float | None]]]] = []
    module = conditions.condition(kind)
    for at, each in module.replay(conditions.fitted(kind, config), START, NOW, 60, most=100):
        values = [(sample.labels["container"], sample.value if module.MEASURES else None) for sample in each.samples]
        values.sort()
        if not told or told[-1][1] != values:
            told.append(((at - START) // MINUTE, values))
    return told


# --- Ended ---------------------------------------------------------------------------------------------------------


def test_containers_that_ended_with_an_error_are_found(host: DockerHost) -> None:
    worker = made.service("worker")
    container(host, "worker-1", "exited", exit_code=137, oom_killed=True, service=worker)
    container(host, "migrate", "exited", exit_code=1, job=True, state_since=NOW - MINUTE)
    container(host, "stopped", "exited", exit_code=143)
    container(host, "done", "exited", exit_code=0)
    container(host, "web")
    assert found(measured("container_exit")) == [
        ({"container": "worker-1", "host": "one", "service": "worker"}, 600.0, "exited with 137, out of memory"),
        ({"container": "migrate", "host": "one"}, 60.0, "exited with 1"),
    ]
    assert len(measured("container_exit", fine=[0, 1, 137, 143]).samples) == 0
    assert measured("container_exit", containers=["nothing"]).no_data


def test_a_replay_of_ends_goes_by_events(host: DockerHost) -> None:
    web, job = container(host, "web"), container(host, "job", removed_at=NOW - MINUTE)
    event(web, START + 10 * MINUTE, Kind.DIE, "exited with 1")
    event(web, START + 15 * MINUTE, Kind.START)
    event(web, START + 20 * MINUTE, Kind.DIE, "exited with 143")
    event(job, START - DAY, Kind.DIE, "exited with 2")
    event(job, START + 30 * MINUTE, Kind.DESTROY)
    gone = container(host, "gone", removed_at=START - MINUTE)
    event(gone, START - DAY, Kind.DIE, "exited with 2")
    assert changes("container_exit") == [
        (0, [("job", None)]), (10, [("job", None), ("web", None)]), (15, [("job", None)]), (30, []),
    ]  # fmt: skip


# --- Out of memory, restarts ---------------------------------------------------------------------------------------


def test_containers_that_ran_out_of_memory_are_found_for_a_while(host: DockerHost) -> None:
    web, other = container(host, "web"), container(host, "other")
    for minutes in (20, 10, 5):
        event(web, NOW - minutes * MINUTE, Kind.OOM)
    event(other, NOW - 20 * MINUTE, Kind.OOM)
    assert found(measured("container_oom")) == [
        ({"container": "web", "host": "one"}, 2, "out of memory in 15 min: 2 times"),
    ]
    assert changes("container_oom") == [
        (0, []), (40, [("other", None), ("web", None)]), (55, [("web", None)]),
    ]  # fmt: skip


def test_restarts_are_counted_without_the_first_start(host: DockerHost) -> None:
    web = container(host, "web", "restarting", exit_code=1)
    new = container(host, "new")
    event(new, NOW - 3 * MINUTE, Kind.CREATE)
    event(new, NOW - 3 * MINUTE, Kind.START)
    for minutes in (20, 5, 4, 3):
        event(web, NOW - minutes * MINUTE, Kind.START)
    assert found(measured("container_restarts")) == [
        ({"container": "web", "host": "one"}, 3, "3 restarts in 10 min, last exit code 1"),
        ({"container": "new", "host": "one"}, 0, "0 restarts in 10 min"),
    ]
    assert changes("container_restarts", containers=["web"]) == [
        (0, [("web", 0)]), (40, [("web", 1)]), (50, [("web", 0)]), (55, [("web", 1)]), (56, [("web", 2)]),
        (57, [("web", 3)]),
    ]  # fmt: skip


# --- Unhealthy -----------------------------------------------------------------------------------------------------


def test_unhealthy_containers_are_found(host: DockerHost) -> None:
    container(host, "web", health="unhealthy", detail="connection refused")
    container(host, "db", health="healthy")
    assert found(measured("container_unhealthy")) == [
        ({"container": "web", "host": "one"}, 600.0, "unhealthy: connection refused"),
    ]
    assert measured("container_unhealthy", but=["web", "db"]).no_data


def test_a_replay_of_health_goes_by_events(host: DockerHost) -> None:
    web = container(host, "web")
    for minutes, kind, detail in (
        (-5, Kind.HEALTH, "unhealthy"), (5, Kind.HEALTH, "healthy"), (10, Kind.HEALTH, "unhealthy"), (12, Kind.DIE, ""),
    ):  # fmt: skip
        event(web, START + minutes * MINUTE, kind, detail)
    assert changes("container_unhealthy") == [(0, [("web", None)]), (5, []), (10, [("web", None)]), (12, [])]


# --- What they use -------------------------------------------------------------------------------------------------


def used(of: Container, at: datetime, cpu: float | None, memory: int | None) -> None:
    ContainerSample.objects.create(container=of, at=clock.micros(at), cpu_percent=cpu, memory_bytes=memory)


def test_usage_is_a_mean_over_the_window(host: DockerHost) -> None:
    web = container(host, "web", memory_limit=1_000)
    free = container(host, "free")
    for seconds, cpu, memory in ((400, 500, 10), (200, 80, 800), (100, 120, 1_000)):
        used(web, NOW - seconds * SECOND, cpu, memory)
    used(free, NOW, 1, 5)
    assert found(measured("container_cpu")) == [
        ({"container": "web", "host": "one"}, 100.0, "100 % of one core over 5 min"),
        ({"container": "free", "host": "one"}, 1.0, "1 % of one core over 5 min"),
    ]
    assert found(measured("container_memory")) == [
        ({"container": "web", "host": "one"}, 90.0, "90 % of its memory over 5 min")
    ]
    assert measured("container_cpu", window=60).samples[0].labels["container"] == "free"


def test_without_samples_there_is_no_data(host: DockerHost) -> None:
    container(host, "web")
    assert measured("container_cpu").no_data


def test_a_replay_of_usage_has_the_means_of_five_minutes(host: DockerHost, monkeypatch: pytest.MonkeyPatch) -> None:
    web = container(host, "web", memory_limit=1_000)
    for minutes, memory in ((11, 800), (13, 600), (21, 900)):
        used(web, START + minutes * MINUTE, None, memory)
    assert changes("container_memory") == [
        (0, []), (15, [("web", 70.0)]), (20, []), (25, [("web", 90.0)]), (30, []),
    ]  # fmt: skip
    monkeypatch.setattr(of_containers, "MEANS_MAX", 5)
    with pytest.raises(ConditionError, match="choose fewer"):
        changes("container_memory")


# --- Which, and what it costs --------------------------------------------------------------------------------------


def test_names_services_and_hosts_choose(host: DockerHost) -> None:
    two = DockerHost.objects.create(name="two", address="unix:///two.sock", away=True)
    api, planned = made.service("api"), made.service("planned", "maintenance")
    for name, where, service in (
        ("api-1", host, api), ("api-2", two, api), ("planned-1", host, planned), ("tool", host, None)
    ):  # fmt: skip
        container(where, name, "exited", exit_code=1, service=service)

    def names(**config: Any) -> list[str]:
        return sorted(sample.labels["container"] for sample in measured("container_exit", **config).samples)

    assert names() == ["api-1", "api-2", "tool"]
    assert names(containers=["api-*"], hosts=["one"]) == ["api-1"]
    assert names(services=["api"]) == ["api-1", "api-2"]
    assert names(but=["api-*"]) == ["tool"]


def test_a_tick_asks_the_database_the_same_number_of_times_however_many_rules(host: DockerHost) -> None:
    for number in range(20):
        used(container(host, f"web-{number}"), NOW, 1, 1)
    kinds = [kind for kind in conditions.CONDITIONS if kind.startswith("container_")]

    def statements(rules: int) -> int:
        facts = Facts(NOW)
        with CaptureQueriesContext(connection) as asked:
            for number in range(rules):
                for kind in kinds:
                    measured(kind, facts, containers=[f"web-{number}"])
        return len(asked)

    assert statements(20) == statements(1) <= 6
