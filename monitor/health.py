"""How we are ourselves: `/health/live` (the process answers), `/health/ready` (it can do its work) and `/ready` (Loki's
address, for its clients: lines would be taken)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import redis
from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.api import json_response
from core import clock
from logs import stream
from logs.sources import streams

TIMEOUT: Final = 2.0  # seconds
LAG_MAX: Final = 30.0  # seconds that a line may wait before the installation counts as not ready


class Check(msgspec.Struct, frozen=True):
    healthy: bool
    detail: str


def readiness() -> dict[str, Any]:
    """`{"status": "ready" | "not_ready", "checks": {name: {"status", "latency_ms", "detail"}}, "timestamp"}`."""
    checks = {name: _timed(check) for name, check in CHECKS.items() if name not in NEED_REDIS}
    # A Redis that hangs costs its timeout once, not once for each check that asks it.
    answers = checks["redis"]["status"] == "healthy"
    for name in NEED_REDIS:
        checks[name] = _timed(CHECKS[name] if answers else _unknown)
    ready = all(check["status"] == "healthy" for check in checks.values())
    return {"status": "ready" if ready else "not_ready", "checks": checks, "timestamp": clock.iso(clock.now())}


def _timed(check: Callable[[], Check]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        result = check()
    except (redis.RedisError, DatabaseError, OSError) as error:
        result = Check(False, f"{type(error).__name__}: {str(error)[:200]}")
    return {
        "status": "healthy" if result.healthy else "unhealthy",
        "latency_ms": round((time.perf_counter() - began) * 1_000, 1),
        "detail": result.detail,
    }


def _unknown() -> Check:
    return Check(False, "can't be known while Redis is away")


def database() -> Check:
    for alias in {"default", settings.LOG_DATABASE}:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
    return Check(True, f"{connections['default'].vendor} answers")


def broker() -> Check:
    with stream.connect(TIMEOUT) as client:
        client.ping()
    return Check(True, "Redis answers")


def worker() -> Check:
    with stream.connect(TIMEOUT) as client:
        alive = client.get(f"{stream.ALIVE}worker")
    if alive is None:
        return Check(False, f"no tick of beat came through a worker in the last {stream.ALIVE_FOR} s")
    return Check(True, "beat and worker run")


def ingest_lag() -> Check:
    """How long the oldest line that is not stored yet has been waiting, and what holds it up."""
    with stream.connect(TIMEOUT) as client:
        ingesters = stream.ingesters(client)
        waits = [stream.oldest_wait(client, name) for name in streams.active(client.get(streams.REPORT))]
    seconds = max(waits) / clock.SECOND
    if not ingesters:
        return Check(False, f"no ingester runs; the oldest line waits for {seconds:.1f} s")
    troubles = sorted(set(filter(None, ingesters)))
    count = f"{len(ingesters)} ingester{'s' * (len(ingesters) > 1)}"
    detail = "; ".join([*troubles, f"{count}, the oldest line waits for {seconds:.1f} s"])
    return Check(seconds <= LAG_MAX and not troubles, detail)


CHECKS: Final[dict[str, Callable[[], Check]]] = {
    "database": database,
    "redis": broker,
    "worker": worker,
    "ingest": ingest_lag,
}
NEED_REDIS: Final = ("worker", "ingest")


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    return json_response({"status": "alive"})


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    found = readiness()
    return json_response(found, 200 if found["status"] == "ready" else 503)


@require_safe
def takes_lines(request: HttpRequest) -> HttpResponse:
    """As Loki answers. Lines are taken while Redis is there, stored or not."""
    if _timed(broker)["status"] == "healthy":
        return HttpResponse("ready\n", content_type="text/plain; charset=utf-8")
    return HttpResponse("Redis is away\n", status=503, content_type="text/plain; charset=utf-8")
