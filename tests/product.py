"""The whole product, started as a new user starts it: `manage.py up` in an empty data directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor import valkey
from monitor.supervisor import die_with_parent

ROOT = Path(__file__).parent.parent
PASSWORD = "only for the tests"
KEY = "pharos_only-for-the-tests"


class Product:
    """A running Pharos. `environment` is added to what it is started with; `command` is one of manage.py."""

    def __init__(self, directory: Path, command: str = "up", **environment: str) -> None:
        self.command = command
        self.directory = directory
        self.port = valkey.free_port()
        self.redis_port = valkey.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = directory / "output.log"
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PHAROS_", "REDIS_", "DATABASE_"))}
        self.environment = {
            **inherited,
            "DJANGO_SETTINGS_MODULE": "monitor.settings",
            "PHAROS_DATA_DIR": str(directory / "data"),
            "PHAROS_PORT": str(self.port),
            "PHAROS_REDIS_PORT": str(self.redis_port),
            "PHAROS_ADMIN_PASSWORD": PASSWORD,
            "PHAROS_API_KEY": KEY,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", self.command],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        self._await("/health/ready", 90)

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def _await(self, path: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self._process
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url + path, timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{self.url}{path} never answered:\n{self.output.read_text()}")

    # --- Its processes ---------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """The running processes by what they are."""
        assert self._process
        marks = {
            "web": "monitor.web",
            "ingest": "ingest",
            "worker": " worker ",
            "beat": " beat ",
            "valkey": "valkey-server",
        }
        found = {}
        for pid in _children(self._process.pid):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found.update({name: pid for name, mark in marks.items() if mark in command})
        return found

    # --- Its API ---------------------------------------------------------------------------------------------------

    def send(self, *records: dict[str, Any]) -> None:
        body = "\n".join(map(json.dumps, records)).encode()
        self.request("/api/logs", body)

    def find(self, query: str) -> list[dict[str, Any]]:
        answer: dict[str, Any] = self.request("/api/logs?limit=1000&q=" + urllib.parse.quote(query))
        return list(answer["records"])

    def request(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, body, {"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def banner(self, word: str) -> str:
        """The value that the start printed behind `word`."""
        found = re.search(rf"^\s+{word}\s+(.+)$", self.output.read_text(), re.MULTILINE)
        assert found, f"no {word} in:\n{self.output.read_text()}"
        return found[1]


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


@contextlib.contextmanager
def running(command: str = "up", **environment: str) -> Iterator[Product]:
    with tempfile.TemporaryDirectory(prefix="pharos-product-", ignore_cleanup_errors=True) as directory:
        product = Product(Path(directory), command, **environment)
        try:
            product.start()
            yield product
        finally:
            product.stop()


def run_in(product: Product, code: str) -> None:
    """Runs `code` with the product's settings and database, as one of its processes would."""
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=ROOT, env=product.environment, check=True, stdout=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
