"""Who looks on is told which services, or that containers, have changed. What they are now is in the database."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from typing import Final

from django.db import transaction

from core.wakeups import Publisher

GROUP: Final = "services"
EVENT: Final = "services.changed"
CONTAINERS: Final = "containers"  # another group: samples come every ten seconds, and don't concern services
CONTAINERS_EVENT: Final = "containers.changed"
TOLD_MAX: Final = 500  # ids in one wake-up; of more: [] for "many, look at everything"

News = list[int]


def announce(services: Iterable[int]) -> None:
    """Once the transaction is over."""
    told = sorted(set(services))
    if told:
        transaction.on_commit(partial(_tell, told), robust=True)


def _tell(services: News) -> None:
    _publisher()(services[: TOLD_MAX + 1])


def _merge(before: News, after: News) -> News:
    return sorted({*before, *after})[: TOLD_MAX + 1]


@cache
def _publisher() -> Publisher[News]:
    return Publisher(GROUP, EVENT, _merge)


def announce_containers() -> None:
    """Some have changed, or were sampled. Once the transaction is over."""
    transaction.on_commit(lambda: _containers()(None), robust=True)


@cache
def _containers() -> Publisher[None]:
    return Publisher(CONTAINERS, CONTAINERS_EVENT, lambda before, after: None)
