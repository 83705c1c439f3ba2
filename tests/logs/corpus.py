"""Records for tests: a small, deterministic corpus with the ugly cases in it, and their way into a store."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import redis

from core import clock
from logs import stream
from logs.records import Level, LogRecord
from logs.sequence import sequence_of
from logs.store import Incoming, codec

START = 1_790_000_000_000_000
ENTRY_MS = START // 1_000

SERVICES = ["api", "worker", "billing", "Über-Dienst"]
MESSAGES = [
    "handled request {n} in {ms} ms",
    "upstream timeout after {ms} ms",
    "GET /api/v1/orders/{n}?q=a%20b&c=[1] → 200",
    "multi\nline\nmessage {n}",
    "100 % of __wildcards__ and \\backslashes\\ and 'quotes' \"{n}\"",
    "Grüße, ΣΊΣΥΦΟΣ, İstanbul, ẞ, 日本語, 🚀 {n}",
    "\x00 nul, \x1b[31mred\x1b[0m, \u202ertl",
    "",
]


def corpus(lines: int, *, seed: int = 1, start: int = START) -> list[LogRecord]:
    """Records about 50 ms apart, some at the same microsecond, some late."""
    pick = random.Random(seed)
    time = start
    records = []
    for n in range(lines):
        time += pick.choice([0, 1, 50_000, 100_000])
        late = pick.choice([0] * 20 + [3 * clock.MINUTE])
        ms = pick.randrange(2_000)
        metadata: dict[str, object] = {"user_id": n % 17, "duration_ms": ms}
        if n % 5 == 0:
            metadata = {"context": {"userId": f"u-{n % 7}"}, "tags": ["a", "B"], "ok": n % 2 == 0, "none": None}
        records.append(
            LogRecord(
                timestamp=max(time - late, start),
                level=Level(pick.choice([1, 2, 2, 2, 3, 4, 5])),
                service=pick.choice(SERVICES),
                logger=pick.choice(["", "app.views", "app.Tasks"]),
                title=pick.choice(["", "Request", "Tïtle"]),
                message=pick.choice(MESSAGES).format(n=n, ms=ms),
                request_id=f"r-{n // 3}" if n % 4 else "",
                trace_id=f"{n // 6:032x}" if n % 2 else "",
                metadata=json.dumps(metadata, separators=(",", ":"), ensure_ascii=n % 2 == 0).encode(),
            )
        )
    return records


def entries(records: Sequence[LogRecord], *, first: int = 0, size: int = 100, ready: bool = True) -> list[Incoming]:
    """The records as stream entries of `size` lines, numbered from `first`: ready blocks or single records."""
    made = []
    for number, begin in enumerate(range(0, len(records), size), first):
        entry_id = f"{ENTRY_MS + number}-0"
        placed = tuple(
            msgspec.structs.replace(record, sequence=sequence_of(entry_id, 0, place))
            for place, record in enumerate(records[begin : begin + size])
        )
        blocks = codec.encode(placed) if ready else []
        made.append(Incoming("pharos:logs", entry_id, blocks[0] if len(blocks) == 1 else placed))
    return made


def stored(batch: Iterable[Incoming]) -> list[LogRecord]:
    """The records of entries, with their identities, newest first: what a store must hold."""
    found: list[LogRecord] = []
    for entry in batch:
        found += codec.Columns(entry.content).records() if isinstance(entry.content, codec.Block) else entry.content
    return sorted(found, key=lambda record: record.position, reverse=True)


def in_stream(client: redis.Redis) -> list[LogRecord]:
    """The records in the chunks that wait in the log stream."""
    found = []
    waiting: Any = client.xrange("pharos:logs")
    for entry_id, fields in waiting:
        content = stream.incoming("pharos:logs", entry_id.decode(), fields).content
        assert isinstance(content, codec.Block)
        found += codec.Columns(content).records()
    return found
