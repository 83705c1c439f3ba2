"""Takes receipts from the queue and has them read, classified and told of. With coroutines, to show RedisLogger."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from typing import Any

import redis
from pharos_client import RedisLogger, bound_context

from examples.demo import fleet, service

OCR_TIMEOUT = 1.0  # seconds


def main() -> None:
    service.logging_to_pharos("worker")
    log = RedisLogger("worker", stream=os.environ.get("PHAROS_LOG_STREAM")).named("worker.receipts")
    threading.Thread(target=lambda: asyncio.run(work(log)), daemon=True).start()
    service.serve("worker", app())


def app() -> service.App:
    return service.App({}, ready)


async def work(log: RedisLogger) -> None:
    while True:
        try:
            found = await asyncio.to_thread(_next)
        except redis.RedisError as error:
            await log.error("Queue Unreachable", str(error), error, {"queue": fleet.QUEUE})
            await asyncio.sleep(1.0)
            continue
        if found:
            receipt = json.loads(found)
            with bound_context(request_id=receipt["request_id"], user_id=receipt["user"]):
                await process(log, receipt["receipt"])


def _next() -> str | None:
    with service.queue() as queue:
        found: Any = queue.brpop([fleet.QUEUE], timeout=1)
    return found[1] if found else None


async def process(log: RedisLogger, receipt: str) -> None:
    about = {"receiptId": receipt, "objectKey": f"receipts/{receipt}.jpg"}
    await log.info("Receipt Dequeued", f"Processing {about['objectKey']}", about)
    try:
        text = await asyncio.to_thread(service.call, "ocr", "/read", about, OCR_TIMEOUT)
        found = await asyncio.to_thread(service.call, "ml", "/classify", {**about, "lines": text["lines"]})
        await asyncio.to_thread(service.call, "notification", "/notify", {**about, "kind": found["kind"]})
    except TimeoutError as error:
        await log.error("OCR Service Timeout", f"No text from receipt {receipt} after {OCR_TIMEOUT:g} s", error, about)
    except Exception as error:  # noqa: BLE001 - one bad receipt must not stop those behind it
        await log.error("Processing Failed", f"Receipt {receipt}: {error}", error, about)
    else:
        await log.info("Receipt Processed", f"Receipt {receipt}: {found['kind']}", {**about, **found})


def ready() -> service.Health:
    return service.ready_or_not(database=lambda: None, redis=_ping, queue=_queue)


def _ping() -> None:
    with service.queue() as queue:
        queue.ping()


def _queue() -> None:
    try:
        with service.queue() as queue:
            length = queue.llen(fleet.QUEUE)
    except redis.RedisError as error:
        raise LookupError("nobody knows without Redis") from error
    if length >= fleet.QUEUE_MAX:
        raise OverflowError(f"{length} receipts wait")
