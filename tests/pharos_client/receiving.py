"""The other end of the client, for tests: what it sent, as lines; and programs of their own that log with it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from pharos_client.lines import Recipe, made

CLIENT = Path(settings.BASE_DIR) / "clients" / "python"
STREAM = "pharos:logs"


def entries(client: redis.Redis, stream: str = STREAM) -> list[list[dict[str, Any]]]:
    """The lines of each entry."""
    found: Any = client.xrange(stream)
    return [unpacked(fields[b"lines"]) for _, fields in found]


def sent(client: redis.Redis, stream: str = STREAM) -> list[dict[str, Any]]:
    return [line for entry in entries(client, stream) for line in entry]


def messages(client: redis.Redis) -> list[str]:
    return [line["message"] for line in sent(client)]


def unpacked(data: bytes) -> list[dict[str, Any]]:
    text = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    return [json.loads(line) for line in text.splitlines()]


class Gathered:
    """A way that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def put(self, line: dict[str, Any]) -> None:
        self.lines.append(json.loads(json.dumps(line)))

    def put_later(self, recipe: Recipe) -> None:
        self.put(made(recipe))

    def flush(self, seconds: float = 0.0) -> bool:
        return True

    def close(self, seconds: float = 0.0) -> None: ...


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, which knows the client and nothing of Pharos."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CLIENT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd="/",
    )
