"""From alerts to deliveries: which group an alert belongs to, and what is told of a group when its time has come.

`take` puts alerts that fire into their groups and their incidents. `flush` looks at the groups that are due: one
conditional UPDATE leaves its token at them and moves them to the end of a lease; then, some groups at a time, what is
to be told is written in one transaction with what the channels know from then on. If the worker dies in between,
nothing was written, and the groups are due again when the lease ends.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import Count

from alerts import deliveries, grouping, incidents, messages, relapse, silences
from alerts.grouping import Entry
from alerts.incidents import Arrival
from alerts.inhibition import Inhibitor
from alerts.labels import fingerprint
from alerts.models import Alert, AlertRule, Channel, EscalationPolicy, Group, Member, Notified
from alerts.models.alerts import State
from alerts.models.deliveries import Reason
from alerts.models.incidents import Status
from alerts.routing import Match, Options, Tree, Way
from core import bulk, clock, sqlite

LEASE: Final = 60 * clock.SECOND
GROUPS_MAX: Final = 1_000  # that one claim takes
CLAIMS_MAX: Final = 20  # of one flush
MEMBERS_MAX: Final = 500  # alerts that one transaction looks at, or those of one group: others want to write, too
SHORTEST_INTERVAL: Final = clock.SECOND
BATCH: Final = 500  # rows in one statement
INCIDENT_LABELS: Final = ("alertname", "service")  # without a route


# --- Alerts come and end ---------------------------------------------------------------------------------------------


def take(alerts: Sequence[Alert], now: datetime) -> None:
    """Of alerts that have begun to fire, or have ended. Taking one twice changes nothing."""
    firing = [alert for alert in alerts if alert.state == State.FIRING]
    ended = {alert.incident_id for alert in alerts if alert.state == State.RESOLVED and alert.incident_id}
    with transaction.atomic():
        if not firing:
            incidents.ended(ended, now)
            return
        matches = matches_of(firing)
        # Incidents are locked before groups, whoever comes.
        incidents.attach_all(_arrivals(firing, matches), now)
        incidents.ended(ended, now)
        _join(firing, matches, now)


def matches_of(alerts: Sequence[Alert]) -> list[list[Match]]:
    """The ways of each alert: by the routes, and to the receivers of its rule that the routes leave out."""
    tree = Tree.load()
    own = _receivers_of({alert.rule_id for alert in alerts if alert.rule_id})
    found = []
    for alert in alerts:
        matches = tree.match(alert.labels)
        reached = {match.options.receiver for match in matches}
        beside = [each for each in own.get(alert.rule_id or 0, ()) if each[0] not in reached]
        found.append(matches + tree.beside(alert.labels, beside))
    return found


def _receivers_of(rules: Iterable[int]) -> Mapping[int, list[tuple[int, str]]]:
    through = AlertRule.receivers.through.objects.filter(alertrule__in=set(rules))
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for rule, pk, name in through.order_by("pk").values_list("alertrule", "receiver", "receiver__name"):
        found[rule].append((pk, name))
    return found


def _arrivals(alerts: Sequence[Alert], matches: Sequence[Sequence[Match]]) -> list[Arrival]:
    firsts = [several[0] if several else None for several in matches]
    policies = EscalationPolicy.objects.in_bulk({each.options.escalation for each in firsts if each} - {None})
    arrivals = []
    for alert, first in zip(alerts, firsts, strict=True):
        labels = incident_labels(alert, first)
        policy = policies.get(first.options.escalation or 0) if first else None
        within = relapse.within(first.options.group_interval) if first else relapse.SHORTEST
        arrivals.append(Arrival(alert, fingerprint(labels), labels, policy, within))
    return arrivals


def incident_labels(alert: Alert, first: Match | None) -> dict[str, str]:
    """What the alerts of an incident have in common: the group's labels by the first route, whatever the severity."""
    labels = first.labels if first else {name: alert.labels[name] for name in INCIDENT_LABELS if name in alert.labels}
    return {name: text for name, text in labels.items() if name != "severity"}


def _join(alerts: Sequence[Alert], matches: Sequence[Sequence[Match]], now: datetime) -> None:
    at = clock.micros(now)
    wanted: dict[str, Match] = {}
    members: dict[str, list[Alert]] = defaultdict(list)
    for alert, several in zip(alerts, matches, strict=True):
        for match in several:
            wanted[match.group_key] = match
            members[match.group_key].append(alert)
    Group.objects.bulk_create(
        (
            Group(
                key=key,
                route_id=match.route,
                receiver_id=None if match.route else match.options.receiver,
                labels=match.labels,
            )
            for key, match in wanted.items()
        ),
        ignore_conflicts=True,
        batch_size=BATCH,
    )
    # Locked, in one order: a flush may just be looking at them.
    groups = list(Group.objects.filter(key__in=wanted).select_for_update(no_key=True).order_by("pk"))
    Member.objects.bulk_create(
        (Member(group=group, alert=alert) for group in groups for alert in members[group.key]),
        ignore_conflicts=True,
        batch_size=BATCH,
    )
    moved = [group for group in groups if _hurry(group, at, members[group.key], wanted[group.key].options)]
    bulk.update(moved, ["flush_at", "looked_at"])


