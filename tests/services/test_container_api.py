"""GET /api/containers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import keys
from accounts.models import Scope
from services.models import Container, DockerHost
from tests.services.docker_hosts import NOW, compose, inspected, labels_of, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> dict[str, str]:
    return {"authorization": f"Bearer {keys.create('reader', [Scope.READ])[1]}"}


def get(client: Client, key: dict[str, str], query: str = "") -> Any:
    answer = client.get(f"/api/containers{query}", headers=key)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_containers_as_they_are(client: Client, key: dict[str, str]) -> None:
    write(inspected("shop-orders-1", compose("shop", "orders", health="/h"), state="exited", ExitCode=3))
    [found] = get(client, key)["containers"]
    expected = {
        "name": "shop-orders-1", "host": "here", "known": True, "state": "exited", "health": "",
        "detail": "exited with 3", "service": "orders", "image": "shop:1", "compose_project": "shop",
        "compose_service": "orders", "exit_code": 3, "since": "2026-11-21T12:00:00.000000Z", "cpu_percent": None,
        "restarts_again_and_again": False,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_a_host_that_is_away_is_told(client: Client, key: dict[str, str]) -> None:
    write(inspected("a", labels_of(service="a")))
    DockerHost.objects.update(away=True)
    [found] = get(client, key)["containers"]
    assert (found["known"], found["state"]) == (False, "running")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"a", "b", "c"}),
        ("?service=one", {"a"}),
        ("?project=shop", {"b"}),
        ("?state=exited", {"c"}),
        ("?host=here&state=running", {"a", "b"}),
        ("?host=there", set()),
    ],
)
def test_filters(client: Client, key: dict[str, str], query: str, names: set[str]) -> None:
    write(
        inspected("a", labels_of(service="one")), inspected("b", compose("shop", "x")), inspected("c", state="exited")
    )
    gone = inspected("d")
    write(gone)
    write(gone=[gone.id])
    assert {each["name"] for each in get(client, key, query)["containers"]} == names


def test_pages_follow_each_other(client: Client, key: dict[str, str]) -> None:
    write(*(inspected(f"c-{number}") for number in range(5)))
    names: list[str] = []
    after = 0
    for _ in range(3):
        page = get(client, key, f"?limit=2&after={after}")
        names += [each["name"] for each in page["containers"]]
        after = page["next"]
    assert names == [f"c-{number}" for number in range(5)]
    assert after is None


def test_the_number_of_queries_is_constant(client: Client, key: dict[str, str]) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            get(client, key)
        return len(queries)

    write(inspected("first", labels_of(service="first")))
    asked()
    few = asked()
    write(*(inspected(f"c-{n}", labels_of(service=f"s-{n}")) for n in range(20)), now=NOW + timedelta(seconds=1))
    assert asked() == few
    assert Container.objects.count() == 21


def test_who_may_ask(client: Client, key: dict[str, str]) -> None:
    assert client.get("/api/containers").status_code == 401
    assert client.post("/api/containers", headers=key).status_code == 405
    ingest = keys.create("sender", [Scope.INGEST])[1]
    assert client.get("/api/containers", headers={"x-api-key": ingest}).status_code == 403
    alice = User.objects.create_user("alice")
    client.force_login(alice)
    assert client.get("/api/containers").status_code == 403
    alice.user_permissions.add(Permission.objects.get(codename="view_service"))
    assert client.get("/api/containers").status_code == 200
    assert client.get("/api/containers?limit=many").status_code == 400
