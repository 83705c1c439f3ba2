"""Docker hosts and their containers: what happens there becomes rows. Nothing here changes a container.

Each second the hosts that are due are claimed, and each is looked at in a thread of its own: one whose engine hangs
costs nobody else anything. A look asks for the events since the last one, up to now, so there is neither a connection
that stays nor a gap: engines keep their newest events. What was touched is inspected, and so is everything now and
then, after a gap, and when an engine has come back.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from django.db import close_old_connections, transaction

from core import clock
from services import container_rows, live, statuses
from services.discovery import REMOVED
from services.models import Container, ContainerEvent, DockerHost, Service

if TYPE_CHECKING:
    from services.docker_answers import Event, Info, Inspected
    from services.docker_client import Engine

EVERY: Final = 900_000  # µs between two looks at a host: less than beat's second, so that no tick finds it not due
SAMPLE_EVERY: Final = 10 * clock.SECOND
LIST_EVERY: Final = 30 * clock.SECOND
LEASE: Final = 60 * clock.SECOND  # after that a worker that took a host counts as dead
AWAY_MAX: Final = 15 * clock.SECOND  # the longest time between two tries at a host that is away
GAP: Final = 60_000_000_000  # ns; engines keep 256 events, so over more than that some may be lost
CONTAINERS_MAX: Final = 500  # of one host
HOSTS_AT_ONCE: Final = 16
ASKED_AT_ONCE: Final = 8  # questions to one engine
SAME_DEPLOY: Final = timedelta(minutes=10)
DEPLOYS_MAX: Final = 50  # events that are looked at, the newest

log = logging.getLogger(__name__)

T = TypeVar("T")


# --- Each second ---------------------------------------------------------------------------------------------------


def tick(now: int) -> list[Future[None]]:
    """Starts to look at the hosts that are due (`now` in µs), and does not wait for it."""
    jobs = [_hosts().submit(_job, look, host) for host in claim(now)]
    return jobs + [_hosts().submit(_job, _sample, host) for host in _claim_samples(now)]


def claim(now: int) -> list[DockerHost]:
    """Hosts that nobody else looks at until their lease is over."""
    token = secrets.token_hex(8)
    due = list(DockerHost.objects.filter(enabled=True, due_at__lte=now).values_list("pk", "due_at"))
    mine = [
        pk
        for pk, due_at in due
        if DockerHost.objects.filter(pk=pk, due_at=due_at, enabled=True).update(due_at=now + LEASE, claim=token)
    ]
    return list(DockerHost.objects.filter(pk__in=mine)) if mine else []


def _claim_samples(now: int) -> list[DockerHost]:
    due = DockerHost.objects.filter(enabled=True, away=False, sample_due_at__lte=now).exclude(listed_at=0)
    return [
        host
        for host in due
        if DockerHost.objects.filter(pk=host.pk, sample_due_at=host.sample_due_at).update(
            sample_due_at=now + SAMPLE_EVERY
        )
    ]


@cache
def _hosts() -> ThreadPoolExecutor:
    """Made with the first host. Celery's own threads are for work that is sure to end soon."""
    return ThreadPoolExecutor(HOSTS_AT_ONCE, thread_name_prefix="docker-host")


def _job(work: Callable[[DockerHost], None], host: DockerHost) -> None:
    close_old_connections()
    try:
        work(host)
    except Exception:
        log.exception("Docker host %s can't be looked at", host.name)
    finally:
        close_old_connections()


def _sample(host: DockerHost) -> None:
    from services import samples

    samples.take(host, clock.now())


# --- A look at a host ----------------------------------------------------------------------------------------------


class Look(msgspec.Struct):
    """What an engine said."""

    events: Sequence[Event]
    until: int  # ns by its clock
    inspected: Mapping[str, Inspected]
    gone: set[str]  # ids
    info: Info | None = None  # when everything was looked at
    left_out: int = 0  # containers beyond CONTAINERS_MAX


def look(host: DockerHost) -> None:
    """Asks the engine, writes down what it said, and settles the services that it is about."""
    from services import docker_client

    started = clock.now()
    changed: Iterable[int]
    try:
        found = _ask(docker_client.engine(host), host, started)
    except docker_client.EngineError as error:
        docker_client.forget(host.pk)
        changed = _away(host, str(error))
        pause = _patience(host, started)
    else:
        changed = _write(host, found, started)
        pause = EVERY
    statuses.settle(changed, clock.moment(clock.now()))
    DockerHost.objects.filter(pk=host.pk, claim=host.claim).update(due_at=started + pause, claim="")


