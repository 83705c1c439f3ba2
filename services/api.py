"""Services over HTTP: how all are, one by one, the results of their checks; and check now, pause, resume.

Reading needs a session with the right to see services, or a key with the scope "read"; the rest a key with "admin".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Any, Final

from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict

from accounts import api, visibility
from accounts.api import json_response
from core import clock
from core.parameters import ParameterError, choices, moment, number
from services import polling, visible
from services.models import Category, Check, CheckResult, Container, Service
from services.probes import Measurement
from services.status import COLOURS, Outcome, Status

READ: Final = "services.view_service"
LIMIT_MAX: Final = 1_000
PERIOD: Final = clock.DAY  # of results, without "from"

for_readers = api.for_readers(READ, "see services")


@for_readers
def status(request: HttpRequest) -> HttpResponse:
    """All services, as a status board needs them: one answer, three queries."""
    services = visible.services(Service.objects.select_related("explained_by")).prefetch_related(_containers())
    found = [_brief(service) for service in services]
    return json_response(
        {
            "time": clock.iso(clock.now()),
            "counts": dict(Counter(each["colour"] for each in found)),
            "services": found,
        }
    )


@for_readers
def services(request: HttpRequest) -> HttpResponse:
    limit = number(request.GET, "limit", default=100, low=1, high=LIMIT_MAX)
    after = number(request.GET, "after", default=0, low=0, high=1 << 62)
    page = list(_whole(_filtered(request.GET)).filter(pk__gt=after).order_by("pk")[: limit + 1])
    more = len(page) > limit
    page = page[:limit]
    return json_response({"services": [_full(each) for each in page], "next": str(page[-1].pk) if more else None})


def _filtered(params: QueryDict) -> QuerySet[Service]:
    """Raises ParameterError."""
    found = visible.services(Service.objects.all())
    if text := params.get("q", "").strip():
        found = found.filter(Q(name__icontains=text) | Q(description__icontains=text) | Q(owner__icontains=text))
    if names := choices(params, "status", Status.values):
        found = found.filter(status__in=names)
    if colours := choices(params, "colour", sorted(set(COLOURS.values()))):
        found = found.filter(status__in=[each for each, colour in COLOURS.items() if colour in colours])
    if kinds := choices(params, "kind", Category.values):
        found = found.filter(category__in=kinds)
    if owner := params.get("owner", "").strip():
        found = found.filter(owner=owner)
    if label := params.get("label", "").strip():
        found = found.filter(pk__in=_labelled(label))
    return found


def _labelled(wanted: str) -> list[int]:
    """ "team" or "team:payments". Databases differ in how they look into JSON; there are few services."""
    name, colon, value = wanted.partition(":")
    rows = Service.objects.exclude(labels={}).values_list("pk", "labels")
    return [pk for pk, labels in rows if name in labels and (not colon or labels[name] == value)]


@for_readers
def service(request: HttpRequest, pk: int) -> HttpResponse:
    found = _whole(visible.services(Service.objects.filter(pk=pk))).first()
    return json_response(_full(found)) if found else not_found(pk)


def not_found(pk: int) -> HttpResponse:
    return json_response({"error": f"there is no service {pk}; GET /api/services lists them"}, 404)


def _containers() -> Prefetch[str, Any, str]:
    return Prefetch("containers", Container.objects.filter(removed_at=None).select_related("host").defer("labels"))


def _whole(services: QuerySet[Service]) -> QuerySet[Service]:
    checks = Prefetch("checks", Check.objects.defer("secrets", "options"))
    return services.select_related("explained_by").prefetch_related(_containers(), checks, "parents")


def _brief(service: Service) -> dict[str, Any]:
    service = visible.without_hidden(service)
    return {
        "id": service.pk,
        "name": service.name,
        "kind": service.category,
        "status": service.status,
        "colour": service.colour,
        "since": _time(service.status_since),
        "reason": service.reason,
        "explained_by": service.explained_by and service.explained_by.name,
        "containers": [_container(each) for each in service.containers.all()],
    }


def _container(container: Container) -> dict[str, Any]:
    state = "unknown" if container.host.away else container.state
    return {"name": container.name, "state": state, "health": container.health, "since": _time(container.state_since)}


def _full(service: Service) -> dict[str, Any]:
    return {
        **_brief(service),
        "description": service.description,
        "owner": service.owner,
        "labels": service.labels,
        "needs": [each.name for each in service.parents.all() if visibility.current().shows(each.name)],
        "sla_target": float(service.sla_target),
        "paused": service.paused,
        "checks": [_check(each) for each in service.checks.all()],
    }


def _check(check: Check) -> dict[str, Any]:
    """Without options and secrets: those are for who may change it."""
    return {
        "id": check.pk,
        "name": check.name,
        "role": check.role,
        "kind": check.kind,
        "target": check.target,
        "interval": check.interval,
        "enabled": check.enabled,
        "outcome": _outcome(check.outcome),
        "since": check.outcome_since and clock.iso(check.outcome_since),
        "asked": check.last_at and clock.iso(check.last_at),
        "latency_ms": _ms(check.latency_us),
        "detail": check.detail,
        "parts": [_part(part) for part in check.parts],
        "expires": _time(check.expires_at),
    }


def _part(part: dict[str, Any]) -> dict[str, Any]:
    since = part.get("since")
    return {**part, "outcome": _outcome(part["outcome"]), **({"since": clock.iso(since)} if since else {})}


def _outcome(outcome: int | None) -> str | None:
    return None if outcome is None else Outcome(outcome).name.lower()


def _ms(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000


def _time(moment: datetime | None) -> str | None:
    return clock.iso(clock.micros(moment)) if moment else None


# --- Results -------------------------------------------------------------------------------------------------------


@for_readers
def results(request: HttpRequest, pk: int) -> HttpResponse:
    """Newest first. Each check is read by its own index, and the streams are merged: a page costs a page."""
    now = clock.now()
    end = moment(request.GET, "to", default=now + 1, now=now)
    start = moment(request.GET, "from", default=max(end - PERIOD, 0), now=now)
    if start >= end:
        raise ParameterError("from", f"must be before to, but {clock.iso(start)} is not before {clock.iso(end)}")
    limit = number(request.GET, "limit", default=100, low=1, high=LIMIT_MAX)
    wanted = Q(at__gte=start, at__lt=end) & _after(request.GET.get("after", ""))
    if pk in visible.hidden_services():
        return not_found(pk)
    names = dict(_checks_of(pk, request.GET.get("check", "").strip()))
    if not names and not Service.objects.filter(pk=pk).exists():
        return not_found(pk)
    streams = [
        CheckResult.objects.filter(wanted, service_check=check).order_by("-at", "-pk")[: limit + 1] for check in names
    ]
    page = list(islice(merge(*streams, key=lambda row: (-row.at, -row.pk)), limit + 1))
    more = len(page) > limit
    page = page[:limit]
    return json_response(
        {
            "results": [_result(each, names[each.service_check_id]) for each in page],
            "next": f"{page[-1].at}-{page[-1].pk}" if more else None,
        }
    )


def _checks_of(service: int, name: str) -> list[tuple[int, str]]:
    """Raises ParameterError for a check that the service doesn't have."""
    found = list(Check.objects.filter(service=service).values_list("pk", "name"))
    if not name:
        return found
    chosen = [each for each in found if each[1] == name]
    if not chosen and found:
        raise ParameterError("check", f"expected one of {', '.join(each for _, each in found)}, got {name[:40]!r}")
    return chosen


