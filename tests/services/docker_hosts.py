"""Containers as an engine would describe them, written down without an engine."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from services import container_rows, statuses
from services.docker_answers import Event, Inspected
from services.models import DockerHost

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_ids = (f"{number:064x}" for number in itertools.count(1))


def host(name: str = "here", address: str = "unix:///docker.sock") -> DockerHost:
    return DockerHost.objects.get_or_create(name=name, defaults={"address": address})[0]


def inspected(
    name: str,
    labels: Mapping[str, str] = {},
    *,
    state: str = "running",
    at: datetime = NOW,
    image: str = "shop:1",
    ip: str = "172.18.0.5",
    restarts: int = 0,
    **more: Any,
) -> Inspected:
    """One whose state began at `at`; `more` is of its "State"."""
    runs = state == "running"
    known = {
        "Id": next(_ids),
        "Name": f"/{name}",
        "Created": at.isoformat(),
        "Image": f"sha256:{image}",
        "RestartCount": restarts,
        "State": {
            "Status": state,
            "StartedAt": at.isoformat() if runs else "",
            "FinishedAt": "" if runs else at.isoformat(),
            **more,
        },
        "Config": {"Image": image, "Labels": dict(labels), "ExposedPorts": {"8080/tcp": {}}},
        "NetworkSettings": {"Networks": {"a": {"IPAddress": ip if runs else ""}}},
    }
    return msgspec.convert(known, Inspected)


def compose(project: str, service: str, **labels: str) -> dict[str, str]:
    own = {f"pharos.{name}": value for name, value in labels.items()}
    return {"com.docker.compose.project": project, "com.docker.compose.service": service, **own}


def write(
    *containers: Inspected,
    gone: Collection[str] = (),
    events: Sequence[Event] = (),
    now: datetime = NOW,
    on: DockerHost | None = None,
    everything: bool = False,
) -> None:
    """As a look at a host writes it."""
    found = {each.id: each for each in containers}
    changed = container_rows.write(on or host(), found, set(gone), events, now, everything=everything)
    statuses.settle(changed, now)


def event(container: Inspected, action: str, seconds: float = 0, value: str = "", **attributes: str) -> Event:
    at = NOW + timedelta(seconds=seconds)
    return Event(container.id, action, int(at.timestamp() * 1e6) * 1_000, value, attributes)


def changed(container: Inspected, **fields: Any) -> Inspected:
    """The same container, seen later. Fields of the state have a prefix: state_status="exited"."""
    state = {name.removeprefix("state_"): value for name, value in fields.items() if name.startswith("state_")}
    rest = {name: value for name, value in fields.items() if not name.startswith("state_")}
    return msgspec.structs.replace(container, state=msgspec.structs.replace(container.state, **state), **rest)


def paper_container(name: str, labels: Mapping[str, str] = {}) -> dict[str, Any]:
    """As an engine sends it."""
    found: dict[str, Any] = msgspec.to_builtins(inspected(name, labels))
    return found


def labels_of(**given: str) -> dict[str, str]:
    return {f"pharos.{name}": value for name, value in given.items()}
