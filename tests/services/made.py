"""Services for tests, with what polling would have written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from core import clock
from services.models import Check, CheckResult, Service, StatusChange
from services.status import Outcome


def service(name: str = "worker", status: str = "healthy", reason: str = "", **fields: Any) -> Service:
    since = fields.pop("status_since", timezone.now() - timedelta(minutes=5))
    # In bulk, for then nobody judges it anew: it has no checks that would bear out its status.
    made = Service(name=name, status=status, reason=reason, status_since=since, **fields)
    return Service.objects.bulk_create([made])[0]


def check(of: Service, name: str = "readiness", outcome: Outcome | None = Outcome.UP, **fields: Any) -> Check:
    now = clock.now()
    fields = {"role": name, "latency_us": 42_000, "last_at": now, "outcome_since": now - clock.HOUR, **fields}
    made = Check(service=of, name=name, outcome=outcome, last_outcome=outcome, **fields)
    return Check.objects.bulk_create([made])[0]


def change(of: Service, at: datetime, new: str, old: str = "healthy", reason: str = "") -> StatusChange:
    return StatusChange.objects.create(service=of, at=at, noticed_at=at, old=old, new=new, reason=reason)


def result(of: Check, at: int, took: int | None = 42_000, **fields: Any) -> CheckResult:
    return CheckResult.objects.create(service_check=of, at=at, latency_us=took, **{"outcome": Outcome.UP, **fields})
