"""A stack that was brought up with labels needs no clicks; what a person changed stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.trail import recording
from services import discovery, live, probes
from services.models import Check, Container, Dependency, Service
from services.status import Status
from tests.services.docker_hosts import NOW, changed, compose, event, host, inspected, labels_of, write

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run in a container themselves."""
    monkeypatch.setattr(discovery, "inside", lambda: False)


def test_labels_make_a_service_and_its_checks() -> None:
    write(inspected("shop-orders-1", compose("shop", "orders", health="/health/ready", owner="team a")))

    service = Service.objects.get()
    assert (service.name, service.owner, service.managed_by) == ("orders", "team a", "label:shop/orders")
    [check] = service.checks.all()
    assert (check.name, check.role, check.kind) == ("readiness", "readiness", "health")
    assert (check.target, check.interval, check.managed_by) == (
        "http://172.18.0.5:8080/health/ready", 10.0, "label:shop/orders",
    )  # fmt: skip


def test_nothing_is_written_twice() -> None:
    container = inspected("orders", compose("shop", "orders", health="/health"))
    write(container)
    before = [list(model.objects.values()) for model in (Service, Check, Dependency)]
    write(container)
    assert [list(model.objects.values()) for model in (Service, Check, Dependency)] == before


def test_new_labels_change_what_labels_made() -> None:
    old = inspected("orders", compose("shop", "orders", health="/health", owner="a"))
    write(old)
    new = inspected("orders", compose("shop", "orders", health="/health", owner="b", interval="30"), ip="172.18.0.9")
    write(new, gone=[old.id])

    check = Check.objects.get()
    assert (check.target, check.interval) == ("http://172.18.0.9:8080/health", 30.0)
    assert Service.objects.get().owner == "b"


def test_the_trail_has_what_discovery_makes_and_changes() -> None:
    LogEntry.objects.all().delete()
    database = inspected("db", compose("shop", "db"))
    old = inspected("orders", compose("shop", "orders", owner="a", depends_on="db"))
    write(database, old)
    made = LogEntry.objects.filter(action=recording.CREATE).exclude(content_type__model="dockerhost")
    assert {(each.content_type.model, each.object_repr) for each in made} >= {
        ("service", "orders"), ("service", "db"), ("dependency", str(Dependency.objects.get())),
    }  # fmt: skip
    assert {(each.additional_data["via"], each.additional_data["by"]) for each in made} == {("task", "discovery")}
    LogEntry.objects.all().delete()
    write(inspected("orders", compose("shop", "orders", owner="b", depends_on="db")), gone=[old.id])
    [entry] = LogEntry.objects.filter(content_type__model="service")
    assert (entry.changes, entry.additional_data["by"]) == ({"owner": ["a", "b"]}, "discovery")


def test_what_a_person_changed_stays() -> None:
    old = inspected("orders", compose("shop", "orders", health="/health", owner="a"))
    write(old)
    Service.objects.update(owner="a person's choice")
    Check.objects.update(interval=99, enabled=False)
    write(inspected("orders", compose("shop", "orders", health="/new", owner="b")), gone=[old.id])

    check = Check.objects.get()
    assert (check.interval, check.enabled, check.target) == (99, False, "http://172.18.0.5:8080/new")
    assert Service.objects.get().owner == "a person's choice"
    [found] = discovery.found()
    assert set(found.changed) == {
        "A person has changed its owner: it stays as it is.",
        "A person has changed interval of the check health: it stays as it is.",
        "A person has changed enabled of the check health: it stays as it is.",
    }


def test_a_check_without_its_label_rests_and_comes_back_with_it() -> None:
    first = inspected("orders", compose("shop", "orders", health="/health"))
    write(first)
    second = inspected("orders", compose("shop", "orders"))
    write(second, gone=[first.id])
    assert not Check.objects.get().enabled
    write(inspected("orders", compose("shop", "orders", health="/health")), gone=[second.id])
    assert Check.objects.get().enabled


def test_a_service_of_a_person_is_joined_and_not_changed() -> None:
    service = Service.objects.create(name="orders", owner="me")
    mine = service.checks.create(name="health", kind="http", target="http://mine/")
    write(inspected("o", labels_of(service="orders", owner="b", health="/health", ready="/ready")))

    service.refresh_from_db()
    mine.refresh_from_db()
    assert (service.owner, mine.target) == ("me", "http://mine/")
    assert set(service.checks.values_list("name", "managed_by")) == {("health", ""), ("readiness", "label:orders")}
    assert Container.objects.get().service == service


