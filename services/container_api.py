"""`GET /api/containers`: the containers of all Docker hosts, as they are now."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from accounts.api import for_readers, json_response
from core import clock
from core.parameters import number
from services import visible
from services.models import Container
from services.statuses import describe

LIMIT_MAX: Final = 1_000


@for_readers("services.view_service", "see services and containers")
def containers(request: HttpRequest) -> HttpResponse:
    """Parameters: `service`, `host`, `project`, `state` (Docker's word), `limit`, and `after` (the last `id`)."""
    limit = number(request.GET, "limit", default=LIMIT_MAX, low=1, high=LIMIT_MAX)
    after = number(request.GET, "after", default=0, low=0, high=1 << 62)
    found = list(_asked(request).filter(pk__gt=after).order_by("pk")[: limit + 1])
    return json_response(
        {
            "containers": [_as_json(container) for container in found[:limit]],
            "next": found[limit - 1].pk if len(found) > limit else None,
        }
    )


PARAMETERS: Final = {
    "service": "service__name",
    "host": "host__name",
    "project": "compose_project",
    "state": "state",
}


def _asked(request: HttpRequest) -> QuerySet[Container]:
    wanted = {field: value for name, field in PARAMETERS.items() if (value := request.GET.get(name, "").strip())}
    found = visible.containers(Container.objects.filter(removed_at=None, **wanted)).select_related("host", "service")
    return found.defer("labels", "found", "counters", "host__tls")


def _as_json(container: Container) -> dict[str, Any]:
    """`state` is what the engine said last: `known` is false while its host is away."""
    return {
        "id": container.pk,
        "container_id": container.container_id,
        "name": container.name,
        "host": container.host.name,
        "known": not container.host.away and container.host.enabled,
        "state": container.state,
        "health": container.health,
        "since": _iso(container.state_since),
        "detail": describe(container),
        "service": container.service.name if container.service else None,
        "image": container.image,
        "image_id": container.image_id,
        "compose_project": container.compose_project,
        "compose_service": container.compose_service,
        "exit_code": container.exit_code,
        "oom_killed": container.oom_killed,
        "restart_count": container.restart_count,
        "restarts_again_and_again": container.looping_since is not None,
        "started_at": _iso(container.started_at),
        "finished_at": _iso(container.finished_at),
        "cpu_percent": container.cpu_percent,
        "memory_bytes": container.memory_bytes,
        "memory_limit": container.memory_limit,
    }


def _iso(moment: datetime | None) -> str | None:
    return clock.iso(clock.micros(moment)) if moment else None
