"""A job did not run: its ping is missing, or says that it failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.conditions import of_services
from alerts.conditions.base import Measured, Sample, capped, whatever_fits
from alerts.conditions.of_services import Chosen, Episode, Names, described
from alerts.facts import CheckFacts, Facts, ServiceFacts
from core import clock
from services.models import CheckResult
from services.status import Outcome

LABEL = "service: heartbeat missing"
HELP = "Jobs whose ping is overdue, or whose run takes too long; with failed also those that say that they failed."
MEASURES = False
UNIT = "s"


class Config(Chosen, frozen=True):
    jobs: Names = ()  # checks of the kind heartbeat, by their names
    failed: bool = True


check = whatever_fits


def describe(config: Config) -> str:
    return f"a job of {described(config)} did not run" + (", or failed" if config.failed else "")


def measure(config: Config, facts: Facts, *, most: int) -> Measured:
    jobs = list(_jobs(config, facts))
    samples = [
        _sample(service, each, each.detail, facts.at - clock.moment(each.outcome_since or clock.micros(facts.at)))
        for service, each in jobs
        if each.outcome in _bad(config)
    ]
    return capped(Measured(of_services.by_value(samples), no_data=not jobs), most)


def replay(
    config: Config, start: datetime, end: datetime, step: float, *, most: int
) -> Iterator[tuple[datetime, Measured]]:
    jobs = {each.pk: (service, each) for service, each in _jobs(config, Facts(end))}
    rows = CheckResult.objects.filter(service_check__in=jobs, at__lt=clock.micros(end))
    episodes = []
    for pk, (service, each) in jobs.items():
        until = end
        # From the newest to the one that says how it was at the start.
        for at, outcome, detail in rows.filter(service_check=pk).order_by("-at").values_list("at", "outcome", "detail"):
            since = clock.moment(at)
            if outcome in _bad(config):
                episodes.append(Episode(since, until, _sample(service, each, detail, until - since)))
            until = since
            if since <= start:
                break
    return of_services.played(episodes, start, end, step, most)


def _jobs(config: Config, facts: Facts) -> Iterator[tuple[ServiceFacts, CheckFacts]]:
    for service, each in of_services.checks(config, facts):
        if each.kind == "heartbeat" and (not config.jobs or of_services.is_named(each.name, config.jobs)):
            yield service, each


def _bad(config: Config) -> set[Outcome]:
    return {Outcome.UNREACHABLE, Outcome.FAILING} if config.failed else {Outcome.UNREACHABLE}


def _sample(service: ServiceFacts, each: CheckFacts, detail: str, since: timedelta) -> Sample:
    return Sample({"service": service.name, "check": each.name}, max(since.total_seconds(), 0.0), detail)
