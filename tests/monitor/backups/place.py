"""An installation in a process of its own: `python -m tests.monitor.backups.place STEP …`, set up by its environment.

Each step prints what it has to say as one line of JSON, the last of its output.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import django
from django.core.management import call_command

ADMIN, PASSWORD, SECRET, SAID = "admin", "only for the tests", "hunter2", "the needle in the haystack"


def fill_and_back_up(path: str, path_without_logs: str) -> dict[str, Any]:
    """While lines and rows are written."""
    from django.contrib.auth import get_user_model

    from logs.records import Level, LogRecord
    from logs.store import log_stores
    from monitor import prepare
    from services.models import Check, Service
    from tests.logs.corpus import START, corpus, entries

    prepare.migrate(print)
    get_user_model().objects.create_superuser(ADMIN, "", PASSWORD)
    check = Check(service=Service.objects.create(name="shop"), target="x")
    check.secrets = {"password": SECRET}
    check.save()
    store = log_stores["default"]
    store.append(entries([*corpus(200), LogRecord(START, Level.INFO, "shop", SAID)]))
    ended = threading.Event()
    written = []

    def write() -> None:
        for number in range(1, 10_000):
            store.append(entries(corpus(100, start=START + number * 100_000_000), first=number * 1_000))
            Service.objects.create(name=f"service-{number}")
            written.append(number)
            if ended.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        call_command("backup", path, wait=0)
        call_command("backup", path_without_logs, without_logs=True, wait=0)
    finally:
        ended.set()
        writer.join()
    return {"written": len(written), **facts()}


def restore(path: str, *options: str) -> dict[str, Any]:
    call_command("restore", path, force="--force" in options)
    return facts()


def append() -> dict[str, Any]:
    from logs.store import log_stores
    from tests.logs.corpus import corpus, entries

    log_stores["default"].append(entries(corpus(1)))
    return facts()


def facts() -> dict[str, Any]:
    from auditlog.models import LogEntry
    from django.db import connections
    from django.test import Client

    from logs.query import parse
    from logs.store import log_stores
    from monitor.backups import postgres, sqlite
    from services.models import Check

    store = log_stores["default"]
    on_postgres = connections["default"].vendor == "postgresql"
    rows = postgres.rows() if on_postgres else {**sqlite.rows_now("pharos.sqlite3"), **sqlite.rows_now("logs.sqlite3")}
    found = store.search(parse('"needle in the haystack"'), limit=10).records
    return {
        "rows": rows,
        "found": [record.message for record in found],
        "secret": Check.objects.get(service__name="shop").secrets,
        "login": Client().login(username=ADMIN, password=PASSWORD),
        "last commit": store.last_commit(),
        "restored": [
            entry.additional_data["file"]
            for entry in LogEntry.objects.filter(additional_data__event="backup_restored").order_by("pk")
        ],
    }


if __name__ == "__main__":
    django.setup()
    steps: dict[str, Callable[..., dict[str, Any]]] = {"fill": fill_and_back_up, "restore": restore, "append": append}
    step = steps[sys.argv[1]]
    print(json.dumps(step(*sys.argv[2:])))  # noqa: T201
