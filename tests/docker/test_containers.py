"""What happens to containers of a real engine is known within a second, with the engine's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container as Real

from core import clock
from services import containers, discovery, docker_client, samples
from services.models import Container, ContainerEvent, ContainerSample, DockerHost, Service, StatusChange
from services.status import Status
from tests.docker.conftest import Engine
from tests.waiting import until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.xdist_group("docker"),
    pytest.mark.django_db(transaction=True),
    # The package docker leaves a socket that could not connect to the garbage collector.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]
FOR_EVER = "trap exit TERM; while :; do sleep 0.1; done"


@pytest.fixture
def host(engine: Engine) -> Iterator[DockerHost]:
    host = DockerHost.objects.create(name="here", address=engine.address)
    yield host
    docker_client.forget(host.pk)


def look(host: DockerHost) -> None:
    """As the second tick does it."""
    time.sleep(0.03)  # events of the last 20 ms are left for the next look
    containers.look(DockerHost.objects.get(pk=host.pk))


def seen(host: DockerHost, condition: Callable[[], object]) -> None:
    def looked() -> object:
        containers.look(DockerHost.objects.get(pk=host.pk))
        return condition()

    until(looked)


def row(real: Real) -> Container:
    return Container.objects.get(container_id=real.id)


def kinds(real: Real) -> list[str]:
    return list(
        ContainerEvent.objects.filter(container__container_id=real.id).order_by("pk").values_list("kind", flat=True)
    )


def run(engine: Engine, script: str = FOR_EVER, service: str = "orders", **options: object) -> Real:
    labels = {"pharos.service": service, **options.pop("labels", {})}  # type: ignore[dict-item]
    return engine.run(script, labels=labels, **options)


def test_a_container_that_stops_is_red_with_the_engines_time(engine: Engine, host: DockerHost) -> None:
    look(host)
    real = run(engine, name="shop-orders-1")
    look(host)
    service = Service.objects.get(name="orders")
    assert (service.status, service.reason) == (Status.HEALTHY, "its container runs")
    assert kinds(real) == ["create", "start"]

    real.stop(timeout=5)
    look(host)

    service.refresh_from_db()
    assert (service.status, service.reason) == (Status.DOWN, "container shop-orders-1 exited with 0")
    real.reload()
    finished = row(real).finished_at
    assert finished
    assert f"{finished:%Y-%m-%dT%H:%M:%S.%f}" == real.attrs["State"]["FinishedAt"][:26]
    change = StatusChange.objects.get(service=service, new=Status.DOWN)
    assert change.at == finished <= change.noticed_at
    assert kinds(real) == ["create", "start", "die"]

    real.start()
    look(host)
    service.refresh_from_db()
    assert service.status == Status.HEALTHY


def test_a_container_that_is_killed(engine: Engine, host: DockerHost) -> None:
    real = run(engine, name="killed")
    look(host)
    real.kill()
    look(host)
    assert Service.objects.get().reason == "container killed exited with 137"
    assert ContainerEvent.objects.get(kind="die").detail == "exited with 137"


def test_a_container_without_memory(engine: Engine, host: DockerHost) -> None:
    look(host)
    real = run(engine, "tail /dev/zero", name="hungry", mem_limit="20m")
    real.wait(timeout=20)
    look(host)
    assert kinds(real) == ["create", "start", "oom", "die"]
    assert Service.objects.get().reason == "container hungry exited with 137, out of memory"


def test_a_container_that_is_unhealthy(engine: Engine, host: DockerHost) -> None:
    check = {
        "test": ["CMD-SHELL", "echo no database; test -e /fine"],
        "interval": 200_000_000, "timeout": 2_000_000_000, "retries": 1,
    }  # fmt: skip
    real = run(engine, name="ill", healthcheck=check)
    seen(host, lambda: row(real).health == "unhealthy")
    service = Service.objects.get()
    assert (service.status, service.reason) == (Status.DEGRADED, "container ill is unhealthy: no database")
    assert ContainerEvent.objects.get(kind="health").detail == "unhealthy"

    real.exec_run("touch /fine")
    seen(host, lambda: row(real).health == "healthy")
    assert Service.objects.get().status == Status.HEALTHY


def test_a_container_gets_another_name_and_pauses(engine: Engine, host: DockerHost) -> None:
    real = run(engine, name="before")
    look(host)
    real.rename("after")
    real.pause()
    look(host)
    assert (row(real).name, row(real).state) == ("after", "paused")
    assert Service.objects.get().reason == "container after is paused"
    real.unpause()
    look(host)
    assert Service.objects.get().status == Status.HEALTHY
    assert kinds(real)[-3:] == ["rename", "pause", "unpause"]
    assert ContainerEvent.objects.get(kind="rename").detail == "was before"


def test_a_restart_loop_is_one_outage(engine: Engine, host: DockerHost) -> None:
    look(host)
    real = run(engine, "exit 3", name="looping", restart_policy={"Name": "always"})
    seen(host, lambda: row(real).looping_since)
    service = Service.objects.get()
    assert (service.status, service.reason) == (
        Status.DOWN,
        f"container looping restarts again and again, last exit code {row(real).exit_code}",
    )
    assert kinds(real).count("restart_loop") == 1


def test_a_container_that_is_removed_leaves_its_service_red(engine: Engine, host: DockerHost) -> None:
    real = run(engine, name="gone")
    look(host)
    real.remove(force=True)
    look(host)
    service = Service.objects.get()
    assert (service.status, service.reason) == (Status.DOWN, "container gone was removed")

    again = run(engine, name="gone")
    look(host)
    service.refresh_from_db()
    assert service.status == Status.HEALTHY
    assert list(service.containers.filter(removed_at=None)) == [row(again)]
    assert row(real).removed_at


def test_a_container_of_nobody_makes_no_service(engine: Engine, host: DockerHost) -> None:
    real = engine.run("sleep 100")
    look(host)
    assert row(real).service is None
    real.remove(force=True)
    look(host)
    assert row(real).removed_at
    assert not Service.objects.exists()


def test_a_new_image_is_a_deploy(engine: Engine, host: DockerHost) -> None:
    start = clock.moment(clock.now())
    old = run(engine, name="shop")
    look(host)
    old.commit("shop", "2")
    try:
        old.remove(force=True)
        labels = {"pharos.service": "orders"}
        engine.client.containers.run("shop:2", ["sleep", "100"], detach=True, network_mode="none", labels=labels)
        look(host)
        [(at, detail)] = containers.deploys(Service.objects.get(), start, clock.moment(clock.now()))
        assert detail == "image busybox:local → shop:2"
        assert at > start
    finally:
        engine.remove_containers()
        engine.client.images.remove("shop:2", force=True)


def test_an_engine_that_goes_and_comes_back(engine: Engine, host: DockerHost) -> None:
    real = run(engine, name="tied")
    look(host)
    engine.server.end()
    look(host)
    assert DockerHost.objects.get().away
    assert "there is no Docker engine" in DockerHost.objects.get().detail
    assert (Service.objects.get().status, Service.objects.get().reason) == (Status.UNKNOWN, "the Docker host is away")

    engine.restart()
    look(host)
    assert not DockerHost.objects.get().away
    assert row(real).state == "exited"
    assert Service.objects.get().status == Status.DOWN


def test_a_host_that_is_not_there(host: DockerHost, tmp_path: Path) -> None:
    DockerHost.objects.filter(pk=host.pk).update(address=f"unix://{tmp_path}/none.sock")
    look(host)
    assert DockerHost.objects.get().detail.endswith("none.sock: no such file or directory")


def test_several_hosts_are_watched_at_once(engine: Engine, host: DockerHost) -> None:
    second = DockerHost.objects.create(name="second", address=engine.second)
    run(engine, name="twice")
    futures = containers.tick(clock.now())
    assert len(futures) == 2
    assert containers.tick(clock.now()) == [], "somebody is at it"
    for future in futures:
        future.result(10)
    assert set(Container.objects.values_list("host__name", "name")) == {("here", "twice"), ("second", "twice")}
    assert Service.objects.get().status == Status.HEALTHY
    assert not DockerHost.objects.exclude(claim="").exists()
    docker_client.forget(second.pk)


def test_a_stack_with_labels_needs_no_clicks(engine: Engine, host: DockerHost) -> None:
    labels = {
        "com.docker.compose.project": "shop", "com.docker.compose.service": "orders",
        "pharos.health": "/health/ready", "pharos.port": "18999", "pharos.owner": "team a",
        "pharos.helth": "/typo",
    }  # fmt: skip
    engine.run(FOR_EVER, labels=labels, network_mode="host", name="shop-orders-1")
    DockerHost.objects.filter(pk=host.pk).update(ports_at="10.0.0.7")
    look(host)
    service = Service.objects.get(name="orders")
    check = service.checks.get()
    assert (service.owner, check.name, check.target) == ("team a", "readiness", "http://10.0.0.7:18999/health/ready")
    [found] = discovery.found()
    assert "It uses the network of its host." in found.why
    assert found.problems[0].startswith("There is no label pharos.helth")


def test_samples_are_taken(engine: Engine, host: DockerHost) -> None:
    real = run(engine, "while :; do :; done", name="busy")
    engine.run("sleep 100", name="idle")
    look(host)
    assert samples.take(host, clock.now()) == 2
    time.sleep(0.5)
    assert samples.take(host, clock.now()) == 2
    first, second = ContainerSample.objects.filter(container=row(real)).order_by("at", "pk")
    assert first.cpu_percent is None
    assert second.cpu_percent
    assert second.cpu_percent > 5
    assert second.memory_bytes
    assert row(real).cpu_percent == second.cpu_percent

    real.kill()
    look(host)
    assert (row(real).cpu_percent, row(real).memory_bytes) == (None, None)


def test_the_connection_is_tried(engine: Engine, host: DockerHost) -> None:
    assert containers.test_connection(host).startswith("Docker 2")
    with pytest.raises(docker_client.EngineError, match="there is no Docker engine at unix:///none: no such file"):
        containers.test_connection(DockerHost(address="unix:///none"))


SSH = """#!/usr/bin/env python3
import os, socket, sys, threading
assert sys.argv[-2:] == ["admin@far", "docker system dial-stdio"], sys.argv
engine = socket.socket(socket.AF_UNIX); engine.connect({path!r})
def back():
    while data := engine.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    engine.sendall(data)
"""


def test_an_engine_behind_ssh(
    engine: Engine, host: DockerHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    program.write_text(SSH.format(path=str(engine.sockets[0])))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    run(engine, name="far-away")
    DockerHost.objects.filter(pk=host.pk).update(address="ssh://admin@far")
    look(host)
    assert DockerHost.objects.get().detail.startswith("Docker 2")
    assert Container.objects.get().name == "far-away"

    docker_client.forget(host.pk)
    monkeypatch.setenv("PATH", "/nowhere")
    look(host)
    assert "there is no program ssh here" in DockerHost.objects.get().detail