def _patience(host: DockerHost, now: int) -> int:
    """The longer an engine has been away, the less often it is asked."""
    away = now - clock.micros(host.seen_at) if host.seen_at else AWAY_MAX
    return min(max(away // 4, EVERY), AWAY_MAX)


def _ask(engine: Engine, host: DockerHost, now: int) -> Look:
    from services.docker_client import MARGIN

    everything = host.away or not host.events_until or now - host.listed_at >= LIST_EVERY
    info = engine.info() if everything else None
    until = engine.now() - MARGIN
    since = host.events_until + 1
    if not host.events_until or not 0 <= until - since <= GAP:  # the first look, a gap, or a clock that was set
        everything, events = True, []
    else:
        events = engine.events(since, until)
    info = info or (engine.info() if everything else None)
    destroyed = {event.container for event in events if event.action == "destroy"}
    if not everything:
        inspected = _inspect(engine, sorted({event.container for event in events} - destroyed))
        return Look(events, until, _there(inspected), destroyed | {pk for pk, it in inspected.items() if it is None})
    ids = engine.containers()
    inspected = _inspect(engine, ids[:CONTAINERS_MAX])
    known = set(
        Container.objects.filter(host=host, removed_at=None)
        .exclude(state=REMOVED)
        .values_list("container_id", flat=True)
    )
    gone = (known - set(ids)) | destroyed | {pk for pk, it in inspected.items() if it is None}
    return Look(events, until, _there(inspected), gone, info, max(len(ids) - CONTAINERS_MAX, 0))


def _inspect(engine: Engine, ids: Sequence[str]) -> dict[str, Inspected | None]:
    """None: it is gone."""
    from services.docker_client import GoneError

    def inspect(container: str) -> Inspected | None:
        try:
            return engine.inspect(container)
        except GoneError:
            return None

    return each(inspect, ids)


def each(work: Callable[[str], T], ids: Sequence[str]) -> dict[str, T]:
    """A few at once. The first error ends it."""
    if len(ids) <= 1:
        return {one: work(one) for one in ids}
    pool = ThreadPoolExecutor(min(ASKED_AT_ONCE, len(ids)), thread_name_prefix="docker-question")
    try:
        return dict(zip(ids, pool.map(work, ids), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)


def _there(inspected: Mapping[str, Inspected | None]) -> dict[str, Inspected]:
    return {pk: it for pk, it in inspected.items() if it is not None}


def _write(host: DockerHost, found: Look, started: int) -> set[int]:
    """The services that have to be judged anew."""
    was_away = host.away
    with transaction.atomic():
        changed = container_rows.write(
            host, found.inspected, found.gone, found.events, clock.moment(started), everything=found.info is not None
        )
        values: dict[str, object] = {"events_until": found.until, "seen_at": clock.moment(started), "away": False}
        if found.info is not None:
            values |= {"listed_at": started, "detail": _described(found)[:500]}
        DockerHost.objects.filter(pk=host.pk).update(**values)
        if was_away:
            changed |= _services(host)
            live.announce_containers()
    return changed


def _described(found: Look) -> str:
    info = found.info
    engine = f"Docker {info.server_version} on {info.name}" if info and info.server_version else "a Docker engine"
    more = f"; {found.left_out} more are left out: {CONTAINERS_MAX} is the most" if found.left_out else ""
    return f"{engine}, {len(found.inspected)} containers{more}"


def _away(host: DockerHost, why: str) -> set[int]:
    """Its containers are unknown from now on."""
    changed = not host.away
    if changed:
        log.warning("Docker host %s is away: %s", host.name, why)
    DockerHost.objects.filter(pk=host.pk).update(away=True, detail=why[:500])
    if not changed:
        return set()
    live.announce_containers()
    return _services(host)


def _services(host: DockerHost) -> set[int]:
    rows = Container.objects.filter(host=host, removed_at=None).exclude(service=None)
    return set(rows.values_list("service", flat=True).distinct()) - {None}


# --- Verbs ---------------------------------------------------------------------------------------------------------


def test_connection(host: DockerHost) -> str:
    """What is there, as a sentence. Raises EngineError. Nothing is written."""
    from services.docker_client import Engine

    engine = Engine(host.address, host.tls)
    try:
        info = engine.info()
        count = len(engine.containers())
    finally:
        engine.close()
    version = f"Docker {info.server_version} on {info.name}" if info.server_version else "A Docker engine"
    return f"{version} answers, with {count} containers."


def refresh(host: DockerHost) -> None:
    """After a host was added, changed or switched off: it is looked at with the next tick, and judged now."""
    DockerHost.objects.filter(pk=host.pk).update(due_at=0, listed_at=0, claim="")
    statuses.settle(_services(host), clock.moment(clock.now()))


def remove(host: DockerHost) -> None:
    """With its containers and their history. Their services stay."""
    services = _services(host)
    host.delete()
    statuses.settle(services, clock.moment(clock.now()))


def deploys(service: Service | int, start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """When the image of a service changed, oldest first: [(at, "image shop:1 → shop:2")]. Several containers that got
    the same image soon after each other are one."""
    events = ContainerEvent.objects.filter(
        service=service, kind=ContainerEvent.Kind.DEPLOY, at__gte=start, at__lt=end
    ).order_by("-at", "-pk")
    found: list[tuple[datetime, str]] = []
    for at, detail in reversed(events.values_list("at", "detail")[:DEPLOYS_MAX]):
        if not any(same == detail and at - earlier < SAME_DEPLOY for earlier, same in found):
            found.append((at, detail))
    return found
