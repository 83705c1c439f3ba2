"""What is found on Docker hosts becomes services and checks, without a click; and a record of what was made, and why.

Labels are the configuration of what they made, for as long as nobody changes it here: a value that a person has changed
stays theirs. What labels made is never deleted by its containers going away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Final

import msgspec
from django.core.exceptions import ValidationError

from accounts.acting import TASK, Actor, acting
from accounts.trail import recording
from services import container_labels
from services.container_labels import Plan, PlannedCheck, Reach, Seen
from services.docker_answers import Inspected
from services.models import Check, Container, Dependency, DockerHost, Service

SERVICE_FIELDS: Final = ("category", "owner", "description")
CHECK_FIELDS: Final = ("role", "kind", "target", "interval", "timeout", "enabled")
DISCOVERY: Final = Actor(TASK, "discovery")  # as the audit trail names it, whoever looked at the host
REMOVED: Final = "removed"  # the state of a container that is gone and that nothing has replaced


def inside() -> bool:
    """Whether we run in a container ourselves."""
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()


def reach(host: DockerHost) -> Reach:
    return container_labels.reach(host.address, host.ports_at, inside=inside())


def plan(inspected: Inspected, reach: Reach) -> Plan:
    return container_labels.plan(
        Seen(
            name=inspected.plain_name,
            image=inspected.config.image,
            labels=inspected.labels,
            exposed=inspected.exposed,
            published=inspected.published,
            addresses=inspected.addresses,
            host_network=inspected.host_config.network_mode == "host",
            restart_policy=inspected.restart_policy,
        ),
        reach,
    )


# --- Which service a container is of -------------------------------------------------------------------------------


@acting(DISCOVERY)
def join(containers: Sequence[Container]) -> set[int]:
    """Gives each container the service that was planned for it (`Container.found`), and makes it where there is none.

    Returns the services that got or lost one.
    """
    wanted = {container: name for container in containers if (name := _plan(container).service)}
    names = {*wanted.values(), *(_of_project(container, name) for container, name in wanted.items())}
    known = {service.name: service for service in Service.objects.filter(name__in=names)}
    moved: set[int] = set()
    changed = []
    for container in containers:
        service = _service(container, wanted[container], known) if container in wanted else None
        if container.service_id == (service and service.pk):
            continue
        moved |= {pk for pk in (container.service_id, service and service.pk) if pk}
        container.service = service
        changed.append(container)
    Container.objects.bulk_update(changed, ["service"])
    return moved


def _service(container: Container, name: str, known: dict[str, Service]) -> Service:
    """Two projects may both have a “db”: the second one's is called after its project, too."""
    found, maker = _plan(container), _maker(container)
    service = known.get(name)
    if service and not found.named and service.managed_by not in ("", maker):
        name = _of_project(container, name)
        service = known.get(name)
    if service is None:
        values = _service_values(found)
        service, _ = Service.objects.get_or_create(
            name=name, defaults={**values, "managed_by": maker, "from_labels": values}
        )
        known[name] = service
    return service


def _of_project(container: Container, name: str) -> str:
    return f"{container.compose_project or container.host.name}-{name}"[:100]


def _maker(container: Container) -> str:
    """The same for all containers that follow each other or stand side by side."""
    if container.compose_service:
        return f"label:{container.compose_project}/{container.compose_service}"[:200]
    return f"label:{_plan(container).service}"[:200]


def _service_values(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in SERVICE_FIELDS}


def _plan(container: Container) -> Plan:
    return container_labels.from_json(container.found)


# --- What a service is like ----------------------------------------------------------------------------------------


@acting(DISCOVERY)
def bring(services: Iterable[int]) -> set[int]:
    """Makes and changes what labels say of these services. Returns those that have to be judged anew."""
    return _Writer(services).write() if services else set()


