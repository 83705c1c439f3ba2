"""The health check of a container fails, as its engine says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.conditions import of_containers
from alerts.conditions.base import Measured, capped, whatever_fits
from alerts.conditions.of_containers import Chosen, described
from alerts.conditions.of_services import Episode, by_value, played
from alerts.facts import Facts
from services.models import ContainerEvent

LABEL = "container: unhealthy"
HELP = "Containers that run, and whose own health check fails."
MEASURES = False
UNIT = ""

Kind = ContainerEvent.Kind


class Config(Chosen, frozen=True):
    pass


check = whatever_fits


def describe(config: Config) -> str:
    return f"{described(config)} is unhealthy"


def measure(config: Config, facts: Facts, *, most: int) -> Measured:
    meant = list(of_containers.chosen(config, facts))
    found = [
        of_containers.sample(each, facts, max((facts.at - each.state_since).total_seconds(), 0.0), _told(each.detail))
        for each in meant
        if each.state == "running" and each.health == "unhealthy"
    ]
    return capped(Measured(by_value(found), no_data=not any(each.health for each in meant)), most)


def replay(
    config: Config, start: datetime, end: datetime, step: float, *, most: int
) -> Iterator[tuple[datetime, Measured]]:
    facts = Facts(end, since=start)
    meant = {each.pk: each for each in of_containers.chosen(config, facts)}
    kinds = (Kind.HEALTH, Kind.DIE, Kind.DESTROY)
    events = of_containers.happened(meant, start - timedelta(days=30), end, kinds)
    episodes = []
    for pk, each in events.items():
        ends = [at for at, _, _ in each[1:]] + [end]
        for (at, kind, health), until in zip(each, ends, strict=True):
            if kind == Kind.HEALTH and health == "unhealthy":
                seconds = (until - at).total_seconds()
                episodes.append(Episode(at, until, of_containers.sample(meant[pk], facts, seconds, _told(""))))
    return played(episodes, start, end, step, most)


def _told(detail: str) -> str:
    return f"unhealthy: {detail}" if detail else "unhealthy"
