"""The programs in clients/examples send their lines to a real Pharos."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from pharos_client import PharosHandler

from tests import product, servers
from tests.pharos_client.receiving import CLIENT
from tests.product import KEY, Product
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("product")

EXAMPLES = Path(settings.BASE_DIR) / "clients" / "examples"


@pytest.fixture(scope="module")
def pharos() -> Iterator[Product]:
    with product.running() as running:
        yield running


def run(pharos: Product, *command: str | Path, text: str = "", within: str = ".", **environment: str) -> None:
    done = subprocess.run(
        command,
        input=text,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(CLIENT),
            "PHAROS_URL": pharos.url,
            "PHAROS_API_KEY": KEY,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=EXAMPLES / within,
    )
    assert (done.returncode, done.stderr) == (0, "")


def found(pharos: Product, query: str, number: int) -> list[dict[str, Any]]:
    """The records of a query, oldest first, when there are so many."""
    until(lambda: len(pharos.find(query)) >= number)
    return pharos.find(query)[::-1]


@pytest.mark.parametrize("way", ["http", "redis"])
def test_python(pharos: Product, way: str) -> None:
    redis = {"PHAROS_REDIS_URL": f"redis://127.0.0.1:{pharos.redis_port}"} if way == "redis" else {}
    before = len(pharos.find("service:shop"))
    run(pharos, sys.executable, "python/example.py", **redis)
    lines = found(pharos, "service:shop", before + 4)[before:]
    assert {line["message"] for line in lines} >= {"Order placed", "Payment failed", "Failed login of ann"}
    failed = next(line for line in lines if line["message"] == "Payment failed")
    assert (failed["level"], failed["request_id"], failed["logger"]) == ("error", "r-1", "shop.orders")
    assert failed["metadata"]["error"]["name"] == "TimeoutError"
    placed = next(line for line in lines if line["message"] == "Order placed")
    assert placed["metadata"] == {"user_id": "u-7", "order": 1, "password": "[redacted]"}
    receipts = found(pharos, "service:ocr", 2)
    assert {line["title"] for line in receipts} == {"Receipt read", "Receipt failed"}


def test_shell(pharos: Product) -> None:
    run(pharos, "shell/send.sh", "backup", "warn", 'a "quoted" \\ text')
    (line,) = found(pharos, "service:backup", 1)
    assert (line["level"], line["message"]) == ("warn", 'a "quoted" \\ text')

    run(pharos, "shell/send.sh", "piped", text="first\n\nthird\tx\nlast without end")
    lines = found(pharos, "service:piped", 3)
    assert {line["message"] for line in lines} >= {"first", "thirdx", "last without end"}


@pytest.mark.node
def test_node_with_pino(pharos: Product, tmp_path: Path) -> None:
    for path in (EXAMPLES / "node").glob("*.mjs"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "node_modules").symlink_to(servers.NODE_MODULES)
    run(pharos, "node", tmp_path / "example.mjs")
    login, failed = found(pharos, "service:shop-node", 2)
    assert (login["message"], login["request_id"]) == ("Login successful", "r-1")
    assert login["metadata"]["password"] == "[Redacted]"
    assert failed["level"] == "error"
    assert "the bank didn't answer" in failed["metadata"]["err"]["stack"]


def test_go(pharos: Product, tmp_path: Path) -> None:
    if not shutil.which("go"):
        pytest.skip("there is no Go here")
    run(pharos, "go", "run", "./example", within="go", GOCACHE=str(tmp_path))
    assert {line["message"] for line in found(pharos, "service:shop-go", 2)} == {"Order placed", "Order paid"}


def test_five_thousand_lines_over_http_are_all_there(pharos: Product) -> None:
    handler = PharosHandler("many", url=pharos.url, api_key=KEY)
    log = logging.Logger("many")
    log.addHandler(handler)
    for number in range(5_000):
        log.info("line %s", number)
    assert handler.way.flush(20.0)
    handler.close()
    until(lambda: _count(pharos, "service:many") == 5_000)


def _count(pharos: Product, query: str) -> int:
    answer = pharos.request(f"/api/logs/histogram?from=-1h&q={query}&step=3600")
    return sum(sum(bucket["counts"].values()) for bucket in answer["buckets"])
