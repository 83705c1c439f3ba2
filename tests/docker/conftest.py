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

from tests import servers


class Engine:
    """One engine, with two sockets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sockets = directory / "docker.sock", directory / "second.sock"
        self.address, self.second = (f"unix://{path}" for path in self.sockets)
        self.server = servers.start_docker(directory, *self.sockets)
        self.client = docker.DockerClient(base_url=self.address)
        self.client.api.import_image_from_data(servers.busybox_image(), repository="busybox", tag="local")

    def run(self, script: str, **options: Any) -> Container:
        """Starts a container and doesn't wait for its end."""
        options = {"name": f"t-{uuid.uuid4().hex[:8]}", "network_mode": "none", **options}
        return self.client.containers.run(servers.IMAGE, ["sh", "-c", script], detach=True, **options)

    def restart(self) -> None:
        """Its containers end with it."""
        self.server.end()
        self.server = servers.start_docker(self.directory, *self.sockets)

    def remove_containers(self) -> None:
        for container in self.client.containers.list(all=True):
            container.remove(force=True)

    def stop(self) -> None:
        self.client.close()
        self.server.stop()


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
