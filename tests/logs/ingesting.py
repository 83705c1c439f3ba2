"""An ingester in a thread of the test, and what it has stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from logs.ingest import Ingester
from logs.query import Everything
from logs.records import LogRecord
from logs.store import log_stores


@contextmanager
def running(name: str = "one", store: Any = None, **options: Any) -> Iterator[Ingester]:
    ingester = Ingester(name, store or log_stores["default"], options.pop("publish", lambda commit: None), **options)

    def run() -> None:
        try:
            ingester.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ingester
    finally:
        ingester.stop()
        thread.join(10)
        assert not thread.is_alive()


def lines() -> int:
    return log_stores["default"].stats()["lines"]


def records() -> list[LogRecord]:
    return log_stores["default"].search(Everything(), limit=10_000).records


def messages() -> list[str]:
    return sorted(record.message for record in records())
