"""A service is degraded."""

from __future__ import annotations

from alerts.conditions.base import whatever_fits
from alerts.conditions.of_services import Chosen, described, of_status
from services.status import Status

LABEL = "service: degraded"
HELP = "Services that are yellow. For how long they have to be so says the rule."
MEASURES = False
UNIT = "s"


class Config(Chosen, frozen=True):
    pass


check = whatever_fits


def describe(config: Config) -> str:
    return f"{described(config)} is degraded"


measure, replay = of_status(Status.DEGRADED)
