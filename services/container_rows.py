"""What an engine said → rows of containers and of what happened to them. No questions to the engine here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from services import container_labels, discovery, live
from services.discovery import REMOVED
from services.docker_answers import DETAIL_MAX, Event, Inspected, moment, printable
from services.models import Container, ContainerEvent, DockerHost

LOOP_STARTS: Final = 3  # by the engine itself, …
LOOP_WINDOW: Final = timedelta(minutes=5)  # … within this time, are a restart loop
LOOP_QUIET: Final = timedelta(seconds=65)  # running for so long ends it: engines wait up to 60 s between two starts
KINDS: Final = {
    "create": ContainerEvent.Kind.CREATE,
    "start": ContainerEvent.Kind.START,
    "die": ContainerEvent.Kind.DIE,
    "oom": ContainerEvent.Kind.OOM,
    "health_status": ContainerEvent.Kind.HEALTH,
    "rename": ContainerEvent.Kind.RENAME,
    "pause": ContainerEvent.Kind.PAUSE,
    "unpause": ContainerEvent.Kind.UNPAUSE,
    "destroy": ContainerEvent.Kind.DESTROY,
}
# Those that change state or health: the state is since the last of them.
TURNS: Final = frozenset({"start", "die", "health_status", "pause", "unpause"})
FIELDS: Final = (
    "name", "image", "image_id", "compose_project", "compose_service", "labels", "found", "job", "state", "health",
    "state_since", "exit_code", "oom_killed", "restart_count", "looping_since", "detail", "started_at", "finished_at",
    "removed_at",
)  # fmt: skip
USED: Final = ("cpu_percent", "memory_bytes", "counters")  # of one that runs


def write(
    host: DockerHost,
    inspected: Mapping[str, Inspected],
    gone: Collection[str],
    events: Sequence[Event],
    now: datetime,
    *,
    everything: bool = False,
) -> set[int]:
    """The services that have to be judged anew. To be called in a transaction.

    With `everything` also what did not change is brought to what labels say: others that it names may be there now.
    """
    if not inspected and not gone and not events:
        return set()
    rows = _rows(host, {*inspected, *gone, *(event.container for event in events)})
    before = {pk: _facts(row) for pk, row in rows.items()}
    fresh = _bring(host, rows, inspected, events, now)
    jobs = _mark_jobs(host, rows.values())
    happened = _happened(rows, events)
    changed = discovery.join([row for pk, row in rows.items() if pk in inspected])
    changed |= _remove(rows, gone, events, now)
    happened += [event for row in fresh if (event := _deploy(row))]
    for event in happened:
        event.service_id = event.container.service_id
    ContainerEvent.objects.bulk_create(happened)
    _find_loops(rows, inspected, events, now)
    moved = [row for pk, row in rows.items() if before.get(pk) != _facts(row)] + jobs
    _save({row.pk: row for row in moved}.values())
    Container.objects.filter(host=host, container_id__in=list(inspected)).update(seen_at=now)
    if moved or happened:
        live.announce_containers()
    changed |= {row.service_id for row in moved if row.service_id}
    named = {row.service_id for row in rows.values() if row.service_id} if everything else set()
    return changed | discovery.bring(changed | named)


def _save(rows: Collection[Container]) -> None:
    stopped = [row for row in rows if row.state != "running" and row.counters]
    for row in stopped:
        row.cpu_percent, row.memory_bytes, row.counters = None, None, {}
    Container.objects.bulk_update(rows, FIELDS)
    Container.objects.bulk_update(stopped, USED)


def _rows(host: DockerHost, ids: Collection[str]) -> dict[str, Container]:
    rows = (
        Container.objects.filter(host=host, container_id__in=list(ids))
        .select_related("host", "service")
        .defer("host__tls")
    )
    return {row.container_id: row for row in rows}


def _facts(row: Container) -> list[object]:
    return [getattr(row, name) for name in FIELDS]


# --- State ---------------------------------------------------------------------------------------------------------


def _bring(
    host: DockerHost,
    rows: dict[str, Container],
    inspected: Mapping[str, Inspected],
    events: Sequence[Event],
    now: datetime,
) -> list[Container]:
    """Brings rows to what was inspected, and adds new ones to `rows`; these are returned."""
    turned = {event.container: event.moment for event in events if event.action in TURNS}
    reach = discovery.reach(host)
    fresh = []
    for pk, found in inspected.items():
        row = rows.get(pk)
        if row is None:
            row = rows[pk] = Container(host=host, container_id=pk, created_at=moment(found.created) or now)
            fresh.append(row)
        _describe(row, found)
        _turn(row, found, turned.get(pk), now)
        # Of one that doesn't run the engine says neither ports nor addresses: what was planned before stays.
        if not row.found or row.state in ("running", "paused"):
            row.found = container_labels.as_json(discovery.plan(found, reach))
        row.removed_at = None
    Container.objects.bulk_create(fresh)
    return fresh


def _describe(row: Container, found: Inspected) -> None:
    given = found.labels
    row.name, row.labels = found.plain_name, given
    row.image, row.image_id = printable(found.config.image, 255), found.image[:80]
    row.compose_project = given.get("com.docker.compose.project", "")[:100]
    row.compose_service = given.get("com.docker.compose.service", "")[:100]
    row.restart_count = max(found.restart_count, 0)


def _turn(row: Container, found: Inspected, turned: datetime | None, now: datetime) -> None:
    """`turned`: when the engine said the last time that something changed."""
    state = found.state.status[:20] or "unknown"
    health = found.health[:20] if state == "running" else ""
    started = moment(found.state.started_at)
    changed = (state, health) != (row.state, row.health)
    if row.pk is None or changed or started != row.started_at:
        row.state_since = _since(row, found, state, turned, now)
    row.started_at, row.finished_at = started, moment(found.state.finished_at)
    runs = state in ("running", "paused")
    row.exit_code = None if runs else found.state.exit_code
    row.oom_killed = found.state.oom_killed and not runs
    if changed:
        row.detail = _detail(found, state, health)
    row.state, row.health = state, health


def _since(row: Container, found: Inspected, state: str, turned: datetime | None, now: datetime) -> datetime:
    if state == "created":
        return row.created_at
    if state == "running":
        first = row.pk is None or row.state != "running"
        return turned or (moment(found.state.started_at) if first else None) or now
    if state == "paused":
        return turned or now
    return moment(found.state.finished_at) or turned or now


def _detail(found: Inspected, state: str, health: str) -> str:
    if state == "created" and found.state.error:
        return printable(found.state.error.strip(), DETAIL_MAX)
    if health == "unhealthy" and found.state.health and found.state.health.log:
        lines = found.state.health.log[-1].output.strip().splitlines()
        return printable(lines[-1], DETAIL_MAX) if lines else ""
    return ""


def _mark_jobs(host: DockerHost, rows: Collection[Container]) -> list[Container]:
    """Those that are meant to end: they say so, or others of their compose project wait for their success."""
    changed = []
    for row in rows:
        job = bool(row.found.get("job"))
        if row.job != job and not row.compose_project:
            row.job = job
            changed.append(row)
    projects = {row.compose_project for row in rows if row.compose_project}
    if not projects:
        return changed
    known = {row.pk: row for row in rows}
    awaited: set[tuple[str, str]] = set()
    siblings = [
        known.get(row.pk, row)
        for row in Container.objects.filter(host=host, compose_project__in=projects, removed_at=None).select_related(
            "host", "service"
        )
    ]
    for row in siblings:
        for name, condition in container_labels.compose_needs(row.labels).items():
            if condition == container_labels.COMPLETED:
                awaited.add((row.compose_project, name))
    for row in siblings:
        job = bool(row.found.get("job")) or (row.compose_project, row.compose_service) in awaited
        if row.job != job:
            row.job = job
            changed.append(row)
    return changed


# --- What happened -------------------------------------------------------------------------------------------------


def _happened(rows: Mapping[str, Container], events: Sequence[Event]) -> list[ContainerEvent]:
    """One that came and went between two looks has no row, and no history."""
    found: list[ContainerEvent] = []
    last: dict[str, str] = {}
    for event in events:
        row, kind = rows.get(event.container), KINDS.get(event.action)
        # An engine may say "out of memory" several times for one death.
        if row is None or kind is None or (kind == KINDS["oom"] and last.get(event.container) == event.action):
            continue
        last[event.container] = event.action
        found.append(ContainerEvent(container=row, at=event.moment, kind=kind, detail=_told(event)))
    return found


def _told(event: Event) -> str:
    if event.action == "die":
        return f"exited with {printable(event.attributes.get('exitCode', '?'), 20)}"
    if event.action == "rename":
        old = printable(event.attributes.get("oldName", "").removeprefix("/"), 255)
        return f"was {old}"[:DETAIL_MAX]
    return printable(event.value, DETAIL_MAX)


def _deploy(row: Container) -> ContainerEvent | None:
    """A new container with another image than the one whose place it takes."""
    if row.service_id is None:
        return None
    before = (
        Container.objects.filter(
            service=row.service_id, created_at__lt=row.created_at, compose_service=row.compose_service
        )
        .order_by("-created_at")
        .first()
    )
    if before is None or not before.image_id or before.image_id == row.image_id:
        return None
    if before.image != row.image:
        detail = f"image {before.image} → {row.image}"
    else:
        detail = f"a new build of the image {row.image}"
    return ContainerEvent(
        container=row, at=row.started_at or row.created_at, kind=ContainerEvent.Kind.DEPLOY, detail=detail[:DETAIL_MAX]
    )


def _find_loops(
    rows: Mapping[str, Container], inspected: Mapping[str, Inspected], events: Sequence[Event], now: datetime
) -> None:
    started = {event.container: event.moment for event in events if event.action == "start"}
    for pk in inspected:
        row = rows[pk]
        if row.looping_since and (row.state not in ("running", "restarting") or row.restart_count == 0):
            row.looping_since = None  # stopped, or started by somebody
        elif row.looping_since and row.state == "running" and row.started_at and row.started_at < now - LOOP_QUIET:
            row.looping_since, row.state_since = None, row.started_at
        elif not row.looping_since and pk in started and row.restart_count >= LOOP_STARTS:
            at = started[pk]
            starts = row.events.filter(kind=ContainerEvent.Kind.START, at__gt=at - LOOP_WINDOW).count()
            if starts >= LOOP_STARTS:
                row.looping_since = at
                ContainerEvent.objects.create(
                    container=row, service_id=row.service_id, at=at, kind=ContainerEvent.Kind.RESTART_LOOP,
                    detail=f"started {starts} times within {LOOP_WINDOW.seconds // 60} minutes",
                )  # fmt: skip


# --- Removal -------------------------------------------------------------------------------------------------------


def _remove(rows: dict[str, Container], gone: Collection[str], events: Sequence[Event], now: datetime) -> set[int]:
    """The last container of a service stays as "removed", so that the service is red and not forgotten."""
    when = {event.container: event.moment for event in events if event.action == "destroy"}
    changed: set[int] = set()
    leaving = [row for pk in gone if (row := rows.get(pk)) and row.removed_at is None]
    keys = {row.pk for row in leaving}
    staying = Container.objects.filter(
        service__in={row.service_id for row in rows.values() if row.service_id}, removed_at=None
    ).exclude(Q(pk__in=keys) | Q(state=REMOVED))
    replaced = set(staying.values_list("service", flat=True))
    for row in leaving:
        if row.service_id:
            changed.add(row.service_id)
        at = when.get(row.container_id, now)
        if row.service_id is None or row.service_id in replaced or row.job:
            row.removed_at = at
        if row.state != REMOVED:
            row.state, row.health, row.state_since, row.looping_since = REMOVED, "", at, None
    # What had been the last one until another took its place.
    old = Container.objects.filter(service__in=replaced, state=REMOVED, removed_at=None).exclude(pk__in=keys)
    changed |= set(old.values_list("service", flat=True))
    old.update(removed_at=now)
    return changed
