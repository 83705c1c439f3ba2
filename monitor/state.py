"""How things are at this moment, for /metrics: what no process counts, because it stands in Redis or a database."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast

import redis
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count

from alerts.models import Alert, Delivery, Incident
from core import clock
from core.meters import Labels, Numbers
from logs import stream, usage
from logs.models import DeadLetter
from logs.sources import streams
from logs.store import log_stores
from services.models import Check, Service

STREAMS: Final = (  # and the field of usage.StreamState
    ("pharos_stream_entries", "Entries in Redis, the stored ones too.", "length"),
    ("pharos_stream_lag", "Entries that no ingester has read.", "backlog"),
    ("pharos_stream_pending", "Entries that were read and are not stored.", "pending"),
    ("pharos_stream_wait_seconds", "How long the oldest entry that is not stored waits.", "wait"),
)
STORE_EVERY: Final = 30.0  # seconds: to add up the blocks of a large store takes a while


def found() -> Iterator[Numbers]:
    """Of what is away nothing, and that it is away."""
    complete: dict[Labels, float] = {}
    for name, part in PARTS.items():
        try:
            numbers = [*part()]
        except (redis.RedisError, DatabaseError, OSError):
            numbers = []
        complete[name,] = float(bool(numbers))
        yield from numbers
    yield gauge("pharos_part_up", "Whether this part could be asked for its numbers.", complete, "part")


def gauge(name: str, text: str, series: Mapping[Labels, float] | float, *labels: str) -> Numbers:
    rows = series if isinstance(series, Mapping) else {(): series}
    return Numbers(name, text, "gauge", labels, [(key, [value]) for key, value in rows.items()])


def _redis() -> Iterator[Numbers]:
    with stream.connect(usage.REDIS_SECONDS) as client:
        names = streams.active(client.get(streams.REPORT))
        states = [usage.state(client, name) for name in names]
        waiting = cast(int, client.llen(settings.CELERY_TASK_DEFAULT_QUEUE))
        memory: Any = client.info("memory")
    for name, text, field in STREAMS:
        yield gauge(name, text, {(each.name,): getattr(each, field) for each in states}, "stream")
    yield gauge("pharos_queue_tasks", "Tasks that wait for a worker.", waiting)
    yield gauge("pharos_redis_memory_bytes", "Memory that Redis has.", memory["used_memory"])


def _store() -> Iterator[Numbers]:
    stats = _stats()
    yield gauge("pharos_store_lines", "Lines in the log store.", stats["lines"])
    yield gauge("pharos_store_blocks", "Blocks that they are in.", stats["blocks"])
    yield gauge("pharos_store_bytes", "Bytes of these blocks.", stats["bytes"])
    waiting = DeadLetter.objects.filter(replayed_at=None).count()
    yield gauge("pharos_dead_letters_waiting", "Dead letters that were not sent again.", waiting)


def _services() -> Iterator[Numbers]:
    rows = Service.objects.order_by().values_list("status").annotate(Count("pk"))
    yield gauge("pharos_services", "Services, by their status.", _keyed(rows), "status")
    late = clock.now() - 10 * clock.SECOND
    overdue = Check.objects.filter(enabled=True, service__paused=False, due_at__gt=0, due_at__lt=late).count()
    yield gauge("pharos_checks_overdue", "Checks that are ten seconds or more behind their time.", overdue)


def _alerts() -> Iterator[Numbers]:
    alerts = Alert.objects.exclude(state="resolved").order_by().values_list("state", "severity").annotate(Count("pk"))
    yield gauge("pharos_alerts", "Alerts that have not ended.", _keyed(alerts), "state", "severity")
    incidents = Incident.objects.exclude(status="resolved").order_by().values_list("status").annotate(Count("pk"))
    yield gauge("pharos_incidents", "Incidents that are not resolved.", _keyed(incidents), "status")
    waiting = Delivery.objects.filter(due_at__isnull=False).count()
    yield gauge("pharos_deliveries_waiting", "Messages that are not delivered yet.", waiting)


def _machine() -> Iterator[Numbers]:
    disk = os.statvfs(settings.DATA_DIR)
    yield gauge("pharos_disk_free_bytes", "Room on the disk of the data directory.", disk.f_bavail * disk.f_frsize)
    yield gauge("pharos_disk_size_bytes", "Size of that disk.", disk.f_blocks * disk.f_frsize)


def _keyed(rows: Iterable[tuple[Any, ...]]) -> dict[Labels, float]:
    return {tuple(map(str, row[:-1])): float(row[-1]) for row in rows}


_known: tuple[float, dict[str, int]] = (0.0, {})
_lock = threading.Lock()


def _stats() -> dict[str, int]:
    global _known
    with _lock:
        if not _known[1] or time.monotonic() - _known[0] > STORE_EVERY:
            _known = time.monotonic(), log_stores["default"].stats()
        return _known[1]


PARTS: Final[Mapping[str, Callable[[], Iterable[Numbers]]]] = {
    "redis": _redis,
    "store": _store,
    "services": _services,
    "alerts": _alerts,
    "machine": _machine,
}
