"""Services and containers for the tests of pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from core import clock
from services.models import Check, CheckResult, Container, ContainerEvent, ContainerSample, DockerHost, Service
from services.status import Outcome

NEVER = 1 << 60  # as the time at which a check is due: nobody asks


def signed_in(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, password="secret")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def service(name: str, status: str = "healthy", reason: str = "", latency_ms: float = 42, **fields: Any) -> Service:
    """With a check that has answered just now. Made in bulk, for then nobody judges it anew, or asks."""
    since = timezone.now() - timedelta(minutes=2)
    [made] = Service.objects.bulk_create(
        [Service(name=name, status=status, reason=reason, status_since=since, **fields)]
    )
    now = clock.now()
    asked = Check(
        service=made,
        name="readiness",
        interval=86_400,
        due_at=NEVER,
        last_at=now,
        latency_us=round(latency_ms * 1_000),
        outcome=Outcome.UP if status == "healthy" else Outcome.UNREACHABLE,
        detail=reason,
        failure_threshold=1,
    )
    Check.objects.bulk_create([asked])
    CheckResult.objects.bulk_create(
        CheckResult(service_check=asked, at=now - n * clock.MINUTE, outcome=Outcome.UP, latency_us=1_000 * n)
        for n in range(5)
    )
    return made


def host(name: str = "prod-1", **fields: Any) -> DockerHost:
    """Nobody asks it."""
    known = {"address": f"tcp://{name}:2375", "due_at": NEVER} | fields
    return DockerHost.objects.get_or_create(name=name, defaults=known)[0]


def container(name: str, **fields: Any) -> Container:
    """With samples of the last minutes, and an event."""
    now = timezone.now()
    known: dict[str, Any] = {
        "host": fields.pop("host", None) or host(),
        "container_id": f"{name:0>64}"[-64:],
        "image": "registry.example.com/team/app:1.2",
        "state": "running",
        "state_since": now - timedelta(hours=1),
        "started_at": now - timedelta(hours=1),
        "cpu_percent": 12.0,
        "memory_bytes": 200 << 20,
        "memory_limit": 512 << 20,
    }
    made = Container.objects.create(name=name, **known | fields)
    ContainerSample.objects.bulk_create(
        ContainerSample(
            container=made, at=clock.now() - n * 30 * clock.SECOND, cpu_percent=10.0 + n, memory_bytes=200 << 20,
            network_rx=1_000.0, network_tx=500.0, block_read=0.0, block_write=10.0,
        )
        for n in range(10)
    )  # fmt: skip
    ContainerEvent.objects.create(container=made, at=now - timedelta(minutes=3), kind=ContainerEvent.Kind.START)
    return made
