"""Services over HTTP: who may ask, what is answered, how pages follow each other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from accounts import keys
from accounts.models import Scope
from core import clock
from services.models import Check, CheckResult, Container, Dependency, DockerHost, Service
from services.probes import Measurement
from services.status import Outcome

pytestmark = pytest.mark.django_db

SECRET = "hunter2secret"
HIDDEN: Any = {"password": SECRET}
NOW = clock.micros(datetime(2026, 11, 21, 10, 0, tzinfo=UTC))
READING = ["", "/status", "/1", "/1/results"]
VERBS = ["check", "pause", "resume"]


@pytest.fixture
def alice(client: Client) -> Client:
    """May see services, and nothing else."""
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="view_service"))
    client.force_login(user)
    return client


@pytest.fixture
def root() -> dict[str, str]:
    """The header of a key that may do everything."""
    return {"authorization": f"Bearer {keys.create('root', [Scope.ADMIN])[1]}"}


@pytest.fixture
def shop() -> Service:
    database = Service.objects.create(name="database", category="database", status="down", reason="connection refused")
    shop = Service.objects.create(
        name="shop", owner="ann", labels={"team": "payments"}, status="degraded", explained_by=database
    )
    Dependency.objects.create(child=shop, parent=database)
    Check.objects.create(
        service=shop, name="readiness", kind="health", target="https://shop.example.org/health", secrets=HIDDEN,
        options={"headers": {"X": SECRET}}, outcome=Outcome.DEGRADED, outcome_since=NOW, last_at=NOW, latency_us=12_500,
        parts=[{"path": "cache", "outcome": 1, "since": NOW}],
    )  # fmt: skip
    host = DockerHost.objects.create(name="here", address="unix:///var/run/docker.sock")
    Container.objects.create(
        host=host, container_id="c1", name="shop-1", service=shop, state="running", health="healthy",
        state_since=clock.moment(NOW),
    )  # fmt: skip
    return shop


def get(client: Client, path: str = "", **params: Any) -> Any:
    answer = client.get(f"/api/services{path}?{urlencode(params, doseq=True)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


# --- Who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READING)
def test_reading_takes_a_session_with_the_permission_or_a_key(client: Client, path: str) -> None:
    address = f"/api/services{path}"
    assert client.get(address).status_code == 401
    _, sender = keys.create("sender", [Scope.INGEST])
    assert client.get(address, headers={"authorization": f"Bearer {sender}"}).status_code == 403
    assert client.get(address, headers={"authorization": "Bearer nonsense"}).status_code == 401
    _, reader = keys.create("reader", [Scope.READ])
    assert client.get(address, headers={"x-api-key": reader}).status_code in (200, 404)
    client.force_login(User.objects.create_user("bob"))
    assert client.get(address).status_code == 403


@pytest.mark.parametrize("path", READING)
def test_reading_is_get(alice: Client, path: str) -> None:
    answer = alice.post(f"/api/services{path}")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("verb", VERBS)
def test_what_changes_something_takes_post_and_an_admin_key(client: Client, shop: Service, verb: str) -> None:
    address = f"/api/services/{shop.pk}/{verb}"
    assert client.post(address).status_code == 401
    _, reader = keys.create("reader", [Scope.READ])
    assert client.post(address, headers={"x-api-key": reader}).status_code == 403
    # A cookie is not enough, whoever it is: a foreign page could send it along.
    client.force_login(User.objects.create_superuser("admin", "", ""))
    assert client.post(address).status_code == 401
    answer = client.get(address)
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    shop.refresh_from_db()
    assert shop.status == "degraded"


# --- All, and one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/api/services/status", "/monitoring/services/status"])
def test_the_status_of_all(alice: Client, shop: Service, address: str) -> None:
    found = alice.get(address).json()
    assert found["counts"] == {"red": 1, "yellow": 1}
    database, mine = found["services"]
    assert (database["name"], database["colour"], database["reason"]) == ("database", "red", "connection refused")
    assert mine["explained_by"] == "database"
    assert mine["containers"] == [
        {"name": "shop-1", "state": "running", "health": "healthy", "since": "2026-11-21T10:00:00.000000Z"}
    ]


def test_a_host_that_is_away_makes_its_containers_unknown(alice: Client, shop: Service) -> None:
    DockerHost.objects.update(away=True)
    assert get(alice, "/status")["services"][1]["containers"][0]["state"] == "unknown"


def test_one_with_its_checks_and_without_secrets(alice: Client, shop: Service) -> None:
    answer = alice.get(f"/api/services/{shop.pk}")
    found = answer.json()
    assert SECRET not in answer.content.decode()
    assert (found["owner"], found["labels"], found["needs"]) == ("ann", {"team": "payments"}, ["database"])
    [check] = found["checks"]
    assert (check["outcome"], check["latency_ms"], check["kind"]) == ("degraded", 12.5, "health")
    assert check["parts"] == [{"path": "cache", "outcome": "degraded", "since": "2026-11-21T10:00:00.000000Z"}]
    assert "there is no service 999" in alice.get("/api/services/999").json()["error"]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["database", "shop"]),
        ({"q": "ANN"}, ["shop"]),
        ({"status": "down,degraded"}, ["database", "shop"]),
        ({"status": ["down"]}, ["database"]),
        ({"colour": "yellow"}, ["shop"]),
        ({"kind": "database"}, ["database"]),
        ({"owner": "ann"}, ["shop"]),
        ({"label": "team"}, ["shop"]),
        ({"label": "team:payments"}, ["shop"]),
        ({"label": "team:others"}, []),
    ],
)
def test_filters(alice: Client, shop: Service, params: dict[str, Any], names: list[str]) -> None:
    assert [each["name"] for each in get(alice, **params)["services"]] == names


@pytest.mark.parametrize(
    ("path", "params", "parameter"),
    [
        ("", {"status": "ill"}, "status"),
        ("", {"colour": "pink"}, "colour"),
        ("", {"kind": "rocket"}, "kind"),
        ("", {"limit": "0"}, "limit"),
        ("", {"limit": "1001"}, "limit"),
        ("", {"after": "x"}, "after"),
        ("/results", {"from": "yesterday"}, "from"),
        ("/results", {"from": "-1h", "to": "-2h"}, "from"),
        ("/results", {"from": "9999-12-31T23:59:59+99:00"}, "from"),
        ("/results", {"after": "1-"}, "after"),
        ("/results", {"limit": "many"}, "limit"),
        ("/results", {"check": "nope"}, "check"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    alice: Client, shop: Service, path: str, params: dict[str, str], parameter: str
) -> None:
    place = f"/{shop.pk}{path}" if path else ""
    answer = alice.get(f"/api/services{place}?{urlencode(params)}")
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


def test_pages_follow_each_other(alice: Client) -> None:
    Service.objects.bulk_create(Service(name=f"s{number:03}") for number in range(25))
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        page = get(alice, limit=10, after=after)
        names += [each["name"] for each in page["services"]]
        after = page["next"]
    assert names == [f"s{number:03}" for number in range(25)]


def test_many_services_take_no_more_queries(alice: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(40):
        service = Service.objects.create(name=f"s{number}")
        Check.objects.create(service=service)
    get(alice)
    for path in ("", "/status"):
        with django_assert_max_num_queries(10):
            get(alice, path, limit=1_000)


# --- Results ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def results(shop: Service) -> list[CheckResult]:
    """Of two checks, 300 s; some at the same time."""
    second = Check.objects.create(service=shop, name="liveness")
    first = shop.checks.get(name="readiness")
    now = clock.now()
    rows = [
        CheckResult(
            service_check=check,
            at=now - (n + 1) * 5 * clock.SECOND,
            outcome=Outcome.UP,
            latency_us=1_500,
            detail=str(n),
        )
        for n in range(60)
        for check in (first, second)
    ]
    return CheckResult.objects.bulk_create(rows)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_results_come_newest_first_and_no_page_leaves_one_out(
    alice: Client, shop: Service, results: list[CheckResult], limit: int
) -> None:
    found, after = [], ""
    for _ in range(len(results) + 1):
        page = get(alice, f"/{shop.pk}/results", limit=limit, after=after)
        found += [(each["time"], each["check"]) for each in page["results"]]
        after = page["next"]
        if after is None:
            break
    assert len(found) == len({*found}) == len(results)
    assert [time for time, _ in found] == sorted((time for time, _ in found), reverse=True)


def test_results_of_a_range_and_of_one_check(alice: Client, shop: Service, results: list[CheckResult]) -> None:
    page = get(alice, f"/{shop.pk}/results", check="liveness", limit=1_000, **{"from": "-100s"})
    assert {each["check"] for each in page["results"]} == {"liveness"}
    assert 19 <= len(page["results"]) <= 20
    middle = clock.iso(results[60].at)
    assert get(alice, f"/{shop.pk}/results", to=middle, check="liveness")["results"][0]["time"] < middle
    assert page["results"][0] | {"time": "", "detail": ""} == {
        "time": "", "check": "liveness", "outcome": "up", "latency_ms": 1.5, "detail": "", "parts": []
    }  # fmt: skip


def test_a_service_without_results_has_none_and_one_that_is_not_is_404(alice: Client) -> None:
    bare = Service.objects.create(name="bare")
    assert get(alice, f"/{bare.pk}/results") == {"results": [], "next": None}
    assert alice.get("/api/services/999/results").status_code == 404


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_pause_and_resume_can_be_said_twice(client: Client, shop: Service, root: dict[str, str]) -> None:
    def say(verb: str) -> Any:
        return client.post(f"/api/services/{shop.pk}/{verb}", headers=root).json()

    for _ in range(2):
        assert say("pause") == {"id": shop.pk, "status": "paused", "colour": "grey", "reason": "paused"}
    for _ in range(2):
        assert say("resume")["status"] != "paused"
    assert client.post("/api/services/999/pause", headers=root).status_code == 404


def test_check_now_tells_what_was_found_without_the_raw_answer(
    client: Client, shop: Service, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(question: Any) -> Measurement:
        return Measurement(Outcome.UP, "", 3.0, raw="private")

    monkeypatch.setattr("services.probes.ask", ask)
    answer = client.post(f"/api/services/{shop.pk}/check", headers=root)
    assert answer.json()["checks"] == [{"name": "readiness", "outcome": "up", "latency_ms": 3.0, "detail": ""}]
    assert answer.json()["status"] == "healthy"
    assert b"private" not in answer.content
    assert CheckResult.objects.count() == 1
