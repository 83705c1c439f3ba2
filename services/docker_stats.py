"""The counters of a container → what it used between two looks. Pure.

Engines give counters since the start of the container. With cgroup v1 and v2 some have other names, and some machines
don't count everything: what is not counted is None, never 0.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from services.docker_answers import moment

GAP_MAX: Final = 120.0  # seconds between two looks; over more than that a mean says nothing


class Counters(msgspec.Struct, frozen=True, omit_defaults=True):
    """At one moment, since the start of the container."""

    at: float  # seconds since the epoch, by the engine's clock
    cpu_ns: int | None = None
    memory: int | None = None  # bytes in use, without the page cache that can be given back
    memory_limit: int | None = None
    received: int | None = None
    sent: int | None = None
    read: int | None = None
    written: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """Between two looks."""

    cpu_percent: float | None = None  # of one core
    network_rx: float | None = None  # bytes/s
    network_tx: float | None = None
    block_read: float | None = None
    block_write: float | None = None


class _Usage(msgspec.Struct):
    total_usage: int | None = None


class _Cpu(msgspec.Struct):
    cpu_usage: _Usage = msgspec.field(default_factory=_Usage)


class _Memory(msgspec.Struct):
    usage: int | None = None
    limit: int | None = None
    stats: dict[str, Any] | None = None


class _Network(msgspec.Struct):
    rx_bytes: int = 0
    tx_bytes: int = 0


class _Io(msgspec.Struct):
    op: str = ""
    value: int = 0


class _Block(msgspec.Struct):
    io_service_bytes_recursive: list[_Io] | None = None


class Stats(msgspec.Struct):
    """The answer of `/containers/<id>/stats`."""

    read: str = ""
    cpu_stats: _Cpu = msgspec.field(default_factory=_Cpu)
    memory_stats: _Memory = msgspec.field(default_factory=_Memory)
    networks: dict[str, _Network] | None = None
    blkio_stats: _Block = msgspec.field(default_factory=_Block)


def counters(stats: Stats) -> Counters | None:
    """None when the container doesn't run: the engine then answers without a time."""
    at = moment(stats.read)
    if at is None:
        return None
    networks = stats.networks
    block = stats.blkio_stats.io_service_bytes_recursive
    return Counters(
        at=at.timestamp(),
        cpu_ns=stats.cpu_stats.cpu_usage.total_usage,
        memory=_memory(stats.memory_stats),
        memory_limit=_limit(stats.memory_stats),
        received=None if networks is None else sum(each.rx_bytes for each in networks.values()),
        sent=None if networks is None else sum(each.tx_bytes for each in networks.values()),
        read=None if block is None else sum(each.value for each in block if each.op.lower() == "read"),
        written=None if block is None else sum(each.value for each in block if each.op.lower() == "write"),
    )


def between(before: Counters | None, after: Counters) -> Usage:
    """Nothing for the first look, after a gap, and after a restart, when counters begin anew."""
    span = after.at - before.at if before else 0.0
    if before is None or not 0 < span <= GAP_MAX:
        return Usage()
    cpu = _rate(before.cpu_ns, after.cpu_ns, span)
    return Usage(
        cpu_percent=None if cpu is None else cpu / 1e7,
        network_rx=_rate(before.received, after.received, span),
        network_tx=_rate(before.sent, after.sent, span),
        block_read=_rate(before.read, after.read, span),
        block_write=_rate(before.written, after.written, span),
    )


def _rate(before: int | None, after: int | None, span: float) -> float | None:
    return None if before is None or after is None or after < before else (after - before) / span


def _memory(memory: _Memory) -> int | None:
    """As `docker stats` counts it."""
    if memory.usage is None:
        return None
    details = memory.stats or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup v1, v2
    return memory.usage - cache if isinstance(cache, int) and cache < memory.usage else memory.usage


def _limit(memory: _Memory) -> int | None:
    """Without a limit of its own it is the machine's memory. Where nothing limits it, kernels give a huge number."""
    return memory.limit if memory.limit and memory.limit < 1 << 60 else None
