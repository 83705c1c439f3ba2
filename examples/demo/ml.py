"""Says what was bought."""

from __future__ import annotations

import logging
import os
import random
from typing import Any

from examples.demo import breaking, service

log = logging.getLogger("ml.classifier")
KINDS = ("groceries", "fuel", "restaurant", "pharmacy")


def main() -> None:
    handler = service.logging_to_pharos("ml")
    log.info("Model loaded", extra={"title": "Started", "pid": os.getpid()})
    handler.flush()
    service.serve("ml", app())


def app() -> service.App:
    return service.App({"POST /classify": classify}, ready)


def classify(body: dict[str, Any]) -> dict[str, Any]:
    if breaking.is_broken("crash"):
        log.critical("Out of memory while loading the model's weights", extra={"title": "Fatal", **body})
        logging.getLogger().handlers[0].flush()
        os._exit(137)  # as a container whose memory is used up
    found = {"kind": random.choice(KINDS), "confidence": round(random.uniform(0.6, 0.99), 2)}  # noqa: S311
    log.info("Receipt %s is %s", body["receiptId"], found["kind"], extra={"title": "ML Classification", **found})
    return found


def ready() -> service.Health:
    return service.ready_or_not(model=lambda: None)
