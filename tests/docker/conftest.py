"""A real Docker engine, started with the first test that needs it, and an empty Redis for each test."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from monitor import valkey
from tests import servers
from tests.services.paper_engine import Authority


class Engine:
    """One engine, with two sockets and a port that speaks TLS."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sockets = directory / "docker.sock", directory / "second.sock"
        self.address, self.second = (f"unix://{path}" for path in self.sockets)
        self.authority = Authority()
        self.encrypted = f"tcp://127.0.0.1:{valkey.free_port()}"
        self._options = ["-H", self.encrypted, *_certificates(self.authority, directory)]
        self.server = self._start()
        self.client = docker.DockerClient(base_url=self.address)
        self.client.api.import_image_from_data(servers.busybox_image(), repository="busybox", tag="local")

    def run(self, script: str, **options: Any) -> Container:
        """Starts a container and doesn't wait for its end."""
        options = {"name": f"t-{uuid.uuid4().hex[:8]}", "network_mode": "none", **options}
        return self.client.containers.run(servers.IMAGE, ["sh", "-c", script], detach=True, **options)

    def restart(self) -> None:
        """Its containers end with it."""
        self.server.end()
        self.server = self._start()

    def _start(self) -> servers.Server:
        return servers.start_docker(self.directory, *self.sockets, options=self._options)

    def remove_containers(self) -> None:
        for container in self.client.containers.list(all=True):
            container.remove(force=True)

    def stop(self) -> None:
        self.client.close()
        self.server.stop()


def _certificates(authority: Authority, directory: Path) -> list[str]:
    """Options of dockerd: it has a certificate, and asks its clients for one."""
    names = ("tlscacert", "tlscert", "tlskey")
    for name, pem in zip(names, (authority.pem, *authority.issue("engine")), strict=True):
        (directory / name).write_text(pem)
    return ["--tlsverify", *(f"--{name}={directory / name}" for name in names)]


@pytest.fixture(scope="session")
def session_engine() -> Iterator[Engine]:
    engine = Engine(Path(tempfile.mkdtemp(prefix="pharos-docker-")))
    yield engine
    engine.stop()


@pytest.fixture
def engine(session_engine: Engine) -> Iterator[Engine]:
    """Without containers."""
    yield session_engine
    session_engine.remove_containers()