def _hurry(group: Group, at: int, alerts: Iterable[Alert], options: Options) -> bool:
    """Sets when the group is looked at, if these alerts change that. After the first time only its interval counts."""
    if group.flush_at is not None and group.looked_at is not None:
        return False
    wait = round(options.group_wait * clock.SECOND)
    first = min(grouping.first_look(at, clock.micros(alert.fired_at or alert.active_at), wait) for alert in alerts)
    if group.flush_at is not None and group.flush_at <= first:
        return False
    group.flush_at, group.looked_at = first, None
    return True


# --- Routes change ---------------------------------------------------------------------------------------------------

_followed: Tree | None = None  # by this process


def follow_routes(now: datetime) -> int:
    """After a change of the routes: alerts that fire leave the groups of ways that they take no more, and join others.
    How many were looked at."""
    global _followed
    tree = Tree.load()
    if tree == _followed:
        return 0
    fires = Alert.objects.filter(state=State.FIRING).order_by("pk")
    last, seen = 0, 0
    while batch := list(fires.filter(pk__gt=last)[:MEMBERS_MAX]):
        with transaction.atomic():
            _move(batch, now)
        last, seen = batch[-1].pk, seen + len(batch)
    _followed = tree
    return seen


def _move(alerts: Sequence[Alert], now: datetime) -> None:
    matches = matches_of(alerts)
    keys = {alert.pk: {match.group_key for match in several} for alert, several in zip(alerts, matches, strict=True)}
    _join(alerts, matches, now)
    inside = Member.objects.filter(alert__in=alerts).values_list("pk", "alert", "group__key")
    Member.objects.filter(pk__in=[pk for pk, alert, key in inside if key not in keys[alert]]).delete()


# --- Groups whose time has come --------------------------------------------------------------------------------------


class _Circumstances(NamedTuple):
    """What decides about all groups of one flush, read once."""

    now: datetime
    tree: Tree
    ways: Mapping[int, Way]  # by route
    inhibitor: Inhibitor
    silences: Sequence[silences.Active]
    channels: Mapping[int, Sequence[Channel]]  # by receiver


_flushing = threading.Lock()  # of this process


def flush(now: datetime) -> int:
    """Writes what is to be told now. The number of groups that were looked at.

    In a storm it may take longer than the time to the next one: that one leaves the work to it.
    """
    if not _flushing.acquire(blocking=False):
        return 0
    try:
        return _flush_due(now)
    finally:
        _flushing.release()


def _flush_due(now: datetime) -> int:
    looked_at, began = 0, 0.0
    circumstances: _Circumstances | None = None
    for _ in range(CLAIMS_MAX):
        token, claimed = _claim(clock.micros(now))
        if not claimed:
            break
        circumstances = circumstances or _read(now)
        for batch in _batches(claimed):
            if looked_at:
                sqlite.give_way(Group, began)
            began = time.monotonic()
            with transaction.atomic():
                looked_at += _flush(batch, token, circumstances)
    return looked_at


def _claim(at: int) -> tuple[str, dict[int, int]]:
    """The token, and group → number of its alerts; those that have waited longest first."""
    due = Group.objects.filter(flush_at__lte=at)
    rows = due.order_by("flush_at").annotate(alerts=Count("members")).values_list("pk", "alerts")[:GROUPS_MAX]
    claimed = dict(rows)
    token = uuid.uuid4().hex
    mine = Group.objects.filter(pk__in=claimed, flush_at__lte=at)
    if claimed and mine.update(claim=token, flush_at=at + LEASE) < len(claimed):
        taken = set(Group.objects.filter(claim=token).values_list("pk", flat=True))
        claimed = {pk: alerts for pk, alerts in claimed.items() if pk in taken}
    return token, claimed


