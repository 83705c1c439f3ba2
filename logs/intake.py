"""What happens to every line between reading and storing, whichever way it came in: it passes the pipelines
(`logs.pipelines`), and then its secrets go (`logs.redaction`).

The rules are those of the admin. A thread of each process reads them every few seconds and writes how often they
were needed; nobody who has lines waits for the database, but for the first look of all. While it is away the last
rules hold, and the built-in ones if there never were any.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from django.apps import apps
from django.db import DatabaseError, InterfaceError, close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from logs import pipelines
from logs.lines import Lines
from logs.redaction import Hits, Redactor, Rule

log = logging.getLogger(__name__)

REFRESH_EVERY: Final = 3.0  # seconds
COUNT_EVERY: Final = 10.0  # seconds between two writes of what was counted
FIRST_LOOK: Final = 2.0  # seconds that the first lines of a process wait for the rules
RULES_MAX: Final = 500


class Prepared(NamedTuple):
    lines: Lines
    secrets: frozenset[int]  # sequences of the lines that had some


class Rules:
    """The rules as this process knows them, and what it has counted."""

    def __init__(self) -> None:
        self.redactor = Redactor()
        self._known: list[Rule] | None = None
        self._hits: Hits = Counter()
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._looked = threading.Event()
        self._pid = 0

    @property
    def is_ready(self) -> bool:
        return self._pid == os.getpid() or not apps.ready  # after a fork the thread is gone; a benchmark has no rows

    def current(self) -> Redactor:
        if not self.is_ready:
            self._start()
        return self.redactor

    def _start(self) -> None:
        with self._starting:
            if self.is_ready:
                return
            self._looked.clear()
            threading.Thread(target=self._keep_up, name="log-rules", daemon=True).start()
            self._looked.wait(FIRST_LOOK)
            self._pid = os.getpid()

    def _keep_up(self) -> None:
        counted = time.monotonic()
        while True:
            try:
                close_old_connections()  # one that broke is made anew
                self.refresh()
                pipelines.refresh()
                if time.monotonic() - counted >= COUNT_EVERY:
                    counted = time.monotonic()
                    end()
            except Exception:  # a mistake of ours must not leave this process with old rules for ever
                log.exception("The rules could not be kept up")
            self._looked.set()
            time.sleep(REFRESH_EVERY)

    def refresh(self) -> None:
        """Reads the rules."""
        from logs.models import RedactionRule

        try:
            rows = RedactionRule.objects.filter(enabled=True).order_by("pk").values_list("kind", "value")
            known = [Rule(kind, value) for kind, value in rows[:RULES_MAX]]
        except (DatabaseError, InterfaceError) as error:
            log.debug("The rules can't be read: %s", error)
            return
        if known != self._known:
            self._known, self.redactor = known, Redactor(known)

    def count(self, hits: Hits) -> None:
        if hits:
            with self._lock:
                self._hits.update(hits)

    def write(self) -> None:
        """Adds what was counted to the rows."""
        from logs.models import RedactionRule

        with self._lock:
            hits, self._hits = self._hits, Counter()
        if not hits:
            return
        try:
            with transaction.atomic():
                for rule, count in hits.items():
                    rows = RedactionRule.objects.filter(kind=rule.kind, value=rule.value)
                    rows.update(hits=F("hits") + count, last_hit=timezone.now())
        except (DatabaseError, InterfaceError) as error:
            log.debug("What was redacted can't be counted: %s", error)
            self.count(hits)


rules = Rules()


def is_ready() -> bool:
    return rules.is_ready


def begin() -> None:
    """Waits a moment for the rules, once in a process. An event loop does so in a thread, before its first lines."""
    rules.current()


def end() -> None:
    """Writes what was counted and not written yet."""
    rules.write()
    pipelines.write_counts()


def prepare(lines: Lines) -> Lines:
    """The lines that are stored, as they are stored. Places in `sequence` stay with their lines."""
    return examine(lines).lines


def examine(lines: Lines) -> Prepared:
    """`prepare`, and which lines had secrets."""
    current = rules.current()
    left = pipelines.apply(lines)
    found = current.redact(left)
    rules.count(found.hits)
    return Prepared(found.lines, frozenset(left.sequence[place] for place in found.places))


def without_secrets(text: str) -> str:
    """What is said of a line, and may quote it."""
    hits: Hits = Counter()
    new = rules.current().text(text, hits)
    rules.count(hits)
    return new


def fields_without_secrets(fields: Mapping[str, str]) -> dict[str, str]:
    """Names and values that are no line, and are kept nonetheless."""
    hits: Hits = Counter()
    new = rules.current().json(msgspec.json.encode(fields), hits)
    rules.count(hits)
    return msgspec.json.decode(new, type=dict[str, str])