def test_a_container_that_stops_keeps_its_check() -> None:
    container = inspected("orders", compose("shop", "orders", health="/health"))
    write(container)
    gone = changed(container, state_status="exited", state_exit_code=1)
    gone.network_settings.networks = {}
    gone.config.exposed_ports = None
    write(gone)
    check = Check.objects.get()
    assert check.enabled
    assert check.target == "http://172.18.0.5:8080/health"


def test_a_container_that_starts_again_elsewhere_is_asked_there() -> None:
    container = inspected("orders", compose("shop", "orders", health="/health"))
    write(container)
    container.network_settings.networks["a"].ip_address = "172.18.0.77"  # type: ignore[index, union-attr]
    write(container)
    assert Check.objects.get().target == "http://172.18.0.77:8080/health"


def test_containers_of_one_service_are_asked_each() -> None:
    both = [inspected(f"shop-orders-{n}", compose("shop", "orders", health="/h"), ip=f"172.18.0.{n}") for n in (1, 2)]
    write(*both)
    assert dict(Check.objects.values_list("name", "target")) == {
        "health": "http://172.18.0.1:8080/h",
        "health shop-orders-2": "http://172.18.0.2:8080/h",
    }
    write(gone=[both[1].id])
    assert Service.objects.get().containers.filter(removed_at=None).count() == 1
    assert Check.objects.get(enabled=True).name == "health"


def test_two_projects_may_have_a_service_of_one_name() -> None:
    write(inspected("a-db-1", compose("a", "db")), inspected("b-db-1", compose("b", "db")))
    assert set(Container.objects.values_list("name", "service__name")) == {("a-db-1", "db"), ("b-db-1", "b-db")}


def test_containers_of_one_swarm_service_are_together() -> None:
    swarm = {"com.docker.swarm.service.name": "shop_web"}
    write(inspected("shop_web.1.abc", swarm), inspected("shop_web.2.def", swarm))
    assert set(Container.objects.values_list("service__name", flat=True)) == {"shop_web"}


def test_the_order_of_starting_is_who_needs_whom() -> None:
    orders = compose("shop", "orders", depends_on="mail") | {
        "com.docker.compose.depends_on": "db:service_healthy:false,migrate:service_completed_successfully:false"
    }
    Service.objects.create(name="mail")
    write(inspected("o", orders), inspected("d", compose("shop", "db")), inspected("m", compose("shop", "migrate")))
    assert set(Dependency.objects.values_list("child__name", "parent__name")) == {
        ("orders", "db"), ("orders", "mail"),
    }  # fmt: skip
    Dependency.objects.filter(parent__name="mail").delete()
    Container.objects.update(found={})
    for each in Container.objects.all():
        each.delete()
    write(inspected("o", orders), inspected("d", compose("shop", "db")))
    assert not Dependency.objects.filter(parent__name="mail"), "a person removed it"


def test_who_looks_at_containers_is_told_once_something_changed(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[None] = []
    monkeypatch.setattr(live, "_containers", lambda: told.append)
    container = inspected("nobody")
    with django_capture_on_commit_callbacks(execute=True):
        write(container)
    assert len(told) == 1
    with django_capture_on_commit_callbacks(execute=True):
        write(container, everything=True)
    assert len(told) == 1


def test_what_it_needs_may_come_later() -> None:
    container = inspected("o", labels_of(service="orders", depends_on="mail"))
    write(container)
    Service.objects.create(name="mail")
    write(container, everything=True)
    assert Dependency.objects.get().parent.name == "mail"


def test_jobs_that_are_done_are_no_outage() -> None:
    orders = compose("shop", "orders") | {
        "com.docker.compose.depends_on": "migrate:service_completed_successfully:false"
    }
    migrate = inspected("m", compose("shop", "migrate"), state="exited")
    write(inspected("o", orders), migrate, inspected("n", labels_of(service="nightly", job="true"), state="exited"))
    told = {service.name: (service.status, service.reason) for service in Service.objects.all()}
    assert told == {
        "orders": (Status.HEALTHY, "its container runs"),
        "migrate": (Status.HEALTHY, "its job is done"),
        "nightly": (Status.HEALTHY, "its job is done"),
    }
    write(changed(migrate, state_exit_code=2))
    assert Service.objects.get(name="migrate").reason == "container m exited with 2"


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"state": "created"}, Status.UNKNOWN, "container o was made, and not started"),
        (
            {"state": "created", "ExitCode": 128, "Error": "port is already allocated"},
            Status.DOWN, "container o could not be started: port is already allocated",
        ),
        ({"state": "exited", "ExitCode": 0}, Status.DOWN, "container o exited with 0"),
        (
            {"state": "exited", "ExitCode": 137, "OOMKilled": True},
            Status.DOWN, "container o exited with 137, out of memory",
        ),
        ({"state": "restarting", "ExitCode": 1}, Status.DOWN, "container o is restarting after exit code 1"),
        ({"state": "paused"}, Status.DOWN, "container o is paused"),
        ({"state": "dead"}, Status.DOWN, "container o is dead"),
        ({"Health": {"Status": "starting"}}, Status.UNKNOWN, "container o is starting"),
        ({"Health": {"Status": "healthy"}}, Status.HEALTHY, "its container runs"),
    ],
)  # fmt: skip
def test_what_dockers_words_mean(fields: dict[str, Any], status: Status, reason: str) -> None:
    write(inspected("o", labels_of(service="orders"), **fields))
    service = Service.objects.get()
    assert (service.status, service.reason) == (status, reason)


