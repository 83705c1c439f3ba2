"""What is known of a service → its status, with the sentence that explains it. Pure.

green   healthy       it runs, and every check is up
yellow  degraded      it runs, and a check fails or says "degraded"
red     down          it is stopped, or doesn't answer
grey    unknown       nothing is known (yet, or any more)
grey    paused        somebody turned it off
blue    maintenance   somebody works on it, as planned
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _


class Outcome(IntegerChoices):
    """What a check found, the worst last."""

    UP = 0, _("up")
    DEGRADED = 1, _("degraded")  # it says so itself, or is slow
    FAILING = 2, _("failing")  # it answers, but not as it should
    UNREACHABLE = 3, _("unreachable")  # no answer, or a server error


class Status(TextChoices):
    HEALTHY = "healthy", _("healthy")
    DEGRADED = "degraded", _("degraded")
    DOWN = "down", _("down")
    UNKNOWN = "unknown", _("unknown")
    PAUSED = "paused", _("paused")
    MAINTENANCE = "maintenance", _("maintenance")


COLOURS: Final = {
    Status.HEALTHY: "green",
    Status.DEGRADED: "yellow",
    Status.DOWN: "red",
    Status.UNKNOWN: "grey",
    Status.PAUSED: "grey",
    Status.MAINTENANCE: "blue",
}
# Problems first, as lists show them.
ORDER: Final = (
    Status.DOWN,
    Status.DEGRADED,
    Status.UNKNOWN,
    Status.MAINTENANCE,
    Status.HEALTHY,
    Status.PAUSED,
)


class Role(TextChoices):
    """What a check says about its service."""

    LIVENESS = "liveness", _("liveness: whether it runs")
    READINESS = "readiness", _("readiness: whether it can do its work")
    HEALTH = "health", _("health: how it is")


class Means(TextChoices):
    """What it means for the service when a check is answered, but not as it should be."""

    AUTO = "auto", _("down for liveness, else degraded")
    DEGRADED = "degraded", _("degraded")
    DOWN = "down", _("down")


class CheckFacts(msgspec.Struct, frozen=True):
    id: int
    name: str
    outcome: Outcome | None  # None: no result, or none that is recent
    since: datetime | None = None
    detail: str = ""  # "database unhealthy", "connection refused"
    role: str = Role.HEALTH
    failing_means: str = Means.AUTO


class ContainerFacts(msgspec.Struct, frozen=True):
    name: str
    state: str  # Docker's word, "removed", "completed" for a job that is done, or "" when its host is away
    health: str = ""  # "healthy", "unhealthy", "starting" or "" without a health check
    since: datetime | None = None
    detail: str = ""  # "exited with 137, out of memory"

    @property
    def known(self) -> bool:
        return self.state != ""

    @property
    def runs(self) -> bool:
        return self.state == "running"

    @property
    def stopped(self) -> bool:
        """What was made and not started yet isn't, nor is a job that is done."""
        return self.known and self.state not in ("running", "created", "completed")


class ParentFacts(msgspec.Struct, frozen=True):
    id: int
    name: str
    status: str


class Facts(msgspec.Struct, frozen=True):
    paused: bool = False
    maintenance: str = ""  # the name of the window that is open …
    maintenance_since: datetime | None = None  # … and when it opened
    checks: Sequence[CheckFacts] = ()
    containers: Sequence[ContainerFacts] = ()
    parents: Sequence[ParentFacts] = ()


class Verdict(msgspec.Struct, frozen=True):
    status: Status
    reason: str  # a sentence without its subject and its end: "readiness fails: database unhealthy"
    since: datetime | None = None  # when it really began, if anybody knows
    check: int | None = None  # whose finding it is
    parent: int | None = None  # whose trouble explains this one

    @property
    def colour(self) -> str:
        return COLOURS[self.status]


def judge(facts: Facts) -> Verdict:
    if facts.paused:
        return Verdict(Status.PAUSED, "paused")
    if facts.maintenance:
        return Verdict(Status.MAINTENANCE, f"maintenance: {facts.maintenance}", facts.maintenance_since)
    problems = [*_of_containers(facts.containers), *_of_checks(facts.checks)]
    if problems:
        # Of equals the first: that a container stopped explains that nobody answers.
        return _explained(min(problems, key=lambda verdict: ORDER.index(verdict.status)), facts.parents)
    return _without_problems(facts)


def _of_containers(containers: Sequence[ContainerFacts]) -> Iterator[Verdict]:
    known = [each for each in containers if each.known]
    stopped = [each for each in known if each.stopped]
    if stopped:
        first = min(stopped, key=_age)
        what = f"container {first.name} {first.detail or f'is {first.state}'}"
        if len(stopped) == len(known):
            newest = max((each.since for each in stopped if each.since), default=None)
            yield Verdict(Status.DOWN, what, newest)
        else:
            yield Verdict(Status.DEGRADED, f"{len(stopped)} of {len(known)} containers don't run: {what}", first.since)
    for each in known:
        if each.runs and each.health == "unhealthy":
            why = f": {each.detail}" if each.detail else ""
            yield Verdict(Status.DEGRADED, f"container {each.name} is unhealthy{why}", each.since)


def _of_checks(checks: Sequence[CheckFacts]) -> Iterator[Verdict]:
    for check in checks:
        if check.outcome is None or check.outcome == Outcome.UP:
            continue
        why = f": {check.detail}" if check.detail else ""
        yield Verdict(_weight(check), f"{check.name} {_VERBS[check.outcome]}{why}", check.since, check.id)


_VERBS: Final = {
    Outcome.DEGRADED: "is degraded",
    Outcome.FAILING: "fails",
    Outcome.UNREACHABLE: "is unreachable",
}


def _weight(check: CheckFacts) -> Status:
    if check.outcome == Outcome.UNREACHABLE:
        return Status.DOWN
    if check.outcome == Outcome.DEGRADED:
        return Status.DEGRADED
    if check.failing_means != Means.AUTO:
        return Status(check.failing_means)
    return Status.DOWN if check.role == Role.LIVENESS else Status.DEGRADED


def _explained(verdict: Verdict, parents: Sequence[ParentFacts]) -> Verdict:
    down = next((parent for parent in parents if parent.status == Status.DOWN), None)
    if down is None:
        return verdict
    reason = f"{down.name}, which it needs, is down; {verdict.reason}"
    return msgspec.structs.replace(verdict, reason=reason, parent=down.id)


def _without_problems(facts: Facts) -> Verdict:
    silent = [check.name for check in facts.checks if check.outcome is None]
    if silent:
        return Verdict(Status.UNKNOWN, f"no recent result of {', '.join(silent)}")
    if facts.checks:
        return Verdict(Status.HEALTHY, "every check is up")
    if any(each.known for each in facts.containers):
        starting = [each.name for each in facts.containers if each.health == "starting"]
        if starting:
            return Verdict(Status.UNKNOWN, f"container {starting[0]} is starting")
        waiting = [each.name for each in facts.containers if each.state == "created"]
        if waiting:
            return Verdict(Status.UNKNOWN, f"container {waiting[0]} was made, and not started")
        if all(each.state == "completed" for each in facts.containers if each.known):
            return Verdict(Status.HEALTHY, "its job is done")
        return Verdict(Status.HEALTHY, "its container runs" if len(facts.containers) == 1 else "its containers run")
    if facts.containers:
        return Verdict(Status.UNKNOWN, "the Docker host is away")
    return Verdict(Status.UNKNOWN, "nothing is checked yet")


def _age(container: ContainerFacts) -> float:
    return container.since.timestamp() if container.since else float("inf")
