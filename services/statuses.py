"""The one place where the status of a service is written.

`settle` looks at everything that is known of some services, judges it (`services.status`), and where the verdict is
another one than before writes it down, adds the change to the history, and tells those who look on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import Prefetch

from core import clock
from services import live, windows
from services.models import Check, Container, Dependency, Service, StatusChange
from services.status import CheckFacts, ContainerFacts, Facts, Outcome, ParentFacts, Status, Verdict, judge

STALE_INTERVALS: Final = 3  # a check that had no result for so many intervals is not known any more
STALE_MIN: Final = 60.0  # seconds
UNUSED: Final = ("labels", "found", "counters", "host__tls")  # of containers: long, and the last one costs a decryption
DEPTH_MAX: Final = 10  # generations that are told of a parent's trouble


def settle(services: Iterable[int], now: datetime) -> list[StatusChange]:
    """The changes, parents first. Children of what changed are settled, too."""
    wanted = set(services)
    changes: list[StatusChange] = []
    for _ in range(DEPTH_MAX):
        if not wanted:
            break
        # A child is judged after the parents that may explain it.
        turn = wanted - _children(wanted) or wanted
        with transaction.atomic():
            fresh, written = _settle_all(list(_load(turn)), now)
            live.announce(written)
        changes += fresh
        wanted = (wanted - turn) | _children({change.service_id for change in fresh})
    return changes


def _children(services: Collection[int]) -> set[int]:
    if not services:
        return set()
    return set(Dependency.objects.filter(parent__in=services).values_list("child", flat=True))


def _load(services: Iterable[int]) -> Iterable[Service]:
    # Locked before anything else is read: of two that judge a service, the later one knows more.
    found = Service.objects.filter(pk__in=list(services)).select_for_update(no_key=True)
    return found.prefetch_related(
        Prefetch("checks", Check.objects.filter(enabled=True).defer("secrets")),
        Prefetch("containers", Container.objects.filter(removed_at=None).select_related("host").defer(*UNUSED)),
        "parents",
    )


class _Planned(NamedTuple):
    """The maintenance windows of some services, by the service's id."""

    open: Mapping[int, windows.Open]
    closed: Mapping[int, datetime]  # when the last one did, of those whose status doesn't know it yet


def _planned(services: Collection[Service], now: datetime) -> _Planned:
    opened = windows.open_windows({service.pk for service in services}, now)
    ended = [each.pk for each in services if each.status == Status.MAINTENANCE and each.pk not in opened]
    return _Planned(opened, windows.closings(ended, now) if ended else {})


def _settle_all(services: Collection[Service], now: datetime) -> tuple[list[StatusChange], list[int]]:
    """The changes, and all services that something was written of: a reason may change alone."""
    planned = _planned(services, now)
    changes, written = [], []
    for service in services:
        told, change = _settle(service, now, planned)
        if told:
            written.append(service.pk)
        if change:
            changes.append(change)
    return changes, written


def _settle(service: Service, now: datetime, planned: _Planned) -> tuple[bool, StatusChange | None]:
    verdict = judge(facts_of(service, now, planned.open.get(service.pk)))
    old, reason = service.status, verdict.reason[:500]
    told = (verdict.status, reason, verdict.check, verdict.parent)
    if told == (old, service.reason, service.culprit_id, service.explained_by_id):
        return False, None
    values: dict[str, object] = {
        "status": verdict.status,
        "reason": reason,
        "culprit_id": verdict.check,
        "explained_by_id": verdict.parent,
    }
    if verdict.status != old:
        values["status_since"] = at = _since(service, verdict, now, planned.closed.get(service.pk))
    # Two workers may have found the same: one writes it.
    if not Service.objects.filter(pk=service.pk, status=old, status_since=service.status_since).update(**values):
        return False, None
    if verdict.status == old:
        return True, None
    change = StatusChange.objects.create(
        service=service, at=at, noticed_at=now, old=old, new=verdict.status, reason=reason,
        culprit_id=verdict.check, explained_by_id=verdict.parent,
    )  # fmt: skip
    return True, change


def _since(service: Service, verdict: Verdict, now: datetime, closed: datetime | None) -> datetime:
    """When it really began: never before the status that it ends, never in the future."""
    since = verdict.since or now
    if service.status == Status.PAUSED:
        since = now  # what began meanwhile was not to count
    elif service.status == Status.MAINTENANCE and verdict.status != Status.PAUSED:
        # It goes on to the end of the window; of a window that was deleted or moved to now.
        over = closed if closed and closed > service.status_since else now
        since = max(verdict.since or over, over)
    return min(max(since, service.status_since), now)


def facts_of(service: Service, now: datetime, window: windows.Open | None) -> Facts:
    """`service` as `_load` gives it, with its window that is open."""
    return Facts(
        paused=service.paused,
        maintenance=window.name if window else "",
        maintenance_since=window.since if window else None,
        checks=[_check(check, now) for check in service.checks.all()],
        containers=[_container(container) for container in service.containers.all()],
        parents=[ParentFacts(parent.pk, parent.name, parent.status) for parent in service.parents.all()],
    )


def _check(check: Check, now: datetime) -> CheckFacts:
    known = check.outcome is not None and not is_stale(check, now)
    return CheckFacts(
        check.pk,
        check.name,
        Outcome(check.outcome) if known and check.outcome is not None else None,
        clock.moment(check.outcome_since) if check.outcome_since else None,
        check.detail,
        check.role,
        check.failing_means,
    )


def is_stale(check: Check, now: datetime) -> bool:
    """Whether its last result is too old to say anything. Heartbeats say nothing for as long as all is well."""
    if check.kind == "heartbeat" or check.last_at is None:
        return False
    patience = max(STALE_INTERVALS * check.interval + check.timeout, STALE_MIN)
    return clock.moment(check.last_at) < now - timedelta(seconds=patience)


def _container(container: Container) -> ContainerFacts:
    return ContainerFacts(
        container.name,
        _state(container),
        container.health,
        container.looping_since or container.state_since,
        describe(container),
    )


def _state(container: Container) -> str:
    if container.host.away or not container.host.enabled:
        return ""
    if container.looping_since:
        return "restarting"  # also while it runs for a moment
    if container.state == "exited" and container.job and container.exit_code == 0:
        return "completed"
    if container.state == "created" and container.exit_code:
        return "exited"  # it could not be started
    return container.state


def describe(container: Container) -> str:
    """How a container is, as the end of a sentence: "exited with 137, out of memory"."""
    if container.looping_since:
        return f"restarts again and again, last exit code {container.exit_code}"
    if container.state == "restarting":
        return f"is restarting after exit code {container.exit_code}"
    if container.state == "exited":
        return f"exited with {container.exit_code}" + ", out of memory" * container.oom_killed
    if container.state == "created" and container.exit_code:
        return "could not be started" + (f": {container.detail}" if container.detail else "")
    if container.state == "removed":
        return "was removed"
    if container.health == "unhealthy":
        return container.detail
    return ""