def _batches(claimed: Mapping[int, int]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for pk, alerts in claimed.items():
        if batch and size + alerts > MEMBERS_MAX:
            yield batch
            batch, size = [], 0
        batch.append(pk)
        size += alerts
    if batch:
        yield batch


def _read(now: datetime) -> _Circumstances:
    channels: dict[int, list[Channel]] = defaultdict(list)
    for channel in Channel.objects.filter(enabled=True).select_related("receiver").order_by("pk"):
        channels[channel.receiver_id].append(channel)
    tree = Tree.load()
    return _Circumstances(now, tree, tree.ways(), Inhibitor.load(), silences.active(now), channels)


def _flush(batch: Sequence[int], token: str, known: _Circumstances) -> int:
    # One whose lease has ended is somebody else's by now.
    mine = Group.objects.filter(pk__in=batch, claim=token).select_related("receiver").order_by("pk")
    groups = list(mine.select_for_update(no_key=True, of=("self",)))
    insides, entries = _insides(groups), _entries(groups)
    tellings: list[_Telling] = []
    over: list[int] = []  # memberships
    for group in groups:
        inside = insides[group.pk]
        way = _way(group, known)
        if not way.options.muted(known.now):
            # Of one that ended and fires anew only the latter counts.
            newest = {each.fingerprint: each for each in inside}
            heard = [each for each in newest.values() if _is_heard(each, known)]
            tellings += _decide(group, way, heard, entries[group.pk], known) if heard else []
        ends = [each.member for each in inside if not each.fires]
        over += ends
        group.claim = ""
        group.looked_at = clock.micros(known.now)
        interval = max(round(way.options.group_interval * clock.SECOND), SHORTEST_INTERVAL)
        group.flush_at = group.looked_at + interval if len(ends) < len(inside) else None
    _tell(tellings, known.now)
    Member.objects.filter(pk__in=over).delete()
    # Once all has ended, what fires next is news.
    Notified.objects.filter(group__in=[group for group in groups if group.flush_at is None]).delete()
    bulk.update(groups, ["claim", "looked_at", "flush_at"])
    return len(groups)


class _Inside(NamedTuple):
    """An alert in a group: what decides about it. The whole of it is read if it is told."""

    member: int
    alert: int
    fingerprint: str
    labels: dict[str, str]
    severity: str
    fires: bool
    seen_to: bool  # somebody has acknowledged or resolved its incident


class _Telling(NamedTuple):
    """That some channels are told of some alerts of a group; of none, if they know without a word."""

    group: Group
    way: Way
    reason: Reason
    channels: Sequence[Channel]
    alerts: Sequence[int]
    entry: Entry  # what they know then


def _insides(groups: Sequence[Group]) -> Mapping[int, list[_Inside]]:
    """By group; what fired later comes later."""
    found: dict[int, list[_Inside]] = defaultdict(list)
    rows = Member.objects.filter(group__in=groups).order_by("alert_id")
    for group, pk, alert, name, labels, severity, state, status in rows.values_list(
        "group", "pk", "alert_id", "alert__fingerprint", "alert__labels", "alert__severity", "alert__state",
        "alert__incident__status",
    ):  # fmt: skip
        seen_to = status in (Status.ACKNOWLEDGED, Status.RESOLVED)
        fires = state == State.FIRING
        found[group].append(_Inside(pk, alert, name, labels, severity, fires, seen_to))
    return found


def _entries(groups: Sequence[Group]) -> Mapping[int, Mapping[int, Entry]]:
    """What was told last, by group and channel."""
    found: dict[int, dict[int, Entry]] = defaultdict(dict)
    for row in Notified.objects.filter(group__in=groups):
        found[row.group_id][row.channel_id] = Entry(frozenset(row.firing), frozenset(row.resolved), row.at)
    return found


def _way(group: Group, known: _Circumstances) -> Way:
    if group.receiver:
        return known.tree.own_way(group.receiver.pk, group.receiver.name)
    return known.ways.get(group.route_id or 0) or Way("", "{}", Options())


def _is_heard(one: _Inside, known: _Circumstances) -> bool:
    return not known.inhibitor.by(one.labels, one.severity) and not silences.by(known.silences, one.labels)


def _decide(
    group: Group, way: Way, heard: Sequence[_Inside], entries: Mapping[int, Entry], known: _Circumstances
) -> Iterator[_Telling]:
    firing = [each for each in heard if each.fires]
    now = Entry(
        frozenset(each.fingerprint for each in firing),
        frozenset(each.fingerprint for each in heard if not each.fires),
        known.now,
    )
    # Who knows already is not told again while somebody sees to all of it.
    seen_to = all(each.seen_to for each in firing)
    several: dict[tuple[Reason, bool], list[Channel]] = defaultdict(list)
    for channel in known.channels.get(way.options.receiver or 0, ()):
        reason = grouping.reason_to_tell(
            entries.get(channel.pk), now.firing, now.resolved, known.now, repeat=way.options.repeat_interval,
            send_resolved=channel.send_resolved,
        )  # fmt: skip
        if reason is not None and not (reason == Reason.REPEAT and seen_to):
            several[reason, channel.send_resolved].append(channel)
    for (reason, send_resolved), channels in several.items():
        told = heard if send_resolved else firing
        yield _Telling(group, way, reason, channels, [each.alert for each in told], now)


def _tell(tellings: Sequence[_Telling], now: datetime) -> None:
    """Writes the deliveries, and what the channels know then."""
    wanted = {pk for telling in tellings for pk in telling.alerts}
    alerts = Alert.objects.select_related("incident").in_bulk(wanted) if wanted else {}
    for group, way, reason, channels, ids, _ in tellings:
        if told := messages.in_order(alerts[pk] for pk in ids if pk in alerts):
            notification = messages.of_group(group, way, told, reason)
            incident = messages.leading(told)
            deliveries.enqueue(channels, notification, incident=incident, group=group, reason=reason, now=now)
    Notified.objects.bulk_create(
        (
            Notified(
                group=telling.group,
                channel=channel,
                firing=sorted(telling.entry.firing),
                resolved=sorted(telling.entry.resolved),
                at=telling.entry.at,
            )
            for telling in tellings
            for channel in telling.channels
        ),
        BATCH,
        update_conflicts=True,
        unique_fields=["group", "channel"],
        update_fields=["firing", "resolved", "at"],
    )