class _Writer:
    """Brings some services to what the labels of all their containers say. The number of questions is constant."""

    def __init__(self, services: Iterable[int]) -> None:
        self.services = Service.objects.in_bulk(list(services))
        self.containers: dict[int, list[Container]] = defaultdict(list)
        # One that was never started may wait for the place of another.
        there = Container.objects.filter(service__in=self.services, removed_at=None).exclude(
            state__in=[REMOVED, "created"]
        )
        for container in there.select_related("host").defer("host__tls").order_by("name", "pk"):
            assert container.service_id
            self.containers[container.service_id].append(container)
        self.checks: dict[int, dict[str, Check]] = defaultdict(dict)
        for check in Check.objects.filter(service__in=self.services).defer("secrets"):
            self.checks[check.service_id][check.name] = check

    def write(self) -> set[int]:
        """The services whose checks or parents are others than before."""
        touched = set()
        changed = []
        old = {}
        parents = self._parents()
        for pk, service in self.services.items():
            containers = self.containers[pk]
            if not containers:
                continue
            before = dict(service.from_labels)
            old[pk] = copy(service)
            if service.managed_by:
                _take_over(service, _service_values(_plan(containers[0])))
            if self._depend(service, parents[pk]) | self._check(service, containers):
                touched.add(pk)
            if service.from_labels != before:
                changed.append(service)
        Service.objects.bulk_update(changed, [*SERVICE_FIELDS, "from_labels"])
        recording.compared(old, changed)
        return touched

    def _check(self, service: Service, containers: Sequence[Container]) -> bool:
        wanted = _planned(containers)
        known = self.checks[service.pk]
        touched = False
        for name, (planned, container) in wanted.items():
            values = _check_values(planned)
            check = known.get(name)
            if check is None:
                if values["target"]:
                    touched |= _make(service, name, values, container)
            elif check.managed_by:
                values["target"] = values["target"] or check.from_labels.get("target", check.target)
                touched |= _bring(check, values)
        for name, check in known.items():
            if check.managed_by and name not in wanted:
                # Its results stay, and it goes on when the label is back.
                touched |= _bring(check, {**check.from_labels, "enabled": False})
        return touched

    def _parents(self) -> dict[int, set[str]]:
        """Of each service the names of those that it needs."""
        plans = {pk: [(each, _plan(each)) for each in containers] for pk, containers in self.containers.items()}
        projects = {each.compose_project for pairs in plans.values() for each, plan in pairs if plan.compose_parents}
        siblings: dict[tuple[int, str, str], str] = {}
        if projects:
            rows = Container.objects.filter(compose_project__in=projects, removed_at=None).exclude(service=None)
            for host, project, name, service in rows.values_list(
                "host", "compose_project", "compose_service", "service__name"
            ):
                siblings[host, project, name] = service
        found: dict[int, set[str]] = defaultdict(set)
        for pk, pairs in plans.items():
            for container, plan in pairs:
                keys = ((container.host_id, container.compose_project, name) for name in plan.compose_parents)
                found[pk] |= {*plan.parents, *(siblings[key] for key in keys if key in siblings)}
        self.by_name = dict(
            Service.objects.filter(name__in={name for names in found.values() for name in names}).values_list(
                "name", "pk"
            )
        )
        self.dependencies = set(Dependency.objects.filter(child__in=self.services).values_list("child", "parent__name"))
        return found

    def _depend(self, service: Service, names: set[str]) -> bool:
        """Adds and removes what labels say. A dependency that a person removed doesn't come back."""
        before = set(service.from_labels.get("parents", []))
        names = {name for name in names if name in self.by_name and self.by_name[name] != service.pk}
        fresh = {name for name in names - before if (service.pk, name) not in self.dependencies}
        if fresh:
            made = [Dependency(child=service, parent_id=self.by_name[name]) for name in sorted(fresh)]
            Dependency.objects.bulk_create(made, ignore_conflicts=True)
            parents = [each.parent_id for each in made]
            recording.compared({}, Dependency.objects.filter(child=service, parent__in=parents))
        stale = before - names
        if stale:
            Dependency.objects.filter(child=service, parent__name__in=stale).delete()
        if names != before:
            service.from_labels = {**service.from_labels, "parents": sorted(names)}
        return bool(fresh or stale)


