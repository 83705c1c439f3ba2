"""Deliveries as rows: written with the decision to tell somebody, claimed with a lease, finished with an answer.

A delivery is due until it is finished; `due_at` says when somebody looks at it next. A claim moves `due_at` to the end
of a lease, so what a killed worker had claimed is due again then. Of one group, and of an incident itself, a channel is
told in order: a delivery waits for those before it.

A channel that fails is asked with one message at a time until one passes. One whose settings are wrong is off, with a
banner; what it should have told waits for its repair, for a day at most.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Coalesce, Concat, Left

from alerts import events, summary
from alerts.models import Channel, Delivery, Group, Incident
from alerts.models.deliveries import Outcome, Reason
from alerts.models.incidents import Verb, Via
from alerts.notifications import Notification
from alerts.notifiers import NotifierError, RefusedError, notifier
from alerts.notifiers.base import DETAIL_MAX
from core import clock

LEASE: Final = 30 * clock.SECOND  # for what waits before it in the same process, its own time limit, and writing
FIRST_RETRY, LONGEST_RETRY = 5.0, 900.0  # seconds; doubled from try to try
RETRY_AFTER_MAX: Final = 3_600.0  # seconds that a receiver may ask us to wait
GIVE_UP: Final = timedelta(days=1)  # after which a message is of no use any more
OFF_LOOK: Final = clock.HOUR  # how often the messages of a channel that is off are looked at
CHANNELS_MAX: Final = 200  # in one go
CHANNEL_MAX: Final = 4  # messages to one channel that are under way
WAITING_MAX: Final = 1_000  # messages that wait for one channel and are looked at together
# Never held back: they would be lost in a summary.
WHOLE: Final = frozenset({Reason.SUMMARY, Reason.DIGEST})
MINUTE: Final = timedelta(minutes=1)
GOLDEN: Final = 0.6180339887498949


class Claimed(msgspec.Struct, frozen=True):
    """A delivery that is ours until its lease ends."""

    pk: int
    token: str
    channel: Channel
    stored: dict[str, object]  # the notification, as the row has it
    lease_end: int  # µs


class Result(msgspec.Struct, frozen=True):
    """What became of a try."""

    claimed: Claimed
    answer: str
    took_ms: int
    error: NotifierError | None = None


# --- Writing what is to be told ------------------------------------------------------------------------------------


def enqueue(
    channels: Iterable[Channel],
    notification: Notification,
    *,
    incident: Incident | None = None,
    group: Group | None = None,
    reason: str,
    now: datetime,
) -> list[Delivery]:
    """One for each channel that nobody has switched off, due at once. Inside the caller's transaction."""
    stored = msgspec.to_builtins(notification)
    return Delivery.objects.bulk_create(
        Delivery(
            channel=channel, incident=incident, group=group, reason=reason, notification=stored, created_at=now,
            due_at=clock.micros(now),
        )
        for channel in channels
        if channel.enabled
    )  # fmt: skip


def mirror(incident: Incident, reason: str, *, by: str, now: datetime) -> list[Delivery]:
    """Tells those who keep a state of their own (PagerDuty), and were told of the incident, that somebody has
    acknowledged or resolved it here. `by` is the name of who did; `reason` is of `Reason`. Inside the caller's
    transaction."""
    told = incident.deliveries.filter(reason__in=(Reason.FIRING, Reason.REPEAT, Reason.ESCALATION)).order_by("pk")
    last = {(each.channel_id, each.notification.get("dedup_key")): each for each in told.select_related("channel")}
    written: list[Delivery] = []
    for each in last.values():
        if _acknowledges(each.channel):
            said = msgspec.structs.replace(msgspec.convert(each.notification, Notification), reason=reason, by=by)
            written += enqueue([each.channel], said, incident=incident, group=each.group, reason=reason, now=now)
    return written


def _acknowledges(channel: Channel) -> bool:
    try:
        return notifier(channel.kind).ACKNOWLEDGES
    except NotifierError:
        return False


# --- Claims --------------------------------------------------------------------------------------------------------


