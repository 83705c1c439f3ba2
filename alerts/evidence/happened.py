"""What happened to the service, to what it needs, and to their containers."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Q

from alerts.evidence.scene import Scene, Taken, count_words, iso
from services.containers import deploys
from services.models import Container, ContainerEvent, StatusChange

ROWS_MAX: Final = 50
DEPLOYS: Final = timedelta(days=7)
DEPLOYS_MAX: Final = 5


def changes(scene: Scene) -> Taken:
    found = StatusChange.objects.filter(service__in=scene.services, at__gte=scene.since, at__lt=scene.until)
    rows = sorted(found.order_by("-at", "-pk")[:ROWS_MAX], key=lambda row: (row.at, row.pk))
    if not rows:
        return None
    data = [
        {
            "at": iso(row.at),
            "service": scene.services[row.service_id],
            "old": row.old,
            "new": row.new,
            "reason": row.reason,
        }
        for row in rows
    ]
    return {"changes": data}, count_words(len(rows), "change") + " of status"


def containers(scene: Scene) -> Taken:
    where = Q(service__in=scene.services)
    if name := scene.labels.get("container"):
        where |= Q(container__in=Container.objects.filter(name=name).values("pk")[:ROWS_MAX])
    found = ContainerEvent.objects.filter(where, at__gte=scene.since, at__lt=scene.until).select_related("container")
    rows = sorted(found.order_by("-at", "-pk")[:ROWS_MAX], key=lambda row: (row.at, row.pk))
    if not rows:
        return None
    data = [
        {
            "at": iso(row.at),
            "service": scene.services.get(row.service_id or 0, ""),
            "container": row.container.name,
            "kind": row.kind,
            "detail": row.detail,
        }
        for row in rows
    ]
    return {"events": data}, count_words(len(rows), "container event")


def deploy(scene: Scene) -> Taken:
    found = [
        (at, name, what)
        for pk, name in scene.services.items()
        for at, what in deploys(pk, scene.opened - DEPLOYS, scene.until)
    ]
    if not found:
        return None
    newest = sorted(found, reverse=True)[:DEPLOYS_MAX]
    data = [{"at": iso(at), "service": name, "what": what} for at, name, what in newest]
    return {"deploys": data}, f"deploy {newest[0][2]}"
