"""Which routes an alert takes: the tree of Alertmanager. Pure, but for `Tree.load`.

An alert goes down from the root: of a node's children the first one that matches takes it, and the ones after that one
are looked at as well if it says `continue`. A node of which no child matches keeps the alert itself.

https://prometheus.io/docs/alerting/latest/configuration/#route
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from alerts import matchers, mute_times
from alerts.labels import Labels, fingerprint
from alerts.matchers import Matcher
from alerts.mute_times import Interval

if TYPE_CHECKING:
    from alerts.models import Route

ALL: Final = "..."  # each alert by itself
GROUP_BY: Final = ("alertname", "service")
GROUP_WAIT: Final = 10.0  # seconds, where the root says nothing
GROUP_INTERVAL: Final = 300.0
REPEAT_INTERVAL: Final = 10_800.0


class Times(msgspec.Struct, frozen=True):
    """A mute time that a route names."""

    name: str
    intervals: Sequence[Interval]


class Options(msgspec.Struct, frozen=True):
    """How the alerts of a route are told. What a route leaves out comes from its parent, but for the times."""

    receiver: int | None = None
    receiver_name: str = ""
    group_by: Sequence[str] = GROUP_BY
    group_wait: float = GROUP_WAIT  # seconds
    group_interval: float = GROUP_INTERVAL
    repeat_interval: float = REPEAT_INTERVAL
    escalation: int | None = None
    mute_times: Sequence[Times] = ()
    active_times: Sequence[Times] = ()

    def muted(self, at: datetime) -> str:
        """Why the route is silent now, as a sentence without its end; "" if it isn't."""
        for times in self.mute_times:
            if mute_times.contain(times.intervals, at):
                return f"it is the mute time {times.name}"
        if self.active_times and not any(mute_times.contain(times.intervals, at) for times in self.active_times):
            return f"it is not the time {' or '.join(times.name for times in self.active_times)}"
        return ""


class Node(msgspec.Struct, frozen=True):
    """A route, with what it has from its parents."""

    id: int
    name: str
    path: str  # as Alertmanager words it: '{}/{severity="critical"}'
    matchers: Sequence[Matcher]
    continues: bool
    options: Options
    children: Sequence[Node] = ()

    def match(self, labels: Labels) -> list[Node]:
        found: list[Node] = []
        for child in self.children:
            if matchers.all_match(child.matchers, labels):
                found += child.match(labels)
                if not child.continues:
                    break
        return found or [self]

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()


class Way(msgspec.Struct, frozen=True):
    """To a receiver: by a route, or because a rule names it."""

    name: str  # of the route, or of the receiver
    path: str  # as Alertmanager words it
    options: Options


class Match(Way, frozen=True):
    """The way of an alert."""

    labels: dict[str, str]  # those that its group has in common because of `group_by`
    route: int | None  # None: the rule's own receiver

    @property
    def group_key(self) -> str:
        """Unique among groups, at most 64 characters."""
        where = f"route {self.route}" if self.route else f"receiver {self.options.receiver}"
        return hashlib.blake2b(f"{where} {fingerprint(self.labels)}".encode(), digest_size=16).hexdigest()


