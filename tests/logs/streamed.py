"""What stands in the log stream: the records of all chunks, before any ingester takes them."""

from __future__ import annotations

from typing import Any, Final

import redis

from logs import stream
from logs.records import LogRecord
from logs.store import codec

FIRST: Final = "pharos:logs"


def records(client: redis.Redis) -> list[LogRecord]:
    """In the order in which they were added; those of one batch by their time."""
    found: list[LogRecord] = []
    entries: Any = client.xrange(FIRST)
    for entry_id, fields in entries:
        content = stream.incoming(FIRST, entry_id.decode(), fields).content
        assert isinstance(content, codec.Block)
        found += codec.Columns(content).records()
    return found


def messages(client: redis.Redis) -> list[str]:
    return [record.message for record in records(client)]
