"""Services with a history of 90 days, for benchmarks and pictures: what polling would have left in the database.

    DJANGO_SETTINGS_MODULE=monitor.settings python -m benchmarks.fleet --services 1000

The first dozen are those of a small shop, with `worker` down since two minutes because its Redis refuses; the rest are
numbered. The same each time but for the time.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import django
from django.utils import timezone

SHOP: Final = (
    ("api-gateway", "api", "platform", 42), ("worker", "worker", "receipts", 38), ("ocr", "ocr", "receipts", 118),
    ("ml", "ml", "data", 212), ("billing", "billing", "payments", 77), ("auth", "sso", "platform", 31),
    ("postgres", "database", "platform", 4), ("redis", "cache", "platform", 1), ("storefront", "web", "shop", 64),
    ("nightly-backup", "job", "platform", 12), ("payment-provider", "external", "payments", 240),
    ("object-storage", "storage", "platform", 22),
)  # fmt: skip
OWNERS: Final = ("platform", "payments", "receipts", "data", "shop")
DAYS: Final = 90
DOWN_FOR: Final = timedelta(minutes=2, seconds=10)
FRESH: Final = 120  # results of each check, an interval apart
INTERVAL: Final = 10.0  # seconds


def fill(count: int, now: datetime) -> None:
    from services import models

    random = Random(7)
    named = [*SHOP, *((f"service-{n:04d}", "api", OWNERS[n % 5], 20 + n % 180) for n in range(len(SHOP), count))][
        :count
    ]
    services = models.Service.objects.bulk_create(
        models.Service(
            name=name, category=category, owner=owner, status="healthy", reason="every check is up",
            labels={"team": owner, "env": "production" if n % 7 else "staging"}, created_at=now - timedelta(days=DAYS),
        )
        for n, (name, category, owner, _) in enumerate(named)
    )  # fmt: skip
    checks = models.Check.objects.bulk_create(
        models.Check(
            service=service, name=role, role=role, kind="http", interval=INTERVAL, target="http://127.0.0.1:9/health",
            enabled=True, outcome=0, last_outcome=0, outcome_since=_micros(now - timedelta(days=3)),
            last_at=_micros(now), latency_us=int(took * 1_000), due_at=_micros(now + timedelta(days=30)),
        )
        for service, (*_, took) in zip(services, named, strict=True)
        for role in ("readiness", "liveness")
    )  # fmt: skip
    models.StatusChange.objects.bulk_create(
        change for n, service in enumerate(services) for change in _changes(service, random, n, now)
    )
    usual = {check.pk: check.latency_us or 1_000 for check in checks}
    models.CheckHour.objects.bulk_create(_hours(models, usual, random, now), batch_size=5_000)
    models.CheckResult.objects.bulk_create(_results(models, usual, random, now), batch_size=5_000)
    _break(models, now)


def _micros(moment: datetime) -> int:
    from core import clock

    return clock.micros(moment)


def _changes(service: Any, random: Random, n: int, now: datetime) -> Iterator[Any]:
    from services.models import StatusChange

    born = now - timedelta(days=DAYS - n % 4)
    yield StatusChange(service=service, at=born, noticed_at=born, old="unknown", new="healthy")
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        at = now - timedelta(days=random.uniform(1, DAYS - 5))
        bad = random.choice(("down", "down", "degraded"))
        why = random.choice(
            ("readiness fails: answered 500", "readiness is unreachable: connection refused", "out of memory")
        )
        over = at + timedelta(minutes=random.uniform(1, 40))
        yield StatusChange(service=service, at=at, noticed_at=at, old="healthy", new=bad, reason=why)
        yield StatusChange(
            service=service, at=over, noticed_at=over, old=bad, new="healthy", reason="every check is up"
        )


def _hours(models: Any, usual: dict[int, int], random: Random, now: datetime) -> Iterator[Any]:
    from core import clock

    hour = _micros(now) // clock.HOUR * clock.HOUR
    for n, (check, took) in enumerate(usual.items()):
        for back in range(24 * 30 if n < 2 * len(SHOP) else 24):
            wave = 1 + 0.25 * math.sin(back / 3.8 + check) + random.uniform(-0.1, 0.1)
            p50 = int(took * wave)
            yield models.CheckHour(
                service_check_id=check, hour=hour - back * clock.HOUR, up=360, p50_us=p50, p95_us=int(p50 * 2.4),
                max_us=int(p50 * random.uniform(3, 5)),
                parts={"database": 4 * wave, "redis": 1.5 * wave, "queue": 2 * wave} if n % 2 == 0 else None,
            )  # fmt: skip


def _results(models: Any, usual: dict[int, int], random: Random, now: datetime) -> Iterator[Any]:
    end = _micros(now)
    for n, (check, took) in enumerate(usual.items()):
        shop = n < 4
        for back in range(24 * 360 if shop else FRESH // 6):
            wave = 1 + 0.25 * math.sin(back / 500 + check) + abs(random.gauss(0, 0.35))
            yield models.CheckResult(
                service_check_id=check, at=end - int(back * INTERVAL * 1e6), outcome=0, latency_us=int(took * wave),
                parts=[
                    {"path": "database", "outcome": 0, "latency_ms": 4 * wave},
                    {"path": "redis", "outcome": 0, "latency_ms": 1.5 * wave},
                    {"path": "queue", "outcome": 0, "detail": "12 waiting", "latency_ms": 2 * wave},
                ] if shop and n % 2 == 0 and back < 1_100 else None,
            )  # fmt: skip


def _break(models: Any, now: datetime) -> None:
    """`worker` is down, `ml` degraded, `object-storage` paused, `storefront` in maintenance; and so is each 50th."""
    at = now - DOWN_FOR
    since = _micros(at)
    trouble = {
        "worker": ("down", "readiness is unreachable: answered 503"),
        "ml": ("degraded", "readiness is degraded: model cache degraded"),
        "object-storage": ("paused", "paused"),
        "storefront": ("maintenance", "maintenance: new shop window"),
    }
    others = models.Service.objects.filter(name__startswith="service-").order_by("pk")[::50]
    trouble |= {each.name: ("down", "readiness is unreachable: connection refused") for each in others}
    for service in models.Service.objects.filter(name__in=trouble):
        status, reason = trouble[service.name]
        check = service.checks.get(role="readiness")
        service.status, service.reason, service.status_since = status, reason, at
        service.culprit = check if status in {"down", "degraded"} else None
        service.paused = status == "paused"
        service.save()
        models.StatusChange.objects.create(
            service=service, at=at, noticed_at=at, old="healthy", new=status, reason=reason, culprit=service.culprit
        )
        if status in {"down", "degraded"}:
            check.outcome = check.last_outcome = 3 if status == "down" else 1
            check.outcome_since, check.detail = since, reason.partition(": ")[2]
            check.save()
            models.CheckResult.objects.filter(service_check=check, at__gte=since).update(
                outcome=check.outcome, detail=check.detail, parts=None
            )
    models.Check.objects.filter(service__name="worker", role="readiness").update(
        parts=[
            {"path": "database", "outcome": 0, "detail": "healthy", "latency_ms": 4.1, "since": since - 10**12},
            {"path": "redis", "outcome": 3, "detail": "connection refused", "since": since - 10**8},
            {"path": "queue", "outcome": 0, "detail": "12 waiting", "latency_ms": 2.0, "since": since - 10**12},
            {"path": "external.ocr", "outcome": 0, "latency_ms": 31.0, "since": since - 10**12},
            {"path": "external.payments", "outcome": 0, "latency_ms": 84.0, "since": since - 10**12},
        ]
    )
    _needs_and_containers(models, at)


def _needs_and_containers(models: Any, at: datetime) -> None:
    known = {service.name: service for service in models.Service.objects.filter(name__in=[name for name, *_ in SHOP])}
    models.Dependency.objects.bulk_create(
        models.Dependency(child=known[child], parent=known[parent])
        for child, parent in (("worker", "redis"), ("worker", "postgres"), ("api-gateway", "worker"))
        if child in known and parent in known
    )
    if "worker" not in known:
        return
    host = models.DockerHost.objects.create(name="local", address="unix:///var/run/docker.sock", enabled=False)
    container = models.Container.objects.create(
        host=host, container_id="c0ffee", name="shop-worker-1", service=known["worker"], image="shop/worker:2.4.2",
        state="running", health="unhealthy", state_since=at, restart_count=3, cpu_percent=12.0, memory_bytes=212 << 20,
    )  # fmt: skip
    models.ContainerEvent.objects.create(
        container=container, service=known["worker"], at=at - timedelta(hours=5), kind="deploy", detail="2.4.2"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1_000)
    arguments = parser.parse_args()
    django.setup()
    fill(arguments.services, timezone.now())


if __name__ == "__main__":
    main()