def claim(now: datetime) -> list[Claimed]:
    """Takes what is due, as much as channels may be told now. Nobody else gets it before its lease ends."""
    at = clock.micros(now)
    _set_right(now)
    ids = list(_due(at).order_by().values_list("channel", flat=True).distinct()[:CHANNELS_MAX])
    if not ids:
        return []
    token = uuid.uuid4().hex
    with transaction.atomic():
        # Whoever claims for a channel counts first what it was told: one after the other.
        for channel in Channel.objects.select_for_update().filter(pk__in=ids).order_by("pk"):
            _give_up(channel, now)
            if not channel.enabled or channel.disabled_reason:
                _put_aside(channel, at)
            else:
                _claim_of(channel, token, now)
    return _claimed(token)


def _set_right(now: datetime) -> None:
    """A clock that was set back: what was written before that shall not wait until it has caught up."""
    ahead = Delivery.objects.filter(due_at__gt=clock.micros(now), claim="", created_at__gt=now + MINUTE)
    if ahead.exists():
        ahead.update(due_at=clock.micros(now))


def _due(at: int) -> QuerySet[Delivery]:
    """Without those that wait for an earlier one of the same group, or of the incident itself."""
    same = Q(group=OuterRef("group")) | Q(group__isnull=True, incident=OuterRef("incident"))
    earlier = Delivery.objects.filter(same, channel=OuterRef("channel"), pk__lt=OuterRef("pk"), due_at__isnull=False)
    return Delivery.objects.filter(~Exists(earlier), due_at__lte=at)


def _claimed(token: str) -> list[Claimed]:
    rows = Delivery.objects.filter(claim=token).select_related("channel").order_by("pk")
    return [Claimed(row.pk, token, row.channel, row.notification, row.due_at or 0) for row in rows]


def _claim_of(channel: Channel, token: str, now: datetime) -> None:
    """Within what the channel may be told in a minute; what is more comes as one summary, or later."""
    at = clock.micros(now)
    due = _due(at).filter(channel=channel)
    under_way = Delivery.objects.filter(channel=channel, due_at__gt=at).exclude(claim="").count()
    # Not what is ahead of a clock that was set back.
    sent = Delivery.objects.filter(channel=channel, finished_at__lte=now + MINUTE, took_ms__isnull=False)
    recent = sent.filter(finished_at__gt=now - MINUTE)
    free = channel.rate_max - recent.count() - under_way
    if free <= 0:
        first = recent.aggregate(first=Min("finished_at"))["first"] or now
        due.update(due_at=max(clock.micros(first + MINUTE), at + clock.SECOND))
        return
    waiting = _in_order(due)
    if len(waiting) > free and notifier(channel.kind).FOR_PEOPLE:
        waiting = _summed_up(channel, waiting, free, now)
    most = (1 if channel.failing_since else CHANNEL_MAX) - under_way
    mine = Delivery.objects.filter(pk__in=waiting[: max(min(free, most), 0)], due_at__lte=at)
    mine.update(claim=token, due_at=at + LEASE, attempts=F("attempts") + 1)


def _in_order(due: QuerySet[Delivery]) -> list[int]:
    """What is never held back first, then the worst, then the oldest."""
    rows = due.order_by("pk").values_list("pk", "reason", "notification__severity")[:WAITING_MAX]
    return [pk for pk, *_ in sorted(rows, key=lambda row: (row[1] not in WHOLE, summary.rank(row[2])))]


def _give_up(channel: Channel, now: datetime) -> None:
    old = Delivery.objects.filter(channel=channel, due_at__lte=clock.micros(now), created_at__lt=now - GIVE_UP)
    _fail(old, now, f"given up after {GIVE_UP.days * 24} hours: ")


def _put_aside(channel: Channel, at: int) -> None:
    """Of a channel whose settings are wrong: until it is repaired. Of one that was switched off: for good."""
    due = Delivery.objects.filter(channel=channel, due_at__lte=at)
    if channel.enabled:
        due.update(due_at=at + OFF_LOOK, claim="", answer=channel.disabled_reason)
    else:
        due.update(answer="")
        _fail(due, clock.moment(at), "the channel was switched off")


def _fail(rows: QuerySet[Delivery], now: datetime, why: str) -> None:
    """With what was answered last."""
    said = Left(Concat(Value(why), "answer", output_field=TextField()), DETAIL_MAX)
    rows.update(outcome=Outcome.FAILED, due_at=None, claim="", finished_at=now, answer=said)


# --- What is more than a channel takes -----------------------------------------------------------------------------


