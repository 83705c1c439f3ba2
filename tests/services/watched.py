"""Services and checks of the tests."""

from __future__ import annotations

from typing import Any

from services.models import Check, Service
from services.probes import Measurement
from services.recording import Observation
from services.status import Outcome


def watched(name: str = "shop", **fields: Any) -> Check:
    """A check of a service of its own. `fields` are the check's."""
    service = Service.objects.create(name=name)
    return Check.objects.create(service=service, **{"target": f"http://{name}.example/", **fields})


def many(count: int, **fields: Any) -> list[int]:
    """As many checks as that, each of a service of its own; their ids."""
    services = Service.objects.bulk_create(Service(name=f"service {number:04}") for number in range(count))
    return [check.pk for check in Check.objects.bulk_create(Check(service=each, **fields) for each in services)]


def answer(check: Check | int, at: int, outcome: Outcome = Outcome.UP, detail: str = "", **more: Any) -> Observation:
    pk = check.pk if isinstance(check, Check) else check
    return Observation(
        pk, at, Measurement(outcome, detail, more.pop("latency_ms", None), more.pop("parts", ())), **more
    )
