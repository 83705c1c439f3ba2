"""What all conditions on services and their checks share: which of them are meant, and how a time that has passed is
played again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec

from alerts.conditions.base import Measure, Measured, Replay, Sample, capped
from alerts.facts import CheckFacts, Facts, ServiceFacts
from services import availability
from services.models import Service
from services.models.watched import Category
from services.status import Status

Names = Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...], msgspec.Meta(max_length=200)]

RESTING: Final = frozenset({Status.PAUSED, Status.MAINTENANCE})  # nobody expects anything of them


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which services: all that are named (* stands for any letters), are of these categories and have these labels.
    What is empty leaves none out."""

    services: Names = ()
    categories: Annotated[tuple[Category, ...], msgspec.Meta(max_length=50)] = ()
    labels: dict[str, str] = {}
    but: Names = ()  # without these

    def has(self, service: ServiceFacts) -> bool:
        return (
            (not self.services or is_named(service.name, self.services))
            and (not self.categories or service.category in self.categories)
            and all(service.labels.get(name) == text for name, text in self.labels.items())
            and not is_named(service.name, self.but)
        )


def is_named(name: str, wanted: Iterable[str]) -> bool:
    return any(name == each or fnmatchcase(name, each) for each in wanted)


def chosen(config: Chosen, facts: Facts) -> list[ServiceFacts]:
    """Those that are meant, by their names."""
    return [service for service in facts.services.values() if config.has(service)]


def checks(config: Chosen, facts: Facts) -> Iterator[tuple[ServiceFacts, CheckFacts]]:
    """The checks of those that are meant, without those of which nobody expects anything."""
    for each in facts.checks:
        service = facts.services.get(each.service)
        if service is not None and service.status not in RESTING and config.has(service):
            yield service, each


def by_value(samples: Iterable[Sample], *, lowest_first: bool = False) -> Sequence[Sample]:
    return sorted(samples, key=lambda each: each.value, reverse=not lowest_first)


def described(config: Chosen) -> str:
    """ "a service of the category database"."""
    parts = []
    if config.services:
        parts.append(f"of the name {' or '.join(config.services)}")
    if config.categories:
        parts.append(f"of the category {' or '.join(config.categories)}")
    if config.labels:
        parts.append(f"with {', '.join(f'{name}={text}' for name, text in config.labels.items())}")
    if config.but:
        parts.append(f"without {', '.join(config.but)}")
    return " ".join(["a service", *parts])


# --- The status ----------------------------------------------------------------------------------------------------


def of_status(wanted: Status) -> tuple[Measure, Replay]:
    """`measure` and `replay` of "its status is …"."""

    def measure(config: Chosen, facts: Facts, *, most: int) -> Measured:
        meant = chosen(config, facts)
        found = [_sample(each, each.reason, facts.at - each.status_since) for each in meant if each.status == wanted]
        nothing = all(each.status == Status.UNKNOWN for each in meant)
        return capped(Measured(by_value(found), no_data=nothing), most)

    def replay(
        config: Chosen, start: datetime, end: datetime, step: float, *, most: int
    ) -> Iterator[tuple[datetime, Measured]]:
        meant = all_chosen(config)
        episodes = []
        for pk, history in availability.histories(meant, start, end).items():
            for span in availability.spans(history.told, start, end, history.status, history.windows):
                if span.status == wanted:
                    reason = span.change.reason if span.change else ""
                    episodes.append(Episode(span.start, span.end, _sample(meant[pk], reason, span.end - span.start)))
        return played(episodes, start, end, step, most)

    return measure, replay


def _sample(service: ServiceFacts, reason: str, since: timedelta) -> Sample:
    return Sample({"service": service.name}, max(since.total_seconds(), 0.0), reason)


# --- What has passed -----------------------------------------------------------------------------------------------


class Episode(msgspec.Struct, frozen=True):
    """A time in which something was found."""

    start: datetime
    end: datetime
    sample: Sample


def all_chosen(config: Chosen) -> dict[int, ServiceFacts]:
    """As they are now: nobody knows their labels of then."""
    rows = Service.objects.order_by("name").values_list(*ServiceFacts._fields)
    return {row[0]: facts for row in rows if config.has(facts := ServiceFacts(*row))}


def moments(start: datetime, end: datetime, step: float) -> Iterator[datetime]:
    at = start
    while at < end:
        yield at
        at += timedelta(seconds=step)


def played(
    episodes: Iterable[Episode], start: datetime, end: datetime, step: float, most: int
) -> Iterator[tuple[datetime, Measured]]:
    """What would have been found, from when until when it was so."""
    coming = sorted(episodes, key=lambda each: each.start, reverse=True)
    there: list[Episode] = []
    for at in moments(start, end, step):
        there = [each for each in there if each.end > at]
        while coming and coming[-1].start <= at:
            if (episode := coming.pop()).end > at:
                there.append(episode)
        yield at, capped(Measured([each.sample for each in there]), most)
