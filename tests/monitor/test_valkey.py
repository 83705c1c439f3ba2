"""Where the private Valkey comes from and how it is started."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

import pytest

from monitor import valkey


def test_the_server_of_the_wheel_is_found_and_may_be_run() -> None:
    assert os.access(valkey.binary(), os.X_OK)


def test_a_machine_without_a_server_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "sparc")

    with pytest.raises(valkey.ValkeyError, match=r"^There is no Valkey for \w+ on sparc .* set REDIS_URL to "):
        valkey.binary()


def test_it_writes_each_second_and_forgets_nothing() -> None:
    line = " ".join(valkey.command(Path("/data/valkey"), Path("/data/valkey/s"), 6390))

    assert "--port 6390 " in line
    assert "--bind 127.0.0.1 -::1 " in line
    assert "--unixsocket /data/valkey/s --unixsocketperm 700 " in line
    assert "--appendonly yes --appendfsync everysec " in line
    assert "--maxmemory-policy noeviction" in line


def test_the_wanted_port_is_taken_if_it_is_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]

    assert valkey.free_port(port) == port


def test_another_port_is_taken_if_the_wanted_one_is_not_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        assert valkey.free_port(port) not in {0, port}


def test_a_socket_without_a_server_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert not valkey.answers(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert valkey.answers(path)
    assert not valkey.answers(path)