class Tree(msgspec.Struct, frozen=True):
    root: Node | None = None  # none: nobody has made a route

    @classmethod
    def load(cls) -> Tree:
        """From the database, in four queries at most."""
        from alerts.models import Route

        routes = Route.objects.select_related("receiver").prefetch_related("mute_times", "active_times")
        return cls.of([_row(route) for route in routes])

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Tree:
        """Of rows in their order; what hangs on no root is left out."""
        children: dict[int | None, list[Row]] = defaultdict(list)
        for row in rows:
            children[row.parent].append(row)
        roots = children[None]
        # The root takes all: its own matchers don't count, as Alertmanager allows none.
        return cls(_node(msgspec.structs.replace(roots[0], matchers=()), None, children) if roots else None)

    def match(self, labels: Labels) -> list[Match]:
        """In the tree's order; [] only if there is no tree."""
        nodes = self.root.match(labels) if self.root else []
        return [
            Match(node.name, node.path, node.options, group_labels(node.options, labels), node.id) for node in nodes
        ]

    def beside(self, labels: Labels, receivers: Sequence[tuple[int, str]]) -> list[Match]:
        """Of the receivers (id, name) that an alert's rule names, beside the routes: grouped as the root does."""
        ways = [self.own_way(receiver, name) for receiver, name in receivers]
        return [Match(way.name, way.path, way.options, group_labels(way.options, labels), None) for way in ways]

    def own_way(self, receiver: int, name: str) -> Way:
        options = self.root.options if self.root else Options()
        own = msgspec.structs.replace(options, receiver=receiver, receiver_name=name, mute_times=(), active_times=())
        return Way(name, f"rule/{name}", own)

    def ways(self) -> dict[int, Way]:
        """Those of the routes, by the route's id."""
        return {node.id: Way(node.name, node.path, node.options) for node in self.root.walk()} if self.root else {}


class Row(msgspec.Struct, frozen=True):
    """A route as it was written: None comes from the parent."""

    id: int
    parent: int | None = None
    name: str = ""
    matchers: Sequence[Matcher] = ()
    continues: bool = False
    receiver: int | None = None
    receiver_name: str = ""
    group_by: Sequence[str] | None = None
    group_wait: float | None = None
    group_interval: float | None = None
    repeat_interval: float | None = None
    escalation: int | None = None
    mute_times: Sequence[Times] = ()
    active_times: Sequence[Times] = ()


def _row(route: Route) -> Row:
    return Row(
        id=route.pk,
        parent=route.parent_id,
        name=str(route),
        matchers=matchers.parse_all(route.matchers),
        continues=route.continues,
        receiver=route.receiver_id,
        receiver_name=route.receiver.name if route.receiver else "",
        group_by=route.group_by,
        group_wait=route.group_wait,
        group_interval=route.group_interval,
        repeat_interval=route.repeat_interval,
        escalation=route.escalation_id,
        mute_times=[Times(each.name, mute_times.parse(each.intervals)) for each in route.mute_times.all()],
        active_times=[Times(each.name, mute_times.parse(each.intervals)) for each in route.active_times.all()],
    )


def _node(row: Row, parent: Node | None, children: Mapping[int | None, Sequence[Row]]) -> Node:
    above = parent.options if parent else Options()
    options = Options(
        receiver=above.receiver if row.receiver is None else row.receiver,
        receiver_name=above.receiver_name if row.receiver is None else row.receiver_name,
        group_by=above.group_by if row.group_by is None else row.group_by,
        group_wait=above.group_wait if row.group_wait is None else row.group_wait,
        group_interval=above.group_interval if row.group_interval is None else row.group_interval,
        repeat_interval=above.repeat_interval if row.repeat_interval is None else row.repeat_interval,
        escalation=above.escalation if row.escalation is None else row.escalation,
        mute_times=row.mute_times,
        active_times=row.active_times,
    )
    said = "{" + ",".join(sorted(map(str, row.matchers))) + "}"
    path = f"{parent.path}/{said}" if parent else said
    node = Node(row.id, row.name, path, row.matchers, row.continues, options)
    below = [_node(each, node, children) for each in children.get(row.id, ())]
    return msgspec.structs.replace(node, children=below)


def group_labels(options: Options, labels: Labels) -> dict[str, str]:
    """Those that `group_by` names and the alert has."""
    if ALL in options.group_by:
        return dict(labels)
    return {name: labels[name] for name in options.group_by if name in labels}


def told_key(path: str, labels: Labels) -> str:
    """As Alertmanager words it in its webhook: '{}/{severity="critical"}:{alertname="Down"}'."""
    said = ", ".join(str(Matcher(name, labels[name])) for name in sorted(labels))
    return f"{path}:{{{said}}}"
