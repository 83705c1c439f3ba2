"""Services and containers that the current viewer may see (`accounts.visibility`). Costs nothing for who sees all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import QuerySet

from accounts import visibility
from accounts.visibility import Visible
from services.models import Container, Service

SERVICE_LABEL: Final = "pharos.service"
SOMETHING: Final = "something"


def services(found: QuerySet[Service]) -> QuerySet[Service]:
    hidden = hidden_services()
    return found.exclude(pk__in=hidden) if hidden else found


def hidden_services() -> list[int]:
    """By id; in most installations none."""
    visible = visibility.current()
    return [pk for pk, _ in _hidden(visible)] if visible.limited else []


def containers(found: QuerySet[Container]) -> QuerySet[Container]:
    hidden = hidden_containers()
    return found.exclude(pk__in=hidden) if hidden else found


def hidden_containers() -> list[int]:
    visible = visibility.current()
    if not visible.limited:
        return []
    rows = Container.objects.order_by().values_list("pk", "service__name", "name", "compose_service", "labels")
    return [
        pk
        for pk, service, name, compose_service, labels in rows
        if not _shows(visible, service, [name, compose_service, labels.get(SERVICE_LABEL, "")])
    ]


def _shows(visible: Visible, service: str | None, names: Iterable[str]) -> bool:
    """One that belongs to no service is known by the names that its lines may have."""
    if service is not None:
        return visible.shows(service)
    return all(visible.shows(name) for name in names if name)


def discreet(text: str) -> str:
    """A reason, without the name of a service that the viewer doesn't see: see `services.status`."""
    visible = visibility.current()
    if not visible.limited or ", which it needs" not in text:
        return text
    for _, name in _hidden(visible):
        text = text.replace(f"{name}, which it needs", f"{SOMETHING}, which it needs")
    return text


def without_hidden(service: Service) -> Service:
    """The same row, with nothing in it of services that the viewer doesn't see. Not to be saved."""
    if visibility.current().limited:
        service.reason = discreet(service.reason)
        if service.explained_by and not visibility.current().shows(service.explained_by.name):
            service.explained_by = None
    return service


def rows_without_hidden(rows: Iterable[tuple[Any, ...]], fields: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """The same for rows of these fields."""
    if not visibility.current().limited:
        return rows
    reason, explained_by = fields.index("reason"), fields.index("explained_by_id")
    hidden = set(hidden_services())
    changed = []
    for row in rows:
        values = list(row)
        values[reason] = discreet(values[reason])
        values[explained_by] = None if values[explained_by] in hidden else values[explained_by]
        changed.append(tuple(values))
    return changed


def _hidden(visible: Visible) -> list[tuple[int, str]]:
    rows = Service.objects.order_by().values_list("pk", "name")
    return [(pk, name) for pk, name in rows if not visible.shows(name)]
