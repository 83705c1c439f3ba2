"""What containers use: a sample every ten seconds, kept for a day; means of five minutes, kept for a month."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import transaction
from django.db.models import Avg, F
from django.db.models.functions import Floor

from core import clock
from services import containers, live
from services.discovery import REMOVED
from services.models import Container, ContainerEvent, ContainerSample, DockerHost

if TYPE_CHECKING:
    from services.docker_stats import Counters

SPAN: Final = 10  # seconds
MEAN: Final = 300
FINE_FOR: Final = clock.DAY
KEPT_FOR: Final = 30 * clock.DAY
VALUES: Final = ("cpu_percent", "memory_bytes", "network_rx", "network_tx", "block_read", "block_write")

log = logging.getLogger(__name__)


def take(host: DockerHost, now: int) -> int:
    """Samples of all containers of a host that run; how many (`now` in µs)."""
    from services import docker_client

    rows = {
        row.container_id: row
        for row in Container.objects.filter(host=host, removed_at=None, state="running").only(
            "pk", "container_id", "counters", "cpu_percent", "memory_bytes", "memory_limit"
        )
    }
    try:
        engine = docker_client.engine(host)
        found = containers.each(_asking(engine), list(rows)) if rows else {}
    except docker_client.EngineError as error:
        log.debug("No samples of %s: %s", host.name, error)  # whether it is away is for who looks at it
        return 0
    counted = [(rows[pk], counters) for pk, counters in found.items() if counters]
    samples = [_sample(row, counters, now) for row, counters in counted]
    with transaction.atomic():
        ContainerSample.objects.bulk_create(samples)
        Container.objects.bulk_update(
            [row for row, _ in counted], ["counters", "cpu_percent", "memory_bytes", "memory_limit"]
        )
        if samples:
            live.announce_containers()
    return len(samples)


def _asking(engine: Any) -> Any:
    from services.docker_client import GoneError

    def ask(container: str) -> Counters | None:
        try:
            found: Counters | None = engine.counters(container)
        except GoneError:
            return None
        return found

    return ask


def _sample(row: Container, counters: Counters, now: int) -> ContainerSample:
    """Also leaves the counters in the row, for the next one."""
    from services.docker_stats import Counters, between

    used = between(msgspec.convert(row.counters, Counters) if row.counters else None, counters)
    row.counters = msgspec.to_builtins(counters)
    row.cpu_percent, row.memory_bytes, row.memory_limit = used.cpu_percent, counters.memory, counters.memory_limit
    return ContainerSample(
        container=row, at=now, span=SPAN, cpu_percent=used.cpu_percent, memory_bytes=counters.memory,
        network_rx=used.network_rx, network_tx=used.network_tx, block_read=used.block_read,
        block_write=used.block_write,
    )  # fmt: skip


# --- What is old ---------------------------------------------------------------------------------------------------


def keep_house(now: int, budget: float) -> int:
    """Thins samples, and deletes samples, events and removed containers that are too old; how many rows went. What is
    left after `budget` seconds waits for the next time."""
    end = time.monotonic() + budget
    gone = 0
    for container in Container.objects.order_by("pk").values_list("pk", flat=True):
        if time.monotonic() > end:
            return gone
        gone += _thin(container, now) + _forget(container, now)
    oldest = clock.moment(now - KEPT_FOR)
    # What stood for a service that somebody has deleted.
    Container.objects.filter(state=REMOVED, service=None, removed_at=None).update(removed_at=clock.moment(now))
    gone += ContainerEvent.objects.filter(at__lt=oldest).delete()[0]
    gone += Container.objects.filter(removed_at__lt=oldest).delete()[0]
    return gone


def _thin(container: int, now: int) -> int:
    """Whole five minutes only, so that each mean is made once."""
    step = MEAN * clock.SECOND
    until = (now - FINE_FOR) // step * step
    fine = ContainerSample.objects.filter(container=container, span=SPAN, at__lt=until)
    with transaction.atomic():
        means = list(
            fine.order_by()
            .annotate(slot=Floor(F("at") / float(step)))
            .values("slot")
            .annotate(**{f"mean_{name}": Avg(name) for name in VALUES})
        )
        if not means:
            return 0
        ContainerSample.objects.bulk_create([_mean(container, row, step) for row in means])
        return fine.delete()[0] - len(means)


def _mean(container: int, row: Mapping[str, Any], step: int) -> ContainerSample:
    values = {name: row[f"mean_{name}"] for name in VALUES}
    if values["memory_bytes"] is not None:
        values["memory_bytes"] = round(values["memory_bytes"])
    return ContainerSample(container_id=container, at=int(row["slot"]) * step, span=MEAN, **values)


def _forget(container: int, now: int) -> int:
    old = ContainerSample.objects.filter(container=container, at__lt=now - KEPT_FOR)
    return old.delete()[0]