def test_a_restart_loop_ends_when_it_has_run_for_a_while() -> None:
    container = inspected("o", labels_of(service="orders"), restarts=3)
    starts = [event(container, "start", -60 + number) for number in range(3)]
    write(container, events=starts)
    assert Service.objects.get().reason.startswith("container o restarts again and again")
    write(container, now=NOW + timedelta(seconds=60))
    assert Service.objects.get().status == Status.DOWN
    write(container, now=NOW + timedelta(seconds=70))
    assert Service.objects.get().status == Status.HEALTHY


def test_restarts_by_somebody_are_no_loop() -> None:
    container = inspected("o", labels_of(service="orders"), restarts=0)
    write(container, events=[event(container, "start", -60 + number) for number in range(5)])
    assert Service.objects.get().status == Status.HEALTHY


def test_a_removed_container_has_its_service_red_until_another_comes() -> None:
    old, job = inspected("o", labels_of(service="orders")), inspected("j", labels_of(service="job", job="true"))
    write(old, job)
    write(gone=[old.id, job.id], events=[event(old, "destroy", -5)])
    service = Service.objects.get(name="orders")
    assert (service.status, service.reason) == (Status.DOWN, "container o was removed")
    assert Service.objects.get(name="job").status == Status.UNKNOWN
    write(inspected("o", labels_of(service="orders")))
    service.refresh_from_db()
    assert service.status == Status.HEALTHY


def test_what_was_found_is_told_in_a_constant_number_of_queries() -> None:
    def asked() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            for each in discovery.found():
                assert each.why, each.container.name
                assert each.container.host.name == "here"
                assert each.container.service is None or each.container.service.name
        return len(queries)

    write(inspected("nobody"), inspected("o-1", compose("shop", "orders", health="/h", helth="/h")))
    few = asked()
    write(*(inspected(f"x-{number}", labels_of(service=f"s-{number}", health="/h")) for number in range(20)))
    assert asked() == few == 2
    [orders] = [each for each in discovery.found() if each.container.name == "o-1"]
    assert orders.problems[0].startswith("There is no label pharos.helth")
    assert [check.name for check in orders.checks] == ["health"]


def test_many_containers_are_written_in_a_constant_number_of_queries() -> None:
    def asked(*containers: Any) -> int:
        write(*containers)
        with CaptureQueriesContext(connection) as queries:
            write(*containers)
        return len(queries)

    few = asked(*(inspected(f"a-{n}", compose("a", f"a-{n}", health="/h")) for n in range(3)))
    many = asked(*(inspected(f"b-{n}", compose("b", f"b-{n}", health="/h")) for n in range(30)))
    assert many == few


def test_the_same_service_on_two_hosts() -> None:
    second = host("there", "unix:///second.sock")
    write(inspected("o", labels_of(service="orders")))
    write(inspected("o", labels_of(service="orders")), on=second)
    service = Service.objects.get()
    assert service.containers.count() == 2


def test_a_check_that_is_refused_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str, target: str, *_: Any) -> None:
        raise ValidationError({"target": f"{target} is not allowed here."})

    monkeypatch.setattr(probes, "validate", refuse)
    write(inspected("orders", compose("shop", "orders", health="/health")))

    assert not Check.objects.exists()
    [found] = discovery.found()
    assert found.problems == ("The check health was not made: http://172.18.0.5:8080/health is not allowed here.",)
