"""Who looks on is told which services, or that containers, have changed. What they are now is in the database."""

from __future__ import annotations

from functools import cache
from typing import Final

from django.db import transaction

from core.wakeups import TOLD_MAX, Announcer, Publisher

__all__ = ["CONTAINERS", "CONTAINERS_EVENT", "EVENT", "GROUP", "TOLD_MAX", "announce", "announce_containers"]

GROUP: Final = "services"
EVENT: Final = "services.changed"
CONTAINERS: Final = "containers"  # another group: samples come every ten seconds, and don't concern services
CONTAINERS_EVENT: Final = "containers.changed"

announce = Announcer(GROUP, EVENT)


def announce_containers() -> None:
    """Some have changed, or were sampled. Once the transaction is over."""
    transaction.on_commit(lambda: _containers()(None), robust=True)


@cache
def _containers() -> Publisher[None]:
    return Publisher(CONTAINERS, CONTAINERS_EVENT, lambda before, after: None)
