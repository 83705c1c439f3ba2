"""What all conditions on containers share: which of them are meant, and how a time that has passed is played again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from django.db.models import Avg, F
from django.db.models.functions import Floor

from alerts.conditions.base import ConditionError, Measure, Measured, Replay, Sample, capped
from alerts.conditions.of_services import RESTING, Names, by_value, is_named, moments
from alerts.facts import ContainerFacts, Facts, Usage
from core import clock
from services.models import ContainerEvent, ContainerSample


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which containers: those of these names (* stands for any letters), services and hosts. What is empty leaves none
    out."""

    containers: Names = ()
    services: Names = ()
    hosts: Names = ()
    but: Names = ()  # without containers of these names


def chosen(config: Chosen, facts: Facts) -> Iterator[ContainerFacts]:
    """Without those of services of which nobody expects anything now."""
    for each in facts.containers.values():
        service = facts.services.get(each.service) if each.service else None
        if service is not None and service.status in RESTING:
            continue
        if (
            (not config.containers or is_named(each.name, config.containers))
            and (not config.services or (service is not None and is_named(service.name, config.services)))
            and (not config.hosts or is_named(each.host, config.hosts))
            and not is_named(each.name, config.but)
        ):
            yield each


def sample(each: ContainerFacts, facts: Facts, value: float, detail: str) -> Sample:
    service = facts.services.get(each.service) if each.service else None
    labels = {"container": each.name, "host": each.host}
    return Sample(labels | ({"service": service.name} if service else {}), value, detail)


def described(config: Chosen) -> str:
    """ "a container of the service api"."""
    parts = ["a container"]
    for what, names in (("of the name", config.containers), ("of the service", config.services)):
        if names:
            parts.append(f"{what} {' or '.join(names)}")
    if config.hosts:
        parts.append(f"on {' or '.join(config.hosts)}")
    if config.but:
        parts.append(f"without {', '.join(config.but)}")
    return " ".join(parts)


# --- What has passed -----------------------------------------------------------------------------------------------


Happened = tuple[datetime, str, str]  # at, kind, detail


def happened(
    containers: Iterable[int], start: datetime, end: datetime, kinds: Iterable[str]
) -> dict[int, list[Happened]]:
    """Events between two times, by container, the oldest first."""
    rows = ContainerEvent.objects.filter(container__in=list(containers), kind__in=list(kinds), at__gt=start, at__lt=end)
    found: dict[int, list[Happened]] = {}
    for pk, at, kind, detail in rows.order_by("at", "pk").values_list("container_id", "at", "kind", "detail"):
        found.setdefault(pk, []).append((at, kind, detail))
    return found


def counting(
    kinds: Mapping[str, int], tell: Callable[[Any, ContainerFacts, int], str], *, none_counts: bool
) -> tuple[Measure, Replay]:
    """`measure` and `replay` of conditions on how often something happened to each container in `config.window`. Each
    event of a kind counts as much as `kinds` says; `none_counts`: a container to which nothing happened has the value
    0, else it is left out."""

    def judge(config: Any, facts: Facts, numbers: Mapping[int, int]) -> Measured:
        meant = list(chosen(config, facts))
        found = [
            sample(each, facts, number, tell(config, each, number))
            for each in meant
            if (number := max(numbers[each.pk], 0)) or none_counts
        ]
        return Measured(by_value(found), no_data=not meant)

    def measure(config: Any, facts: Facts, *, most: int) -> Measured:
        numbers: Counter[int] = Counter()
        for event in facts.events(config.window):
            numbers[event.container] += kinds.get(event.kind, 0)
        return capped(judge(config, facts, numbers), most)

    def replay(
        config: Any, start: datetime, end: datetime, step: float, *, most: int
    ) -> Iterator[tuple[datetime, Measured]]:
        window = timedelta(seconds=config.window)
        facts = Facts(end, since=start)
        events = happened(facts.containers, start - window, end, kinds)
        coming = sorted(((at, pk, kinds[kind]) for pk, each in events.items() for at, kind, _ in each), reverse=True)
        there: deque[tuple[datetime, int, int]] = deque()
        numbers: Counter[int] = Counter()
        for at in moments(start, end, step):
            while coming and coming[-1][0] <= at:
                there.append(coming.pop())
                numbers[there[-1][1]] += there[-1][2]
            while there and there[0][0] <= at - window:
                _, pk, number = there.popleft()
                numbers[pk] -= number
            yield at, capped(judge(config, facts, numbers), most)

    return measure, replay


# --- What they use ---------------------------------------------------------------------------------------------------

MEANS = 300 * clock.SECOND  # a replay has the means of five minutes
MEANS_MAX = 500_000


class Used(Chosen, frozen=True):
    window: Annotated[int, msgspec.Meta(ge=30, le=3_600)] = 300  # seconds


def using(
    value: Callable[[ContainerFacts, Usage], float | None], tell: Callable[[Any, float], str]
) -> tuple[Measure, Replay]:
    """`measure` and `replay` of conditions on what containers use."""

    def judge(config: Used, facts: Facts, usages: Mapping[int, Usage], most: int) -> Measured:
        found = []
        for each in chosen(config, facts):
            used = usages.get(each.pk)
            if used is not None and (measured := value(each, used)) is not None:
                found.append(sample(each, facts, measured, tell(config, measured)))
        return capped(Measured(by_value(found), no_data=not found), most)

    def measure(config: Used, facts: Facts, *, most: int) -> Measured:
        return judge(config, facts, facts.usages(config.window), most)

    def replay(
        config: Used, start: datetime, end: datetime, step: float, *, most: int
    ) -> Iterator[tuple[datetime, Measured]]:
        facts = Facts(end, since=start)
        means = _means([each.pk for each in chosen(config, facts)], start, end)
        for at in moments(start, end, step):
            slot = clock.micros(at) // MEANS - 1  # the one that was over by then
            yield at, judge(config, facts, means.get(slot, {}), most)

    return measure, replay


def _means(containers: Collection[int], start: datetime, end: datetime) -> dict[int, dict[int, Usage]]:
    """By slot of five minutes and container."""
    since = (clock.micros(start) // MEANS - 1) * MEANS
    rows = ContainerSample.objects.filter(container__in=containers, at__gte=since, at__lt=clock.micros(end)).order_by()
    means = rows.annotate(slot=Floor(F("at") / float(MEANS))).values_list("slot", "container")
    if len(containers) * len(range(since, clock.micros(end), MEANS)) > MEANS_MAX:
        raise ConditionError(f"{len(containers):,} containers are too many for such a long time: choose fewer")
    found: dict[int, dict[int, Usage]] = {}
    for slot, pk, cpu, memory in means.annotate(Avg("cpu_percent"), Avg("memory_bytes")):
        found.setdefault(int(slot), {})[pk] = Usage(cpu, memory)
    return found