def _after(cursor: str) -> Q:
    """Raises ParameterError."""
    if not cursor:
        return Q()
    match = re.fullmatch(r"(\d{1,18})-(\d{1,18})", cursor)
    if not match:
        raise ParameterError("after", f"expected the cursor next of the page before, got {cursor[:40]!r}")
    at, pk = int(match[1]), int(match[2])
    return Q(at__lte=at) & ~Q(at=at, pk__gte=pk)


def _result(result: CheckResult, check: str) -> dict[str, Any]:
    return {
        "time": clock.iso(result.at),
        "check": check,
        "outcome": _outcome(result.outcome),
        "latency_ms": _ms(result.latency_us),
        "detail": result.detail,
        "parts": [_part(part) for part in result.parts or []],
    }


# --- What changes something ----------------------------------------------------------------------------------------


@api.for_admin_keys
def check_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks every check of it at once. The raw answers are not told: they are for who may change the checks."""
    found = visible.services(Service.objects.filter(pk=pk)).first()
    if found is None:
        return not_found(pk)
    asked = [(check, polling.check_now(check)) for check in found.checks.filter(enabled=True)]
    return json_response({**_now(found), "checks": [_measured(check, answer) for check, answer in asked]})


@api.for_admin_keys
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    return _changed(pk, polling.pause)


@api.for_admin_keys
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    return _changed(pk, polling.resume)


def _changed(pk: int, verb: Callable[[Service], object]) -> HttpResponse:
    found = visible.services(Service.objects.filter(pk=pk)).first()
    if found is None:
        return not_found(pk)
    verb(found)
    return json_response(_now(found))


def _now(service: Service) -> dict[str, Any]:
    service.refresh_from_db()
    service = visible.without_hidden(service)
    return {"id": service.pk, "status": service.status, "colour": service.colour, "reason": service.reason}


def _measured(check: Check, found: Measurement) -> dict[str, Any]:
    outcome = Outcome(found.outcome).name.lower()
    return {"name": check.name, "outcome": outcome, "latency_ms": found.latency_ms, "detail": found.detail}
