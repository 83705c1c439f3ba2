"""A container ended with an error."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from alerts.conditions import of_containers
from alerts.conditions.base import Measured, Sample, capped, whatever_fits
from alerts.conditions.of_containers import Chosen, Happened, described
from alerts.conditions.of_services import Episode, by_value, played
from alerts.facts import ContainerFacts, Facts
from services.models import ContainerEvent

LABEL = "container: exited"
HELP = "Containers, also jobs, that ended with an exit code that is not fine, until they run again or are removed."
MEASURES = False
UNIT = ""

Kind = ContainerEvent.Kind
ENDED = frozenset({"exited", "dead"})


class Config(Chosen, frozen=True):
    fine: Annotated[tuple[int, ...], msgspec.Meta(max_length=50)] = (0, 143)  # 143: somebody stopped it


check = whatever_fits


def describe(config: Config) -> str:
    return f"{described(config)} ended, not with {' or '.join(map(str, config.fine)) or 'anything'}"


def measure(config: Config, facts: Facts, *, most: int) -> Measured:
    meant = list(of_containers.chosen(config, facts))
    found = [
        _sample(each, facts, each.exit_code, facts.at - each.state_since, killed=each.oom_killed)
        for each in meant
        if each.state in ENDED and each.exit_code not in config.fine
    ]
    return capped(Measured(by_value(found), no_data=not meant), most)


def replay(
    config: Config, start: datetime, end: datetime, step: float, *, most: int
) -> Iterator[tuple[datetime, Measured]]:
    facts = Facts(end, since=start)
    meant = {each.pk: each for each in of_containers.chosen(config, facts)}
    kinds = (Kind.DIE, Kind.START, Kind.DESTROY)
    events = of_containers.happened(meant, start - timedelta(days=30), end, kinds)
    episodes = [episode for pk, each in events.items() for episode in _episodes(config, meant[pk], facts, each)]
    return played(episodes, start, end, step, most)


def _episodes(config: Config, each: ContainerFacts, facts: Facts, events: list[Happened]) -> Iterator[Episode]:
    """From an end to what came next."""
    ends = [at for at, _, _ in events[1:]] + [facts.at]
    for (at, kind, detail), until in zip(events, ends, strict=True):
        code = detail.removeprefix("exited with ")
        if kind == Kind.DIE and code not in map(str, config.fine):
            yield Episode(at, until, of_containers.sample(each, facts, (until - at).total_seconds(), detail))


def _sample(each: ContainerFacts, facts: Facts, code: int | None, since: timedelta, *, killed: bool) -> Sample:
    detail = f"exited with {code}" + ", out of memory" * killed
    return of_containers.sample(each, facts, max(since.total_seconds(), 0.0), detail)
