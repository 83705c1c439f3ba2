"""Who is who, and where. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
HOST: Final = "127.0.0.1"
NAMES: Final = ("api", "worker", "ocr", "ml", "notification")
VERSION: Final = "1.4.2"
QUEUE: Final = "demo:receipts"  # a Redis list
QUEUE_MAX: Final = 1_000  # receipts that wait; the oldest go first


def port(name: str) -> int:
    """DEMO_PORT and the four that follow."""
    return int(os.environ.get("DEMO_PORT") or 8701) + NAMES.index(name)


def address(name: str) -> str:
    return f"http://{HOST}:{port(name)}"


def directory() -> Path:
    """Where Pharos has its data, and the fleet what is broken."""
    return ROOT / (os.environ.get("PHAROS_DATA_DIR") or "var/demo")
