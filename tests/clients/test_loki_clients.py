"""The clients that people have send to a running Pharos as to Loki."""

from __future__ import annotations

import logging
import os
import subprocess
import urllib.request
from pathlib import Path

import logging_loki  # type: ignore[import-untyped]
import pytest

from tests import servers
from tests.product import KEY, Product
from tests.waiting import until

HERE = Path(__file__).parent

pytestmark = pytest.mark.xdist_group("product")


def run(script: str, product: Product, **environment: str) -> None:
    ended = subprocess.run(
        ["node", HERE / script],
        env={**os.environ, "NODE_PATH": str(servers.NODE_MODULES), "PHAROS": product.url, "KEY": KEY, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_ready_answers_as_lokis(product: Product) -> None:
    with urllib.request.urlopen(product.url + "/ready", timeout=5) as answer:
        assert (answer.status, answer.read()) == (200, b"ready\n")


@pytest.mark.parametrize(("version", "path"), [("1", "/loki/api/v1/push"), ("0", "/api/prom/push")])
def test_python_logging_loki(product: Product, version: str, path: str) -> None:
    service = f"shop-v{version}"
    handler = logging_loki.LokiHandler(
        url=product.url + path, tags={"application": service}, auth=("pharos", KEY), version=version
    )
    failed: list[logging.LogRecord] = []
    handler.handleError = failed.append
    logger = logging.Logger("shop.orders")
    logger.addHandler(handler)
    logger.warning("stock is %s", 'low: "3"', extra={"tags": {"tenant": "t-1", "request_id": "r-py"}})
    handler.emitter.close()
    assert failed == []
    until(lambda: product.find(f"service:{service}"))
    (found,) = product.find(f"service:{service}")
    assert (found["level"], found["logger"], found["request_id"]) == ("warn", "shop.orders", "r-py")
    assert found["message"] == 'stock is low: "3"'
    assert found["metadata"] == {"tenant": "t-1"}


@pytest.mark.node
def test_pino_loki(product: Product) -> None:
    run("pino.js", product)
    until(lambda: len(product.find("service:shop-pino")) == 2)
    placed, failed = sorted(product.find("service:shop-pino"), key=lambda record: str(record["message"]))
    assert (placed["message"], placed["level"], placed["request_id"]) == ("order placed", "info", "r-pino")
    assert placed["metadata"]["duration_ms"] == 45
    assert (failed["message"], failed["level"]) == ("payment failed", "error")
    assert failed["metadata"]["err"]["stack"].startswith("Error: card declined\n    at ")


@pytest.mark.node
@pytest.mark.parametrize("json_format", ["0", "1"])
def test_winston_loki_as_protobuf_and_as_json(product: Product, json_format: str) -> None:
    before = len(product.find("service:shop-winston"))
    run("winston.js", product, JSON_FORMAT=json_format)
    until(lambda: len(product.find("service:shop-winston")) == before + 2)
    (failed, *_) = product.find("service:shop-winston payment")
    assert (failed["message"], failed["level"], failed["request_id"]) == ("payment failed", "error", "r-winston")
    (placed, *_) = product.find("service:shop-winston order")
    assert (placed["message"], placed["level"]) == ("order placed", "info")
    assert placed["metadata"]["duration_ms"] == 45
