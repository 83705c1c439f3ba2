"""The fleet as services of Pharos, with their checks. In Django; `manage.py demo` calls it."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from examples.demo import fleet
from services.models import Category, Check, Dependency, Service
from services.status import Role

INTERVAL: Final = 2.0  # seconds: who breaks something wants to see it
SLOW_MS: Final = 1_000
ABOUT: Final = {
    "api": (Category.API, "Takes receipts and queues them", "Team Front"),
    "worker": (Category.WORKER, "Has receipts read, classified and told of", "Team Receipts"),
    "ocr": (Category.OCR, "Reads text from receipts", "Team Receipts"),
    "ml": (Category.ML, "Says what was bought", "Team Data"),
    "notification": (Category.OTHER, "Tells people by mail", "Team Front"),
}
# Who can't do its work without whom.
NEEDS: Final = {"api": ["worker"], "worker": ["ocr", "ml", "notification"]}


@transaction.atomic
def register() -> None:
    """What people changed since stays as it is, but for the addresses."""
    made = {name: _service(name) for name in fleet.NAMES}
    for name, parents in NEEDS.items():
        for parent in parents:
            Dependency.objects.get_or_create(child=made[name], parent=made[parent])


def _service(name: str) -> Service:
    category, description, owner = ABOUT[name]
    about = {"category": category, "description": description, "owner": owner, "labels": {"fleet": "demo"}}
    service, _ = Service.objects.get_or_create(name=name, defaults=about)
    _check(service, Role.LIVENESS, "http", "/health/live")
    _check(service, Role.READINESS, "health", "/health/ready")
    return service


def _check(service: Service, role: Role, kind: str, path: str) -> None:
    target = {"target": fleet.address(service.name) + path}
    about = {"role": role, "kind": kind, "interval": INTERVAL, "slow_ms": SLOW_MS}
    Check.objects.update_or_create(
        service=service, name=role.value, defaults=target, create_defaults={**about, **target}
    )
