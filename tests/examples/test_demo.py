"""The demo fleet: what it says of itself, a receipt on its way through all five, and what breaks."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from examples.demo import __main__ as command
from examples.demo import breaking, fleet, registration
from monitor.management.commands import demo
from services.models import Check, Dependency, Service
from services.status import Role
from tests.examples.demoing import STREAM, Fleet, running
from tests.pharos_client.receiving import sent
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def fleet_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch, running(directory, settings.REDIS_URL) as started:
        for name in ("DEMO_PORT", "PHAROS_DATA_DIR"):
            patch.setenv(name, started.environment[name])
        for name in fleet.NAMES:
            started.start(name)
        for name in fleet.NAMES:
            await_life(name)
        yield started


@pytest.fixture
def whole(fleet_here: Fleet) -> Iterator[None]:
    yield
    breaking.heal()


def await_life(name: str) -> None:
    until(lambda: ask(name, "/health/live") == (200, {"status": "alive"}), seconds=30, ignoring=OSError)


def ask(name: str, path: str, body: dict[str, Any] | None = None, request_id: str = "") -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(fleet.HOST, fleet.port(name), timeout=10)
    try:
        connection.request("POST" if body else "GET", path, json.dumps(body), {"X-Request-ID": request_id})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else {"text": text.decode()}
    finally:
        connection.close()


def lines(client: redis.Redis, **wanted: str) -> list[dict[str, Any]]:
    return [line for line in sent(client, STREAM) if all(line.get(name) == value for name, value in wanted.items())]


# --- While all is well ---------------------------------------------------------------------------------------------


def test_each_says_how_it_is(whole: None) -> None:
    status, body = ask("api", "/health/ready")
    assert (status, body["status"], set(body["checks"])) == (200, "healthy", {"database", "cache"})
    assert body["checks"]["cache"]["latency"] > 0
    status, body = ask("worker", "/health/ready")
    assert (status, body["status"]) == (200, "ready")
    assert body["checks"] == {"database": "healthy", "redis": "healthy", "queue": "healthy"}
    for name in ("ocr", "ml", "notification"):
        assert ask(name, "/health/ready")[0] == 200


def test_a_receipt_leaves_lines_with_one_id_in_all_five(whole: None, redis_client: redis.Redis) -> None:
    assert ask("api", "/receipts", {"user": "ann"}, "req-through")[0] == 200
    until(lambda: {line["service"] for line in lines(redis_client, request_id="req-through")} == set(fleet.NAMES))
    until(lambda: lines(redis_client, request_id="req-through", title="Receipt Processed"))
    mail = lines(redis_client, request_id="req-through", msg="Mail sent")
    assert mail[0]["level"] == 30  # as pino has it


def test_each_counts_its_requests(whole: None) -> None:
    ask("ocr", "/read", {"receiptId": "r-1"})
    text = ask("ocr", "/metrics")[1]["text"]
    assert 'http_requests_total{method="POST",route="/read",status="200"}' in text
    assert "health" not in text


# --- Broken --------------------------------------------------------------------------------------------------------


def test_without_redis_the_worker_is_not_ready_and_says_why(whole: None, redis_client: redis.Redis) -> None:
    breaking.break_down("redis")
    status, body = ask("worker", "/health/ready")
    assert (status, body["status"]) == (503, "not_ready")
    assert body["checks"] == {"database": "healthy", "redis": "unhealthy", "queue": "unknown"}
    status, body = ask("api", "/health/ready")
    assert (status, body["status"], body["checks"]["cache"]["status"]) == (503, "degraded", "unhealthy")
    until(lambda: lines(redis_client, service="worker", title="Queue Unreachable"))
    assert "Connection refused" in lines(redis_client, title="Queue Unreachable")[0]["error"]["message"]
    assert ask("api", "/receipts", {"user": "ann"}, "req-refused")[0] == 500
    until(lambda: lines(redis_client, request_id="req-refused", level="error"))

    breaking.heal()
    assert ask("worker", "/health/ready")[0] == 200


def test_a_slow_ocr_times_out_for_the_worker(whole: None, redis_client: redis.Redis) -> None:
    breaking.break_down("latency")
    until(lambda: lines(redis_client, service="worker", title="OCR Service Timeout"))
    status, body = ask("ocr", "/health/ready")
    assert status == 200
    assert body["checks"]["model"]["latency"] > 2_000


def test_without_a_mail_server_receipts_fail_at_the_end(whole: None, redis_client: redis.Redis) -> None:
    breaking.break_down("errors")
    until(lambda: lines(redis_client, service="worker", title="Processing Failed"))
    failed = lines(redis_client, service="worker", title="Processing Failed")[0]
    assert "notification answered 500: SMTPServerDisconnected" in failed["message"]
    assert lines(redis_client, msg="Mail could not be sent", request_id=failed["request_id"])
    assert ask("notification", "/health/ready")[1]["checks"]["external_apis"]["status"] == "unhealthy"


def test_ml_dies_with_a_receipt(redis_client: redis.Redis, whole: None, fleet_here: Fleet) -> None:
    breaking.break_down("crash")
    assert fleet_here.processes["ml"].wait(15) == 137
    assert lines(redis_client, service="ml", level="fatal")
    until(lambda: lines(redis_client, service="worker", title="Processing Failed"))
    breaking.heal()
    fleet_here.start("ml")
    await_life("ml")


# --- What one types ------------------------------------------------------------------------------------------------


def test_break_and_heal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PHAROS_DATA_DIR", str(tmp_path / "not there yet"))
    assert breaking.broken() == set()
    command.main(["break", "redis"])
    command.main(["break", "latency"])
    assert breaking.broken() == {"redis", "latency"}
    assert breaking.is_broken("redis")
    assert not breaking.is_broken("crash")
    command.main(["heal"])
    command.main(["heal"])
    assert breaking.broken() == set()
    said = capsys.readouterr().out
    assert "redis is broken: api and worker look for Redis where there is none." in said
    with pytest.raises(SystemExit):
        command.main(["break", "everything"])


# --- In Pharos -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_fleet_is_registered_once_and_what_people_changed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    registration.register()
    Service.objects.filter(name="ocr").update(owner="Ann")
    Check.objects.filter(service__name="ocr").update(interval=60)
    monkeypatch.setenv("DEMO_PORT", "9701")
    registration.register()
    assert set(Service.objects.values_list("name", flat=True)) == set(fleet.NAMES)
    ocr = Service.objects.get(name="ocr")
    assert (ocr.owner, ocr.category) == ("Ann", "ocr")
    checks = {check.role: check for check in ocr.checks.all()}
    assert {role: check.target for role, check in checks.items()} == {
        Role.LIVENESS: "http://127.0.0.1:9703/health/live",
        Role.READINESS: "http://127.0.0.1:9703/health/ready",
    }
    assert {check.interval for check in checks.values()} == {60}
    assert {(each.child.name, each.parent.name) for each in Dependency.objects.all()} == {
        ("api", "worker"), ("worker", "ocr"), ("worker", "ml"), ("worker", "notification"),
    }  # fmt: skip


def test_the_demo_starts_pharos_and_the_five() -> None:
    plan = demo.Command().processes(6390)
    names = [each["name"] for each in plan]
    assert names[:2] == ["valkey", "web"]
    assert names[-5:] == [f"demo-{name}" for name in fleet.NAMES]
    assert plan[-1]["env"]["PHAROS_REDIS_URL"] == settings.REDIS_URL
