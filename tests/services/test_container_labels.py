"""Labels, names and ports of a container → the plan, with its reasons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.container_labels import LABELS, Plan, PlannedCheck, Reach, Seen, compose_needs, plan, reach
from services.docker_answers import Port

HERE = Reach("127.0.0.1", networks=True)
COMPOSE = {"com.docker.compose.project": "shop", "com.docker.compose.service": "orders"}


def made(reach: Reach = HERE, **seen: Any) -> Plan:
    return plan(Seen(**{"name": "shop-orders-1", "addresses": ["172.18.0.5"], **seen}), reach)


def labelled(**labels: str) -> Plan:
    return made(labels={f"pharos.{name}": value for name, value in labels.items()}, exposed=[8080])


def target(found: Plan) -> str:
    [check] = found.checks
    return check.target


# --- Which service -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "service"),
    [
        ({"labels": {"pharos.service": "payments", **COMPOSE}}, "payments"),
        ({"labels": COMPOSE}, "orders"),
        ({"labels": {"com.docker.swarm.service.name": "stack_web"}}, "stack_web"),
        ({"labels": {"pharos.owner": "team a"}}, "shop-orders-1"),
        ({"restart_policy": "always"}, "shop-orders-1"),
        ({}, ""),
        ({"labels": {"pharos.logs": "false"}}, ""),
        ({"labels": {"pharos.ignore": "true", **COMPOSE}}, ""),
        ({"labels": {"pharos.ignore": "false", **COMPOSE}}, "orders"),
        ({"labels": {"com.docker.compose.oneoff": "True", **COMPOSE}}, ""),
    ],
)
def test_which_service_a_container_is_of(seen: dict[str, Any], service: str) -> None:
    found = made(**seen)
    assert found.service == service
    assert found.why, "it is always said why"


def test_what_is_said_of_a_service() -> None:
    found = labelled(service="orders", owner="team a", category="ml", description="Takes orders", job="true")
    assert (found.owner, found.category, found.description, found.job) == ("team a", "ml", "Takes orders", True)


@pytest.mark.parametrize(
    ("image", "name", "category"),
    [
        ("docker.io/library/postgres:16", "shop-db-1", "database"),
        ("redis:7@sha256:0", "x", "cache"),
        ("quay.io/keycloak/keycloak", "x", "sso"),
        ("registry:5000/shop", "shop-worker-1", "worker"),
        ("shop", "ocr-1", "ocr"),
        ("shop", "shop-1", "other"),
    ],
)
def test_a_category_is_guessed(image: str, name: str, category: str) -> None:
    assert made(image=image, name=name, labels={"pharos.owner": "x"}).category == category


def test_what_it_needs() -> None:
    depends = "db:service_healthy:false,migrate:service_completed_successfully:true,cache:service_started:true"
    assert compose_needs({"com.docker.compose.depends_on": depends}) == {
        "db": "service_healthy", "migrate": "service_completed_successfully", "cache": "service_started",
    }  # fmt: skip
    found = made(labels={**COMPOSE, "com.docker.compose.depends_on": depends, "pharos.depends_on": "auth, mail ,auth"})
    assert found.compose_parents == ("db", "cache")
    assert found.parents == ("auth", "mail")


# --- Where it is asked ---------------------------------------------------------------------------------------------


def test_a_path_becomes_a_check_at_the_containers_own_address() -> None:
    found = labelled(health="/health/ready", interval="1m", timeout="2s")
    assert found.checks == (
        PlannedCheck("readiness", "readiness", "health", "http://172.18.0.5:8080/health/ready", 60.0, 2.0),
    )
    assert found.problems == ()
    assert "The check readiness: pharos.health says /health/ready." in found.why


def test_each_label_has_a_check_of_its_own() -> None:
    found = labelled(health="/health", live="/l", ready="/r", http="/", tcp="9000")
    assert {(check.name, check.kind, check.target) for check in found.checks} == {
        ("health", "health", "http://172.18.0.5:8080/health"),
        ("liveness", "health", "http://172.18.0.5:8080/l"),
        ("readiness", "health", "http://172.18.0.5:8080/r"),
        ("http", "http", "http://172.18.0.5:8080/"),
        ("port", "tcp", "172.18.0.5:9000"),
    }


@pytest.mark.parametrize(
    ("reach", "published", "expected"),
    [
        (HERE, Port("0.0.0.0", "18080"), "http://127.0.0.1:18080/h"),
        (HERE, Port("127.0.0.1", "18080"), "http://127.0.0.1:18080/h"),
        (HERE, Port("192.168.1.7", "18080"), "http://192.168.1.7:18080/h"),
        (HERE, None, "http://172.18.0.5:8080/h"),
        (Reach("far.example.org", False), Port("0.0.0.0", "18080"), "http://far.example.org:18080/h"),
        (Reach("2001:db8::7", False), Port("::", "18080"), "http://[2001:db8::7]:18080/h"),
        (Reach("", True, networks_first=True), Port("0.0.0.0", "18080"), "http://172.18.0.5:8080/h"),
    ],
)
def test_where_a_port_is_reached(reach: Reach, published: Port | None, expected: str) -> None:
    ports = {8080: published} if published else {}
    assert target(made(reach, labels={"pharos.health": "/h"}, exposed=[8080], published=ports)) == expected


@pytest.mark.parametrize("published", [{}, {8080: Port("127.0.0.1", "18080")}])
def test_a_port_that_is_not_reached_is_said(published: dict[int, Port]) -> None:
    far = Reach("far.example.org", networks=False)
    found = made(far, labels={"pharos.health": "/h"}, exposed=[8080], published=published)
    assert found.checks == ()
    assert found.problems[0].startswith("Port 8080 can't be reached from here: publish it")


@pytest.mark.parametrize(
    ("ports", "labels", "expected"),
    [
        ({"exposed": [3000]}, {}, "http://172.18.0.5:3000/h"),
        ({"exposed": [9000, 8080]}, {}, "http://172.18.0.5:8080/h"),
        ({"exposed": [9000, 9001]}, {"pharos.port": "9001"}, "http://172.18.0.5:9001/h"),
        ({"exposed": [443]}, {}, "https://172.18.0.5:443/h"),
        ({"exposed": [3000]}, {"pharos.scheme": "https"}, "https://172.18.0.5:3000/h"),
    ],
)
def test_which_port(ports: dict[str, Any], labels: dict[str, str], expected: str) -> None:
    assert target(made(labels={"pharos.health": "/h", **labels}, **ports)) == expected


def test_a_port_that_nobody_can_know_is_asked_for() -> None:
    found = made(labels={"pharos.health": "/h"}, exposed=[9000, 9001])
    assert found.problems == ("It isn't clear which port to ask: say so with pharos.port.",)


def test_the_network_of_the_host() -> None:
    assert target(made(labels={"pharos.health": "/h", "pharos.port": "80"}, host_network=True, addresses=[])) == (
        "http://127.0.0.1:80/h"
    )


def test_a_container_that_has_no_address_yet() -> None:
    assert target(made(labels={"pharos.health": "/h"}, exposed=[80], addresses=[])) == ""


@pytest.mark.parametrize(
    ("address", "ports_at", "inside", "expected"),
    [
        ("unix:///var/run/docker.sock", "", False, Reach("127.0.0.1", True)),
        ("tcp://127.0.0.1:2375", "", False, Reach("127.0.0.1", True)),
        ("tcp://far.example.org:2376", "", False, Reach("far.example.org", False)),
        ("ssh://me@10.0.0.7", "", False, Reach("10.0.0.7", False)),
        ("unix:///var/run/docker.sock", "", True, Reach("", True, networks_first=True)),
        ("tcp://docker-proxy:2375", "", True, Reach("", True, networks_first=True)),
        ("tcp://docker-proxy:2375", "10.0.0.7", True, Reach("10.0.0.7", True)),
    ],
)
def test_how_a_hosts_containers_are_reached(address: str, ports_at: str, inside: bool, expected: Reach) -> None:
    assert reach(address, ports_at, inside=inside) == expected


# --- Labels that somebody chose ill ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({"health": "http://169.254.169.254/"}, "pharos.health: expected a path like /health"),
        ({"health": "@evil.example.org/"}, "pharos.health: expected a path like /health"),
        ({"health": "/a b"}, "pharos.health: expected a path like /health"),
        ({"health": "/" + "a" * 300}, "pharos.health: expected a path like /health"),
        ({"health": "/h", "port": "70000"}, "pharos.port: expected the number of a port"),
        ({"health": "/h", "port": "80@evil"}, "pharos.port: expected the number of a port"),
        ({"health": "/h", "scheme": "file"}, "pharos.scheme: expected http or https"),
        ({"health": "/h", "interval": "0"}, "pharos.interval: expected 1 to 86400 seconds"),
        ({"health": "/h", "timeout": "1h"}, "pharos.timeout: expected 0.1 to 60 seconds"),
        ({"tcp": "many"}, "pharos.tcp: expected the number of a port"),
        ({"category": "thing"}, "pharos.category: expected one of api, web"),
        ({"ignore": "perhaps"}, "pharos.ignore: expected true or false"),
        ({"helth": "/h"}, "There is no label pharos.helth; there is service"),
        ({"port": "80"}, "pharos.port says nothing without pharos.health"),
    ],
)
def test_what_can_not_be_used_is_said(labels: dict[str, str], problem: str) -> None:
    found = labelled(**labels)
    assert any(problem in said for said in found.problems), found.problems


LABEL = st.dictionaries(st.sampled_from(sorted(LABELS)), st.text(max_size=400))


@settings(deadline=None, max_examples=50)
@given(LABEL, st.lists(st.integers(1, 65_535), max_size=3))
def test_any_labels_make_a_plan_that_asks_the_container_alone(labels: dict[str, str], exposed: list[int]) -> None:
    found = made(labels={f"pharos.{name}": value for name, value in labels.items()}, exposed=exposed)
    assert len(found.service) <= 100
    assert len(found.owner) <= 100
    for check in found.checks:
        place = check.target.removeprefix("http://").removeprefix("https://").partition("/")[0]
        assert place.rpartition(":")[0] == "172.18.0.5"
        assert len(check.target) <= 500
        assert check.target.isprintable()


def test_each_label_is_documented_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "containers.md").read_text()
    assert set(re.findall(r"^\| `pharos\.([a-z_]+)", page, re.MULTILINE)) == LABELS.keys()
