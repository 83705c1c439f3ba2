"""Redis, where lines wait until they are stored."""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from core import clock, reporting
from logs import stream
from monitor.doctor.findings import Finding, ok, problem, warning

TIMEOUT: Final = 3.0  # seconds
AHEAD_MAX: Final = 2.0  # seconds that clocks may differ
FULL_FROM: Final = 0.9  # of maxmemory
KEEPS: Final = "noeviction"


def answers() -> Finding:
    with stream.connect(TIMEOUT) as client:
        info: Any = client.info("server")
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    return ok(f"{name} {info.get('valkey_version') or info.get('redis_version')} answers.")


def persistence() -> Finding:
    with stream.connect(TIMEOUT) as client:
        info: Any = client.info("persistence")
    if info.get("loading"):
        return warning("Redis is still loading its file.", "Wait.")
    if not info.get("aof_enabled"):
        return warning(
            "Redis keeps no append-only file: lines that are not stored yet are lost when it ends.",
            "Set appendonly yes in its configuration.", "redis-is-away",
        )  # fmt: skip
    failed = [name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if info.get(name, "ok") != "ok"]
    if failed:
        return problem(
            f"Redis could not write its append-only file ({failed[0]}).", "See its log, and the room on its disk.",
            "the-disk-is-full",
        )  # fmt: skip
    return ok("Redis keeps an append-only file.")


def memory() -> Finding:
    with stream.connect(TIMEOUT) as client:
        info: Any = client.info("memory")
    policy, most, used = info.get("maxmemory_policy", KEEPS), info.get("maxmemory", 0), info["used_memory"]
    if most and policy != KEEPS:
        return problem(
            f"When its {most >> 20:,} MiB are used up, Redis throws lines away (maxmemory-policy {policy}).",
            "Set maxmemory-policy noeviction.", "redis-is-away",
        )  # fmt: skip
    if most and used > FULL_FROM * most:
        said = f"Redis has used {used >> 20:,} of its {most >> 20:,} MiB: soon senders are told to wait."
        return warning(said, "Give it more memory, or see why lines wait.", "lines-dont-appear")
    return ok(f"Redis has {used >> 20:,} MiB, {f'at most {most >> 20:,}' if most else 'without a limit'}.")


def clocks() -> Finding:
    """Of this host, and of all that report; that of Redis is what they are compared with."""
    with stream.connect(TIMEOUT) as client:
        before = clock.now()
        seconds, micros = client.time()
        ahead = ((before + clock.now()) / 2 - seconds * clock.SECOND - micros) / clock.SECOND
        try:
            found = {each.replica.partition(":")[0]: each.clock for each in reporting.reports(client) if each.alive}
        except (NoPermissionError, ResponseError):
            found = {}
    worst, by = max([("this host", ahead), *found.items()], key=lambda each: abs(each[1]))
    if abs(by) > AHEAD_MAX:
        said = f"The clock of {worst} is {abs(by):.1f} s {'ahead of' if by > 0 else 'behind'} that of Redis' host."
        return problem(said, "Run a time service (chrony, systemd-timesyncd) on both.", "clocks-differ")
    return ok(f"The clocks are within {max(abs(by), 0.1):.1f} s.")
