"""Reads text from receipts."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from examples.demo import breaking, service

log = logging.getLogger("ocr.engine")
SLOW = 2.0  # seconds more, while it is broken


def main() -> None:
    service.logging_to_pharos("ocr")
    service.serve("ocr", app())


def app() -> service.App:
    return service.App({"POST /read": read}, ready)


def read(body: dict[str, Any]) -> dict[str, Any]:
    receipt = body["receiptId"]
    log.info("Receipt %s", receipt, extra={"title": "Extraction Started", "receiptId": receipt})
    _look()
    lines = random.randint(5, 40)  # noqa: S311 - no secret
    about = {"receiptId": receipt, "lineCount": lines}
    log.info("%s lines of receipt %s", lines, receipt, extra={"title": "Extraction Complete", **about})
    return {"lines": lines}


def ready() -> service.Health:
    return service.graded(model=_look)


def _look() -> None:
    if breaking.is_broken("latency"):
        log.warning("The engine waits for a free slot", extra={"title": "Engine Busy", "wait_s": SLOW})
        time.sleep(SLOW)
    time.sleep(random.uniform(0.01, 0.06))  # noqa: S311 - no secret
