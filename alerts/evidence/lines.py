"""Log lines: those that match the rule's query, and those of the service around the time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from alerts import conditions
from alerts.conditions.of_logs import label_name
from alerts.evidence.scene import Scene, Taken, count_words, iso
from core import clock
from logs import query
from logs.query import Node
from logs.records import Level, LogRecord
from logs.store import log_stores
from logs.store.base import Direction

DEADLINE: Final = 1.0  # seconds for one question to the log store
LINES_MAX: Final = 100  # of each: nearest before, nearest after, warnings before
TEXT_MAX: Final = 2_000  # characters of a line's text, bytes of its metadata
BYTES_MAX: Final = 256 << 10
SERVICES_MAX: Final = 3
STEP: Final = 10  # seconds of a bucket
WARNINGS: Final = query.Level(frozenset({Level.WARN, Level.ERROR, Level.FATAL}))


def matches(scene: Scene) -> Taken:
    text = _query_of(scene)
    if text is None:
        return None
    found = _Found(query.parse(text), scene)
    return {"query": text, **found.data()}, found.words("matching line")


def around(scene: Scene) -> Taken:
    names = _names(scene)
    if not names:
        return None
    node = query.any_of(*(query.Field("service", query.Operator.EQUALS, name.casefold()) for name in names))
    found = _Found(node, scene)
    found.add(query.all_of(node, WARNINGS), scene.start, scene.opened)
    counts = [[clock.iso(at), lines] for at, lines in sorted(found.counted.buckets.items())]
    data = {"services": names, **found.data(), "step": STEP, "counts": counts}
    return data, f"{found.words('line')} of {', '.join(names)}"


def _query_of(scene: Scene) -> str | None:
    """That of the rule, for the alert's group; None if it looks at no lines."""
    rule = scene.incident.rule
    config = conditions.fitted(rule.kind, rule.config) if rule else None
    text = getattr(config, "query", None)
    if not isinstance(text, str):
        return None
    fields = {field: scene.labels.get(label_name(field), "") for field in getattr(config, "group_by", ())}
    terms = [query.term(field, value) for field, value in fields.items() if value]
    return " ".join([f"({text})", *terms] if text.strip() else terms)


def _names(scene: Scene) -> list[str]:
    """The service; of a rule that looks at lines, and names none, those whose lines match."""
    if scene.incident.service:
        return [scene.incident.service.name]
    if name := scene.labels.get("service"):
        return [name]
    text = _query_of(scene)
    if text is None:
        return []
    start, end = clock.micros(scene.start), clock.micros(scene.until)
    found = log_stores["default"].values(
        query.parse(text), "service", start=start, end=end, limit=SERVICES_MAX, deadline=DEADLINE
    )
    return [name for name, _ in found.counts]


class _Found:
    """The lines nearest to the opening, before and after, and how many there are."""

    def __init__(self, node: Node, scene: Scene) -> None:
        self._scene = scene
        self._lines: dict[tuple[int, int], LogRecord] = {}  # in the order in which they count
        self.add(node, scene.start, scene.opened)
        self.add(node, scene.opened, scene.until, "newer")
        start, end = clock.micros(scene.start), clock.micros(scene.until)
        self.counted = log_stores["default"].histogram(
            node, start=start, end=end, step=STEP * clock.SECOND, deadline=DEADLINE
        )
        self._complete = self._complete and self.counted.complete

    _complete = True

    def add(self, node: Node, start: datetime, end: datetime, direction: Direction = "older") -> None:
        if start < end:
            page = log_stores["default"].search(
                node, start=clock.micros(start), end=clock.micros(end), limit=LINES_MAX, direction=direction,
                deadline=DEADLINE,
            )  # fmt: skip
            self._complete = self._complete and (page.complete or len(page.records) == LINES_MAX)
            nearest = page.records if direction == "older" else page.records[::-1]
            self._lines |= {record.position: record for record in nearest if record.position not in self._lines}

    def data(self) -> dict[str, Any]:
        return {
            "start": iso(self._scene.start),
            "end": iso(self._scene.until),
            "total": self._total,
            "complete": self._complete,
            "lines": [_kept(record) for _, record in sorted(self._bounded().items())],
        }

    def words(self, what: str) -> str:
        """ "1 line", "200 of 4,212 lines"."""
        kept, total = len(self._bounded()), self._total
        return f"{kept:,} of {count_words(total, what)}" if kept < total else count_words(kept, what)

    @property
    def _total(self) -> int:
        return sum(self.counted.totals)

    def _bounded(self) -> dict[tuple[int, int], LogRecord]:
        kept, size = {}, 0
        for position, record in self._lines.items():
            size += min(len(record.message), TEXT_MAX) + min(len(record.metadata), TEXT_MAX)
            if size > BYTES_MAX:
                break
            kept[position] = record
        return kept


def _kept(record: LogRecord) -> dict[str, Any]:
    kept = msgspec.structs.asdict(record) | {
        "level": int(record.level),
        "metadata": record.metadata.decode() if len(record.metadata) <= TEXT_MAX else "{}",
    }
    # PostgreSQL takes no NUL in JSON.
    return {
        name: value.replace("\0", "\N{SYMBOL FOR NULL}")[:TEXT_MAX] if isinstance(value, str) else value
        for name, value in kept.items()
        if value != ""
    }


def records(lines: Iterable[dict[str, Any]]) -> list[LogRecord]:
    """Those of an evidence's data."""
    return [
        LogRecord(**{**line, "level": Level(line["level"]), "metadata": line["metadata"].encode()}) for line in lines
    ]
