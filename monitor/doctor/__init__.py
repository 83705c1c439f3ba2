"""`manage.py doctor` and its page: is everything as it should be, and if not, what is to be done?

A check is a function of a file in this folder, with one line in CHECKS. It is run when half of the system is down: each
has a thread and a time limit of its own, whatever it waits for, and what it raises is what is wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import msgspec
import redis
from django.db import DatabaseError, connections

from core import disk
from monitor.doctor.findings import GUIDE, LEVELS, OK, PROBLEM, CannotTell, Finding

LIMIT: Final = 10.0  # seconds for a check; all of them run at the same time

# Name → module and function, in the order in which they are shown.
CHECKS: Final[Mapping[str, str]] = {
    "configuration": "settings.configuration",
    "weak settings": "settings.weak",
    "external URL": "settings.external_url",
    "database": "database.answers",
    "migrations": "database.migrations",
    "writing": "database.writing",
    "size": "database.size",
    "Redis": "broker.answers",
    "Redis keeps": "broker.persistence",
    "Redis' memory": "broker.memory",
    "clocks": "broker.clocks",
    "processes": "processes.running",
    "beat": "processes.beat",
    "ingest": "lines.ingest",
    "streams": "lines.streams",
    "dead letters": "lines.dead_letters",
    "channels": "outside.channels",
    "mail server": "outside.mail",
    "Docker hosts": "outside.docker_hosts",
    "outside heartbeat": "outside.heartbeat",
    "disk": "machine.disk",
    "time zone": "machine.time_zone",
}


class Checked(msgspec.Struct, frozen=True):
    """What one check said."""

    name: str
    level: str
    said: str
    to_do: str = ""
    section: str = ""
    took_ms: float = 0.0

    @property
    def guide(self) -> str:
        return f"{GUIDE}#{self.section}" if self.section else ""


class Run:
    """A check in a thread of its own. One that hangs is left behind: its thread ends with the process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._finding: Finding | None = None
        self._began = time.perf_counter()
        self._took = 0.0
        self._thread = threading.Thread(target=self._check, name=f"doctor: {name}", daemon=True)
        self._thread.start()

    def _check(self) -> None:
        try:
            self._finding = ask(self.name)
        finally:
            self._took = time.perf_counter() - self._began
            connections.close_all()  # those of this thread

    def result(self, until: float) -> Checked:
        self._thread.join(max(until - time.monotonic(), 0))
        found = self._finding
        if found is None:
            said = f"It did not answer within {LIMIT:g} seconds."
            found = Finding(PROBLEM, said, "See what it waits for: a network, a disk, or a lock of the database.")
        return _checked(self.name, found, self._took)


def examine(names: Sequence[str] = ()) -> list[Checked]:
    """All checks, or those of these names, at the same time. Within a transaction one after the other: others can't
    look into it, and would wait for its locks."""
    if connections["default"].in_atomic_block:
        return [_checked(name, ask(name), 0.0) for name in names or CHECKS]
    until = time.monotonic() + LIMIT
    return [run.result(until) for run in [Run(name) for name in names or CHECKS]]


def _checked(name: str, found: Finding, seconds: float) -> Checked:
    return Checked(name, found.level, found.said, found.to_do, found.section, round(seconds * 1_000, 1))


def ask(name: str) -> Finding:
    """One check, in this thread. Never raises."""
    module, function = CHECKS[name].split(".")
    try:
        finding: Finding = getattr(import_module(f"monitor.doctor.{module}"), function)()
    except CannotTell as reason:
        return Finding(PROBLEM, str(reason), "Mend that first, then check again.")
    except redis.RedisError as error:
        return Finding(PROBLEM, f"Redis is away: {_line(error)}.", "See that it runs, and REDIS_URL.", "redis-is-away")
    except DatabaseError as error:
        if disk.is_damaged(error):
            to_do = "Find out which file is damaged, and put the last backup back."
            return Finding(PROBLEM, f"The database is damaged: {_line(error)}.", to_do, "the-database-is-damaged")
        to_do = "See that it runs, and DATABASE_URL; on SQLite that the data directory can be written."
        return Finding(PROBLEM, f"The database failed: {_line(error)}.", to_do, "the-database-is-away")
    except Exception as error:  # noqa: BLE001 - whatever it is: the others shall be told
        return Finding(
            PROBLEM, f"The check itself failed: {type(error).__name__}: {_line(error)}.", "Please report it."
        )
    return finding


def worst(found: Sequence[Checked]) -> str:
    return max((each.level for each in found), key=LEVELS.index, default=OK)


def as_json(found: Sequence[Checked]) -> dict[str, Any]:
    return {"status": worst(found), "checks": [msgspec.to_builtins(each) for each in found]}


def _line(error: Exception) -> str:
    """What it says, on one line and without its end."""
    return " ".join(str(error).split())[:300].rstrip(".") or "no reason was given"
