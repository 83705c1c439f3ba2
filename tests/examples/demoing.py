"""Ports and processes of the demo fleet, for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings

from examples.demo import fleet
from monitor.supervisor import die_with_parent

STREAM = "demo-lines"


def free_ports() -> int:
    """The first of as many free ports, one after the other, as there are services."""
    for first in range(18_700 + os.getpid() % 1_000 * 10, 60_000, 10):
        with ExitStack() as stack:
            try:
                for port in range(first, first + len(fleet.NAMES)):
                    stack.enter_context(socket.socket()).bind((fleet.HOST, port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


class Fleet:
    """Processes of the services, which write to files in `directory`."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.directory = directory
        self.environment = {
            "PATH": os.environ["PATH"],
            "DEMO_PORT": str(free_ports()),
            "PHAROS_DATA_DIR": str(directory),
            "PHAROS_REDIS_URL": redis_url,
            "PHAROS_LOG_STREAM": STREAM,
            "PHAROS_STDERR": "0",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "examples.demo", "run", name],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(10)


@contextmanager
def running(directory: Path, redis_url: str) -> Iterator[Fleet]:
    fleet_of_test = Fleet(directory, redis_url)
    try:
        yield fleet_of_test
    finally:
        fleet_of_test.stop()
