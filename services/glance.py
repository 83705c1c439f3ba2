"""What the start page says of services: how many are how, the worst of them, and what has changed. Queries, few and
always as many, whatever there is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from django.db.models import Case, Count, F, IntegerField, QuerySet, Value, When
from django.utils import timezone
from django.utils.safestring import SafeString

from core import clock
from services import cards, listing, visible
from services.listing import Brief
from services.models import Category, ContainerEvent, Service, StatusChange
from services.status import COLOURS, ORDER, Status

CARDS_MAX: Final = 24
CHANGES_MAX: Final = 12
DRAWN_MAX: Final = 1_000  # cards that are kept
PROBLEMS: Final = (Status.DOWN, Status.DEGRADED)
Row = TypeVar("Row", StatusChange, ContainerEvent)
# What requirement 87's cards are about, by title.
GROUPS: Final = {
    "Database": (Category.DATABASE,),
    "Cache": (Category.CACHE,),
    "External APIs": (Category.EXTERNAL,),
}
RANK: Final = Case(
    *(When(status=status, then=Value(rank)) for rank, status in enumerate(ORDER)),
    default=Value(len(ORDER)),
    output_field=IntegerField(),
)

BEGAN: Final = Case(When(status__in=PROBLEMS, then=F("status_since")))


class Tally(NamedTuple):
    """How many services are how."""

    by_status: Counter[str]

    @property
    def total(self) -> int:
        return sum(self.by_status.values())

    @property
    def problems(self) -> int:
        return sum(self.by_status[status] for status in PROBLEMS)

    @property
    def healthy(self) -> int:
        return self.by_status[Status.HEALTHY]

    @property
    def worst(self) -> Status | None:
        return next((status for status in ORDER if self.by_status[status]), None)

    def parts(self) -> list[tuple[Status, str, int]]:
        """(status, its colour, number), problems first, without those that are nowhere."""
        return [(status, COLOURS[status], self.by_status[status]) for status in ORDER if self.by_status[status]]


class Group(NamedTuple):
    """A category's services at a glance."""

    tally: Tally
    worst: Service | None
    latency_us: int | None  # of the worst; of all when all are well, the highest


class Change(NamedTuple):
    """Something that happened, newest first in lists."""

    key: str
    at: datetime
    colour: str
    subject: str
    text: str
    outcome: str  # stands out at the end
    service: int | None
    container: int | None


def worst_first() -> QuerySet[Service]:
    """Of problems the newest first: what has just begun is what somebody looks for."""
    return visible.services(Service.objects.all()).order_by(RANK, BEGAN.desc(nulls_last=True), "name")


def tallies() -> tuple[Tally, Mapping[str, Tally]]:
    """Of all services, and of each category."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    rows = visible.services(Service.objects.order_by()).values_list("category", "status").annotate(Count("pk"))
    for category, status, number in rows:
        counted[category][status] = number
    return Tally(sum(counted.values(), Counter())), {name: Tally(counts) for name, counts in counted.items()}


def groups(by_category: Mapping[str, Tally]) -> dict[str, Group | None]:
    """By the titles of GROUPS; None where nothing is watched."""
    wanted = [category for categories in GROUPS.values() for category in categories]
    members: dict[str, list[Service]] = defaultdict(list)
    for service in worst_first().filter(category__in=wanted)[:100]:
        members[service.category].append(visible.without_hidden(service))
    leading = cards.leading([service.pk for listed in members.values() for service in listed])
    found: dict[str, Group | None] = {}
    for title, categories in GROUPS.items():
        listed = [service for category in categories for service in members[category]]
        tally = Tally(sum((by_category[c].by_status for c in categories if c in by_category), Counter()))
        latencies = [leading[service.pk].latency_us for service in listed if service.pk in leading]
        highest = max((latency for latency in latencies if latency is not None), default=None)
        found[title] = Group(tally, listed[0], highest) if listed else None
    return found


def worst() -> list[Brief]:
    """Those that the page has cards of, the worst first."""
    return listing.briefs(worst_first()[:CARDS_MAX])


_drawn: dict[tuple[int, str], tuple[Hashable, SafeString]] = {}  # by service and time zone: what it shows, its card


def drawn(briefs: Sequence[Brief], now: datetime) -> list[SafeString]:
    """Their cards. Drawn once a minute, and when one says something else: a page that lives asks each second."""
    zone, minute = timezone.get_current_timezone_name(), clock.micros(now) // clock.MINUTE
    latest = cards.leading([brief.pk for brief in briefs])
    facts = {brief.pk: (minute, brief.digest, latest.get(brief.pk)) for brief in briefs}
    known = {pk: _drawn.get((pk, zone), (None, SafeString(""))) for pk in facts}
    stale = [brief for brief in briefs if known[brief.pk][0] != facts[brief.pk]]
    fresh = {brief.pk: (facts[brief.pk], card) for brief, card in zip(stale, cards.render(stale, now), strict=True)}
    if len(_drawn) > DRAWN_MAX:
        _drawn.clear()
    _drawn.update({(pk, zone): each for pk, each in fresh.items()})
    return [(known | fresh)[brief.pk][1] for brief in briefs]


def changes(since: datetime, *, containers: bool) -> list[Change]:
    """What happened to services, and to containers if wanted; the newest."""
    changed = StatusChange.objects.select_related("service")
    if hidden := visible.hidden_services():
        changed = changed.exclude(service__in=hidden)
    found = [_of_service(each) for each in _newest(changed, since)]
    if containers:
        events = ContainerEvent.objects.exclude(kind=ContainerEvent.Kind.CREATE).select_related("container", "service")
        if gone := visible.hidden_containers():
            events = events.exclude(container__in=gone)
        found += [_of_container(each) for each in _newest(events, since)]
    return sorted(found, key=lambda change: change.at, reverse=True)[:CHANGES_MAX]


def _newest(rows: QuerySet[Row], since: datetime) -> Sequence[Row]:
    return list(rows.filter(at__gte=since).order_by("-at", "-pk")[:CHANGES_MAX])


def _of_service(change: StatusChange) -> Change:
    old = Status(change.old).label
    return Change(
        f"change-{change.pk}", change.at, change.colour, change.service.name, f"{old} →",
        str(Status(change.new).label), change.service_id, None,
    )  # fmt: skip


EVENT_COLOURS: Final = {
    ContainerEvent.Kind.DIE: "red",
    ContainerEvent.Kind.OOM: "red",
    ContainerEvent.Kind.RESTART_LOOP: "red",
    ContainerEvent.Kind.HEALTH: "yellow",
    ContainerEvent.Kind.PAUSE: "grey",
    ContainerEvent.Kind.DESTROY: "grey",
    ContainerEvent.Kind.START: "green",
    ContainerEvent.Kind.UNPAUSE: "green",
    ContainerEvent.Kind.DEPLOY: "blue",
}


def event_colour(event: ContainerEvent) -> str:
    if event.kind == ContainerEvent.Kind.HEALTH and event.detail == "healthy":
        return "green"
    if event.kind == ContainerEvent.Kind.DIE and event.detail.endswith(("exit code 0", "with 0")):
        return "grey"
    return EVENT_COLOURS.get(ContainerEvent.Kind(event.kind), "grey")


def _of_container(event: ContainerEvent) -> Change:
    return Change(
        f"event-{event.pk}", event.at, event_colour(event), event.container.name,
        str(ContainerEvent.Kind(event.kind).label), event.detail, event.service_id, event.container_id,
    )  # fmt: skip
