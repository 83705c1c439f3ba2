"""A service is down."""

from __future__ import annotations

from alerts.conditions.base import whatever_fits
from alerts.conditions.of_services import Chosen, described, of_status
from services.status import Status

LABEL = "service: down"
HELP = "Services that are red. For how long they have to be so says the rule."
MEASURES = False
UNIT = "s"


class Config(Chosen, frozen=True):
    pass


check = whatever_fits


def describe(config: Config) -> str:
    return f"{described(config)} is down"


measure, replay = of_status(Status.DOWN)