def _planned(containers: Sequence[Container]) -> dict[str, tuple[PlannedCheck, Container]]:
    """Name of a check → what it is. Of several containers, those after the first have their name in it."""
    found: dict[str, tuple[PlannedCheck, Container]] = {}
    for container in containers:
        for check in _plan(container).checks:
            name = check.name if check.name not in found else f"{check.name} {container.name}"[:100]
            found[name] = check, container
    return found


def _check_values(planned: PlannedCheck) -> dict[str, Any]:
    return {**{field: getattr(planned, field) for field in CHECK_FIELDS[:-1]}, "enabled": True}


def _make(service: Service, name: str, values: Mapping[str, Any], container: Container) -> bool:
    check = Check(
        service=service, name=name, managed_by=_maker(container), from_labels=dict(values), **values,
    )  # fmt: skip
    if _refusal(check):
        return False
    check.save()
    return True


def _bring(check: Check, values: Mapping[str, Any]) -> bool:
    before = {field: getattr(check, field) for field in CHECK_FIELDS}
    remembered = dict(check.from_labels)
    _take_over(check, values)
    if check.from_labels == remembered or _refusal(check):
        return False
    check.save(update_fields=[*CHECK_FIELDS, "from_labels"])
    return before != {field: getattr(check, field) for field in CHECK_FIELDS}


def _take_over(row: Service | Check, values: Mapping[str, Any]) -> None:
    """Values that are as labels said the last time become what they say now; others are a person's."""
    last = row.from_labels
    for name, value in values.items():
        if name in last and name != "parents" and getattr(row, name) == last[name]:
            setattr(row, name, value)
    row.from_labels = {**last, **values}


def _refusal(check: Check) -> str:
    """Labels are judged as a form would be: why there can't be such a check, "" if there can."""
    try:
        check.clean_fields(exclude=["service", "kind"])
        check.clean()
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


# --- What was found ------------------------------------------------------------------------------------------------


class Found(msgspec.Struct, frozen=True):
    """A container, and what was made of it."""

    container: Container  # with its host and its service
    plan: Plan
    checks: tuple[Check, ...]  # those that labels made, of its service
    changed: tuple[str, ...]  # sentences: what a person has changed since
    refused: tuple[str, ...]  # sentences: what labels ask for and can't be

    @property
    def why(self) -> tuple[str, ...]:
        return self.plan.why

    @property
    def problems(self) -> tuple[str, ...]:
        return self.plan.problems + self.refused


def found() -> list[Found]:
    """Every container that is there, by host and name. Two questions, whatever their number."""
    containers = list(
        Container.objects.filter(removed_at=None)
        .select_related("host", "service")
        .defer("host__tls")
        .order_by("host__name", "name", "pk")
    )
    checks: dict[int, list[Check]] = defaultdict(list)
    for check in Check.objects.exclude(managed_by="").defer("secrets").order_by("name"):
        checks[check.service_id].append(check)
    return [_found(container, tuple(checks[container.service_id or 0])) for container in containers]


def _found(container: Container, checks: tuple[Check, ...]) -> Found:
    changed = []
    service = container.service
    if service and not service.managed_by:
        changed.append("The service is a person's: labels add checks and dependencies to it, and change nothing.")
    elif service:
        fields = [name for name in SERVICE_FIELDS if getattr(service, name) != service.from_labels.get(name)]
        changed += [f"A person has changed its {name}: it stays as it is." for name in fields]
    for check in checks:
        fields = [name for name in CHECK_FIELDS if getattr(check, name) != check.from_labels.get(name)]
        changed += [f"A person has changed {name} of the check {check.name}: it stays as it is." for name in fields]
    plan = _plan(container)
    missing = [
        planned for planned in plan.checks if planned.target and planned.name not in {each.name for each in checks}
    ]
    refused = [
        f"The check {planned.name} was not made: {reason}"
        for planned in missing
        if (reason := _refusal(Check(service=service, name=planned.name, **_check_values(planned))))
    ]
    return Found(container, plan, checks, tuple(changed), tuple(refused))
