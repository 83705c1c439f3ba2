"""Takes receipts and puts them into the queue. A thread of it plays the people who bring two of them a second."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import Any
from uuid import uuid4

from pharos_client import bound_context, context, events, set_context

from examples.demo import fleet, service

log = logging.getLogger("api.receipts")
EVERY = 0.5  # seconds


def main() -> None:
    service.logging_to_pharos("api")
    threading.Thread(target=_people, daemon=True).start()
    service.serve("api", app())


def app() -> service.App:
    return service.App({"POST /receipts": upload, "POST /login": login}, ready)


def upload(body: dict[str, Any]) -> dict[str, Any]:
    set_context(user_id=body["user"])
    receipt = {"receipt": f"r-{uuid4().hex[:8]}", "request_id": context.current().get("request_id", "")}
    with service.queue() as queue:
        waiting = queue.lpush(fleet.QUEUE, json.dumps({**receipt, "user": body["user"]}))
        queue.ltrim(fleet.QUEUE, 0, fleet.QUEUE_MAX - 1)
    log.info("Receipt %s uploaded", receipt["receipt"], extra={"receiptId": receipt["receipt"], "waiting": waiting})
    return receipt


def login(body: dict[str, Any]) -> dict[str, Any]:
    events.login_failed(body["user"], "wrong password")
    return {"ok": False}


def ready() -> service.Health:
    return service.graded(database=_database, cache=_cache)


def _database() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("SELECT 1")


def _cache() -> None:
    with service.queue() as queue:
        queue.ping()


def _people() -> None:
    for number in itertools.count():
        time.sleep(EVERY)
        # `api` may not listen yet, or answer 500: people come again.
        with bound_context(request_id=f"req-{uuid4().hex[:8]}"), suppress(OSError):
            service.call("api", "/receipts", {"user": f"user-{number % 7}"})
            if number % 40 == 20:
                service.call("api", "/login", {"user": "mallory"})
