"""How the sources of the admin fare, in a sentence each, from what ingesters and the listener leave in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis

from core import clock
from logs import stream
from logs.models import LogSource
from logs.sources import channels, listen, streams

REDIS_SECONDS: Final = 2.0
STALE: Final = stream.ALIVE_FOR * clock.SECOND  # µs after which a report is an old one


def states(sources: Sequence[LogSource]) -> dict[int, str]:
    """By primary key."""
    try:
        with stream.connect(REDIS_SECONDS) as client:
            read = streams.left(client.get(streams.REPORT), streams.Report)
            heard = streams.left(client.get(channels.REPORT), channels.Report)
            listened = streams.left(client.get(listen.REPORT), listen.Left)
            waiting = _waiting(client, read.streams)
    except (redis.RedisError, OSError):
        return {source.pk: "can't be known: Redis is away" for source in sources}
    return {source.pk: _state(source, read, heard, listened, waiting) for source in sources}


def _state(
    source: LogSource,
    read: streams.Report,
    heard: channels.Report,
    listened: listen.Left,
    waiting: Mapping[str, int],
) -> str:
    if not source.enabled:
        return "off"
    if source.kind in LogSource.LISTENED:
        return _listened(source, listened)
    if clock.now() - read.at > STALE:
        return "no ingester runs"
    if source.kind == LogSource.Kind.CHANNEL:
        return _channel(source.name, heard)
    return _stream(source.name, read, waiting)


def _stream(name: str, report: streams.Report, waiting: Mapping[str, int]) -> str:
    found = report.sources.get(name)
    if found is None:
        return "not read yet"
    if not found.streams:
        return found.problem or "no stream matches yet"
    entries = sum(waiting.get(each, 0) for each in found.streams)
    parts = [f"{len(found.streams):,} stream{'s' * (len(found.streams) != 1)} read, {entries:,} entries wait"]
    if found.problem:
        parts.append(f"but of one: {found.problem}")
    if report.left_out and streams.is_pattern(name):
        parts.append(f"of all patterns {report.left_out:,} streams are left out, {streams.STREAMS_MAX} is the most")
    return "; ".join(parts)


def _channel(name: str, report: channels.Report) -> str:
    if name not in report.channels or clock.now() - report.at > STALE:
        return "not heard yet"
    since = f"{clock.moment(report.since):%Y-%m-%d %H:%M} UTC"
    drops = "".join(f"; {count:,} dropped because {reason}" for reason, count in report.dropped.items())
    return f"heard; of all channels {report.taken:,} messages taken since {since}{drops}"


def _listened(source: LogSource, left: listen.Left) -> str:
    if clock.now() - left.at > STALE:
        return "no listener runs: make up starts one within seconds, else start manage.py listen"
    state = left.sources.get(source.pk, "not begun yet")
    return f"{state}; lines wait: {left.trouble}" if left.trouble else state


def _waiting(client: redis.Redis, names: Sequence[str]) -> dict[str, int]:
    """Entries of each stream that are not stored yet."""
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.xinfo_groups(name)
    answers: Any = pipe.execute(raise_on_error=False)
    return {
        name: group["pending"] + (group.get("lag") or 0)
        for name, groups in zip(names, answers, strict=True)
        if not isinstance(groups, Exception)
        for group in groups
        if group["name"] == stream.GROUP.encode()
    }
