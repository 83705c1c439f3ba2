"""How engines are asked: TLS, proxies, engines that hang or say too much. And hosts that never hold up each other."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from core import clock
from services import containers, docker_client, samples
from services.docker_client import Engine, EngineError, GoneError
from services.models import Container, DockerHost, Service
from services.status import Status
from tests.services.docker_hosts import labels_of, paper_container
from tests.services.paper_engine import Authority, PaperEngine

INFO = {"Name": "paper", "ServerVersion": "27.0", "SystemTime": "2026-11-21T10:00:00Z"}


@pytest.fixture
def paper() -> PaperEngine:
    engine = PaperEngine()
    engine.say("/info", INFO)
    engine.say("/containers/json", [])
    engine.say("/events", b"")
    return engine


@pytest.fixture
def address(paper: PaperEngine) -> Iterator[str]:
    with paper.serve() as address:
        yield address


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    for host in list(docker_client._engines):
        docker_client.forget(host)


def asked(address: str, **tls: str) -> Any:
    engine = Engine(address, tls)
    try:
        return engine.info()
    finally:
        engine.close()


# --- Connections ---------------------------------------------------------------------------------------------------


def test_tls_with_a_certificate_on_both_sides(paper: PaperEngine, tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.issue("pharos")
    with paper.serve(authority.server(tmp_path)) as address:
        assert asked(address, ca=authority.pem, cert=cert, key=key).name == "paper"
        with pytest.raises(EngineError):
            asked(address, ca=authority.pem)
        with pytest.raises(EngineError, match="certificate verify failed"):
            asked(address, ca=Authority().pem, cert=cert, key=key)


def test_keys_stay_on_no_disk(paper: PaperEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    cert, key = authority.issue("pharos")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = Engine("tcp://127.0.0.1:1", {"ca": authority.pem, "cert": cert, "key": key})
    [directory] = tmp_path.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    engine.close()
    del engine
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_proxies_of_the_environment_are_not_used(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert asked(address).name == "paper"


def test_a_socket_proxy_may_keep_info_to_itself(paper: PaperEngine, address: str) -> None:
    paper.say("/info", b"forbidden", 403)
    assert asked(address).name == ""
    engine = Engine(address, {})
    assert abs(engine.now() - time.time_ns()) < 5_000_000_000
    engine.close()


def test_the_engines_clock_counts(address: str) -> None:
    engine = Engine(address, {})
    try:
        there = datetime.fromisoformat(INFO["SystemTime"]).timestamp()
        assert abs(engine.now() / 1e9 - there) < 60
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (404, b'{"message": "no such container"}', GoneError, "with 404: no such container"),
        (500, b"<html>\n oh </html>", EngineError, "with 500: <html> oh </html>"),
        (302, b"", EngineError, "with 302"),
        (200, b"<html>", EngineError, "Expected the answer of a Docker engine"),
    ],
)
def test_what_is_no_answer_is_said(
    paper: PaperEngine, address: str, status: int, body: bytes, kind: type[EngineError], sentence: str
) -> None:
    paper.say("/containers/c/json", body, status)
    engine = Engine(address, {})
    with pytest.raises(kind, match=sentence):
        engine.inspect("c")
    engine.close()


def test_an_answer_has_an_end(paper: PaperEngine, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_client, "ANSWER_MAX", 10)
    with pytest.raises(EngineError, match="an answer of more than 10 bytes"):
        asked(address)


def test_an_engine_that_hangs_costs_its_time_limit(
    paper: PaperEngine, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_client, "TIMEOUT", 0.1)
    paper.silent.set()
    with pytest.raises(EngineError, match=r"did not answer within 0\.1 s"):
        asked(address)


# --- Hosts ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_host_that_hangs_holds_up_nobody(paper: PaperEngine, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_client, "TIMEOUT", 60.0)
    hanging = PaperEngine()
    hanging.silent.set()
    with hanging.serve() as far:
        slow = DockerHost.objects.create(name="a", address=far)
        quick = DockerHost.objects.create(name="b", address=address)
        first, second = containers.tick(clock.now())
        second.result(30)
        assert not first.done()
        hanging.hang_up()
        first.result(30)
    slow.refresh_from_db()
    quick.refresh_from_db()
    assert (slow.away, quick.away) == (True, False)
    assert quick.detail == "Docker 27.0 on paper, 0 containers"
    assert slow.due_at > quick.due_at, "it is asked less often"


@pytest.mark.django_db
def test_two_workers_never_look_at_one_host_at_once_and_a_dead_one_is_replaced() -> None:
    DockerHost.objects.create(name="a", address="tcp://127.0.0.1:1")
    now = clock.now()
    assert len(containers.claim(now)) == 1
    assert containers.claim(now) == []
    assert containers.claim(now + containers.LEASE - 1) == []
    assert len(containers.claim(now + containers.LEASE)) == 1


@pytest.mark.django_db
def test_a_host_that_is_switched_off_is_not_asked() -> None:
    DockerHost.objects.create(name="a", address="tcp://127.0.0.1:1", enabled=False)
    assert containers.tick(clock.now()) == []


@pytest.mark.django_db
def test_a_look_asks_for_what_happened_since_the_last_one(paper: PaperEngine, address: str) -> None:
    host = DockerHost.objects.create(name="a", address=address)
    containers.look(host)
    assert not any(path.startswith("/events") for _, path in paper.asked), "the first look has no before"
    host.refresh_from_db()
    first = host.events_until
    paper.asked.clear()
    containers.look(host)
    [(method, path)] = paper.asked
    assert method == "GET"
    assert f"since={(first + 1) // 10**9}.{(first + 1) % 10**9:09}" in path


@pytest.mark.django_db
def test_only_questions_are_asked(paper: PaperEngine, address: str) -> None:
    container = paper_container("orders", labels_of(service="orders"))
    paper.say("/containers/json", [{"Id": container["Id"]}])
    paper.say(f"/containers/{container['Id']}/json", container)
    paper.say(f"/containers/{container['Id']}/stats", {"read": "2026-11-21T10:00:00Z"})
    host = DockerHost.objects.create(name="a", address=address)
    containers.look(host)
    assert samples.take(host, clock.now()) == 1
    assert Service.objects.get().status == Status.HEALTHY
    assert {method for method, _ in paper.asked} == {"GET"}


@pytest.mark.django_db
def test_too_many_containers_are_said(paper: PaperEngine, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "CONTAINERS_MAX", 2)
    found = [paper_container(f"c-{number}") for number in range(5)]
    paper.say("/containers/json", [{"Id": each["Id"]} for each in found])
    for each in found:
        paper.say(f"/containers/{each['Id']}/json", each)
    host = DockerHost.objects.create(name="a", address=address)
    containers.look(host)
    host.refresh_from_db()
    assert host.detail == "Docker 27.0 on paper, 2 containers; 3 more are left out: 2 is the most"
    assert Container.objects.count() == 2


def test_without_hosts_nothing_is_loaded() -> None:
    code = (
        "import django, sys; django.setup(); from services import tasks, containers, admin_docker, container_api;"
        "print([name for name in ('docker', 'requests', 'urllib3') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=settings.BASE_DIR
    )
    assert run.stdout.strip().endswith("[]"), run.stdout