def _summed_up(channel: Channel, waiting: list[int], free: int, now: datetime) -> list[int]:
    """Those of `waiting` that are sent as they are, after one message about the others."""
    rows = Delivery.objects.filter(pk__in=waiting[free - 1 :]).exclude(reason__in=WHOLE)
    held = list(rows.order_by("pk").only("reason", "notification", "channel"))
    if len(held) < 2:
        return waiting
    stored = msgspec.to_builtins(summary.of([(each.reason, each.notification) for each in held]))
    one = Delivery.objects.create(
        channel=channel, reason=Reason.SUMMARY, notification=stored, created_at=now, due_at=clock.micros(now)
    )
    gone = {each.pk for each in held}
    Delivery.objects.filter(pk__in=gone).update(
        outcome=Outcome.HELD, due_at=None, finished_at=now, answer=f"in the summary {one.pk}"
    )
    return [one.pk, *(pk for pk in waiting if pk not in gone)]


# --- What became of it ---------------------------------------------------------------------------------------------


def record(results: Sequence[Result], now: datetime) -> None:
    """Writes the answers; of what is not ours any more, because its lease ended, nothing."""
    with transaction.atomic():
        rows = Delivery.objects.select_related("channel__receiver").in_bulk([each.claimed.pk for each in results])
        passed = set()
        for result in results:
            row = rows.get(result.claimed.pk)
            if row and row.claim == result.claimed.token and _finish(row, result, now):
                passed.add(row.channel_id)
        Channel.objects.filter(pk__in=passed).update(delivered_at=now, failing_since=None, disabled_reason="")


def release(several: Iterable[Claimed]) -> None:
    """Hands back what was not begun."""
    for each in several:
        Delivery.objects.filter(pk=each.pk, claim=each.token).update(
            claim="", due_at=clock.now(), attempts=F("attempts") - 1
        )


def _finish(row: Delivery, result: Result, now: datetime) -> bool:
    """Whether it has passed."""
    error = result.error
    row.claim, row.took_ms, row.answer = "", result.took_ms, result.answer
    channel = Channel.objects.filter(pk=row.channel_id)
    if error is None:
        row.outcome, row.due_at, row.finished_at = Outcome.DELIVERED, None, now
    elif isinstance(error, RefusedError) or row.reason == Reason.TEST:
        row.outcome, row.due_at, row.finished_at = Outcome.FAILED, None, now
    else:
        row.due_at = clock.micros(now) + (OFF_LOOK if error.permanent else _pause(row, error))
        channel.update(failing_since=Coalesce("failing_since", Value(now)))
        if error.retry_after:
            Delivery.objects.filter(channel=row.channel_id, claim="", due_at__lt=row.due_at).update(due_at=row.due_at)
    if error and error.permanent:
        channel.update(disabled_reason=str(error))
    fields = ["claim", "took_ms", "answer", "outcome", "due_at", "finished_at"]
    ours = Delivery.objects.filter(pk=row.pk, claim=result.claimed.token)
    if not ours.update(**{name: getattr(row, name) for name in fields}):
        return False  # the lease ended just now
    if row.incident_id and row.finished_at:
        _note(row, now)
    return error is None


def _note(row: Delivery, now: datetime) -> None:
    """In the history of the incident: who was told, or could not be."""
    text = (
        f"{row.channel}: {row.answer}" if row.outcome == Outcome.DELIVERED else f"{row.channel}: failed, {row.answer}"
    )
    data = {"delivery": row.pk, "reason": row.reason, "outcome": row.outcome}
    events.note(row.incident_id or 0, Verb.NOTIFY, events.Act(None, Via.SYSTEM, now, text), data)


def _pause(row: Delivery, error: NotifierError) -> int:
    """µs until the next try: longer each time, not all at once, and as long as the other side asked for."""
    pause: float = min(FIRST_RETRY * 2 ** min(row.attempts - 1, 20), LONGEST_RETRY)
    spread = pause * (0.9 + 0.2 * (row.pk * GOLDEN % 1))
    return round(max(spread, min(error.retry_after or 0, RETRY_AFTER_MAX)) * clock.SECOND)


def repaired(channel: Channel, now: datetime) -> None:
    """After its settings were saved: what waits for it is due at once."""
    Channel.objects.filter(pk=channel.pk).update(disabled_reason="", failing_since=None)
    Delivery.objects.filter(channel=channel, claim="", due_at__isnull=False).update(due_at=clock.micros(now))
