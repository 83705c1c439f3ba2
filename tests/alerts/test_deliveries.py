"""Who is told what, when, how often: deliveries as rows."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import msgspec
import pytest
from django.db import connections

from alerts import deliveries
from alerts.deliveries import Claimed, Result
from alerts.models import Channel, Delivery
from alerts.models.deliveries import Outcome, Reason
from alerts.notifications import Notification
from alerts.notifiers import NotifierError, RefusedError, webhook
from alerts.severity import Severity
from core import clock
from tests.alerts.telling import NOW, channel, due, group, incident, notification, told

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

SECOND = timedelta(seconds=1)
LEASE = deliveries.LEASE / clock.SECOND * SECOND


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of channel that is read by people."""
    monkeypatch.setattr(webhook, "FOR_PEOPLE", True)
    return "webhook"


def answered(claimed: Claimed, error: NotifierError | None = None) -> Result:
    return Result(claimed, "200 ok" if error is None else str(error), 12, error)


def record(claimed: Claimed, now: datetime = NOW, error: NotifierError | None = None) -> Delivery:
    deliveries.record([answered(claimed, error)], now)
    return Delivery.objects.get(pk=claimed.pk)


def due_in(delivery: Delivery, now: datetime = NOW) -> float:
    assert delivery.due_at
    return (delivery.due_at - clock.micros(now)) / clock.SECOND


# --- Claims --------------------------------------------------------------------------------------------------------


def test_a_message_for_each_channel_that_is_switched_on(database: str) -> None:
    on, off = channel(), channel(enabled=False)
    [row] = due(on, off)
    assert (row.channel, row.outcome, row.reason) == (on, Outcome.DUE, Reason.FIRING)
    assert [each.pk for each in deliveries.claim(NOW)] == [row.pk]


def test_what_is_claimed_is_claimed_once_and_again_when_the_lease_of_a_killed_worker_ends(database: str) -> None:
    [row] = due(channel())
    [first] = deliveries.claim(NOW)
    assert deliveries.claim(NOW + LEASE - SECOND) == []
    [second] = deliveries.claim(NOW + LEASE)
    assert first.pk == second.pk == row.pk
    # The first worker was not dead, only slow: its answer counts no more.
    assert record(first, error=NotifierError("no answer")).attempts == 2
    assert record(second).outcome == Outcome.DELIVERED


def test_claims_at_the_same_time_share_what_is_due(database: str) -> None:
    for each in [channel() for _ in range(10)]:
        for _ in range(3):
            due(each)
    claimed: list[list[Claimed]] = []
    ready = threading.Barrier(4)

    def tick() -> None:
        ready.wait()
        claimed.append(deliveries.claim(NOW))
        connections.close_all()

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [each.pk for several in claimed for each in several]
    assert sorted(taken) == sorted(Delivery.objects.values_list("pk", flat=True))


def test_of_a_group_a_channel_is_told_in_order(database: str) -> None:
    one, other, ours = channel(), channel(), group()
    [first] = due(one, group=ours)
    [second] = due(one, group=ours, reason=Reason.RESOLVED)
    [elsewhere] = due(other, group=ours)
    claimed = {each.pk: each for each in deliveries.claim(NOW)}
    assert set(claimed) == {first.pk, elsewhere.pk}
    record(claimed[first.pk], error=NotifierError("no answer"))
    assert deliveries.claim(NOW + SECOND) == []
    [again] = deliveries.claim(NOW + 6 * SECOND)
    assert again.pk == first.pk
    record(again)
    assert [each.pk for each in deliveries.claim(NOW + 7 * SECOND)] == [second.pk]


def test_of_an_incident_itself_a_channel_is_told_in_order(database: str) -> None:
    there, ours = channel(), incident()
    [first] = due(there, incident=ours, reason=Reason.ESCALATION)
    due(there, incident=ours, reason=Reason.RESOLVED)
    [other] = due(there, incident=incident("Other"))
    assert {each.pk for each in deliveries.claim(NOW)} == {first.pk, other.pk}


def test_a_clock_that_was_set_back_keeps_nobody_waiting() -> None:
    there = channel(rate_max=1)
    due(there)
    [sent] = deliveries.claim(NOW)
    record(sent)
    [row] = due(there)
    hour_ago = NOW - timedelta(hours=1)
    assert [each.pk for each in deliveries.claim(hour_ago)] == [row.pk]


def test_a_clock_that_was_set_forward_sends_nothing_twice_that_is_finished() -> None:
    there = channel()
    for _ in range(2):
        due(there)
    for each in deliveries.claim(NOW):
        record(each)
    assert deliveries.claim(NOW + timedelta(hours=1)) == []


def test_what_was_not_begun_is_handed_back() -> None:
    [row] = due(channel())
    deliveries.release(deliveries.claim(NOW))
    row.refresh_from_db()
    assert (row.claim, row.attempts) == ("", 0)


# --- Who keeps a state of its own ---------------------------------------------------------------------------------


def test_who_keeps_a_state_is_told_once_for_each_group_that_it_knows_of(database: str) -> None:
    ours, one, two = incident(), group("one"), group("two")
    pager, chat = channel(kind="pagerduty"), channel(kind="slack")
    for reason in (Reason.FIRING, Reason.REPEAT):
        due(pager, chat, incident=ours, group=one, reason=reason, dedup_key="one")
    due(pager, incident=ours, group=two, dedup_key="two")
    written = deliveries.mirror(ours, Reason.ACKNOWLEDGED, by="ann", now=NOW)
    told_of = {(each.channel_id, each.notification["dedup_key"]) for each in written}
    assert told_of == {(pager.pk, "one"), (pager.pk, "two")}
    assert {(each.reason, each.notification["reason"], each.notification["by"]) for each in written} == {
        ("acknowledged", "acknowledged", "ann")
    }


def test_nobody_is_told_of_an_incident_that_he_was_not_told_of() -> None:
    channel(kind="pagerduty")
    assert deliveries.mirror(incident(), Reason.ACKNOWLEDGED, by="ann", now=NOW) == []


def test_the_incident_knows_who_was_told_and_who_could_not_be(database: str) -> None:
    ours = incident()
    due(channel(), channel(), channel(), incident=ours)
    passed, refused, failed = deliveries.claim(NOW)
    record(passed)
    record(refused, error=RefusedError("400 no"))
    record(failed, error=NotifierError("503 down"))  # it is tried again: nothing to say yet
    said = list(ours.events.values_list("verb", "text", "data__delivery"))
    assert said == [
        ("notify", "ops · webhook: 200 ok", passed.pk),
        ("notify", "ops · webhook: failed, 400 no", refused.pk),
    ]


# --- Errors --------------------------------------------------------------------------------------------------------


def test_a_message_that_passes_is_kept_with_its_answer() -> None:
    there = channel(failing_since=NOW - SECOND)
    due(there)
    [claimed] = deliveries.claim(NOW)
    row = record(claimed)
    assert (row.outcome, row.due_at, row.finished_at) == (Outcome.DELIVERED, None, NOW)
    assert (row.answer, row.took_ms, row.attempts) == ("200 ok", 12, 1)
    there.refresh_from_db()
    assert (there.delivered_at, there.failing_since) == (NOW, None)


def test_it_is_tried_again_later_and_later_and_given_up_after_a_day() -> None:
    there = channel()
    [row] = due(there)
    pauses, now = [], NOW
    for _ in range(300):
        claimed = deliveries.claim(now)
        if not claimed:
            break
        row = record(claimed[0], now, NotifierError("503 down"))
        assert row.due_at
        pauses.append(due_in(row, now))
        now = clock.moment(row.due_at)
    row.refresh_from_db()
    assert [round(pause / pauses[0]) for pause in pauses[:4]] == [1, 2, 4, 8]
    assert max(pauses) < 1_000
    assert 50 < len(pauses) < 150
    assert (row.outcome, row.due_at, row.answer) == (Outcome.FAILED, None, "given up after 24 hours: 503 down")
    there.refresh_from_db()
    assert there.failing_since == NOW
    assert there.disabled_reason == ""


@pytest.mark.parametrize(("asked", "waits"), [(120.0, 120.0), (10.0**9, deliveries.RETRY_AFTER_MAX)])
def test_a_receiver_that_asks_for_time_gets_it_for_all_its_messages(asked: float, waits: float) -> None:
    there = channel()
    first, second = due(there) + due(there)
    for each in deliveries.claim(NOW):
        if each.pk == first.pk:
            claimed = each
        else:
            deliveries.release([each])
    Delivery.objects.filter(pk=second.pk).update(due_at=clock.micros(NOW))
    row = record(claimed, error=NotifierError("429 slow down", retry_after=asked))
    assert due_in(row) == waits
    second.refresh_from_db()
    assert due_in(second) == waits


def test_a_message_that_is_refused_is_not_sent_again_and_the_channel_stays() -> None:
    there = channel()
    due(there)
    [claimed] = deliveries.claim(NOW)
    row = record(claimed, error=RefusedError("400 invalid_blocks"))
    assert (row.outcome, row.answer) == (Outcome.FAILED, "400 invalid_blocks")
    there.refresh_from_db()
    assert (there.disabled_reason, there.failing_since) == ("", None)


def test_wrong_settings_turn_the_channel_off_and_its_messages_wait_for_the_repair() -> None:
    there = channel()
    first, second = due(there, alerts=[told("A")]) + due(there, alerts=[told("B")])
    claimed = next(each for each in deliveries.claim(NOW) if each.pk == first.pk)
    record(claimed, error=NotifierError("403 invalid_token", permanent=True))
    there.refresh_from_db()
    assert there.disabled_reason == "403 invalid_token"
    assert deliveries.claim(NOW + LEASE) == []
    second.refresh_from_db()
    assert (second.outcome, second.answer) == (Outcome.DUE, "403 invalid_token")

    deliveries.repaired(there, NOW + 60 * SECOND)
    there.refresh_from_db()
    assert there.disabled_reason == ""
    assert {each.pk for each in deliveries.claim(NOW + 60 * SECOND)} == {first.pk, second.pk}


def test_nobody_repairs_it_for_a_day() -> None:
    there = channel(disabled_reason="403 invalid_token")
    [row] = due(there)
    for hour in range(26):
        assert deliveries.claim(NOW + timedelta(hours=hour)) == []
    row.refresh_from_db()
    assert (row.outcome, row.answer) == (Outcome.FAILED, "given up after 24 hours: 403 invalid_token")


def test_what_waits_for_a_channel_that_is_switched_off_is_not_sent() -> None:
    there = channel()
    [row] = due(there)
    Channel.objects.update(enabled=False)
    assert deliveries.claim(NOW) == []
    row.refresh_from_db()
    assert (row.outcome, row.answer) == (Outcome.FAILED, "the channel was switched off")


def test_a_channel_that_fails_is_asked_with_one_message_at_a_time() -> None:
    there = channel(failing_since=NOW)
    for name in "ABC":
        due(there, alerts=[told(name)])
    [claimed] = deliveries.claim(NOW)
    assert deliveries.claim(NOW) == []
    record(claimed)
    assert len(deliveries.claim(NOW)) == 2


# --- The rate cap --------------------------------------------------------------------------------------------------


def test_more_than_a_channel_for_people_takes_in_a_minute_comes_as_one_summary(people: str) -> None:
    there = channel(kind=people, rate_max=4)
    for number in range(12):
        severity = Severity.CRITICAL if number == 11 else Severity.LOW
        due(there, severity=severity, alerts=[told(f"Alert{number}", severity=severity)])
    sent = deliveries.claim(NOW)
    rows = Delivery.objects.in_bulk([each.pk for each in sent])
    assert len(rows) == 4
    summary = next(row for row in rows.values() if row.reason == Reason.SUMMARY)
    assert summary.notification["title"] == "9 more messages in one"
    assert len(summary.notification["alerts"]) == 9
    assert "critical" in {row.notification["severity"] for row in rows.values()}  # the worst is told by itself
    held = Delivery.objects.filter(outcome=Outcome.HELD)
    assert held.count() == 9
    assert {row.answer for row in held} == {f"in the summary {summary.pk}"}


def test_after_a_minute_the_channel_takes_messages_again(people: str) -> None:
    there = channel(kind=people, rate_max=2)
    for _ in range(2):
        due(there)
    for each in deliveries.claim(NOW):
        record(each)
    [late] = due(there, at=NOW + SECOND)
    assert deliveries.claim(NOW + SECOND) == []
    assert deliveries.claim(NOW + 59 * SECOND) == []
    assert [each.pk for each in deliveries.claim(NOW + 60 * SECOND)] == [late.pk]


def test_programs_get_every_message_only_later() -> None:
    there = channel(rate_max=2)
    for _ in range(5):
        due(there)
    told_at, now = [], NOW
    while Delivery.objects.filter(outcome=Outcome.DUE).exists():
        for each in deliveries.claim(now):
            record(each, now)
            told_at.append((now - NOW).total_seconds())
        now += SECOND
    assert told_at == [0, 0, 60, 60, 120]
    assert not Delivery.objects.filter(reason=Reason.SUMMARY).exists()


def test_a_digest_is_never_lost_in_a_summary(people: str) -> None:
    there = channel(kind=people, rate_max=2)
    for _ in range(5):
        due(there)
    [digest] = due(there, reason=Reason.DIGEST, severity="info", alerts=[])
    reasons = {each.pk: Delivery.objects.get(pk=each.pk).reason for each in deliveries.claim(NOW)}
    assert digest.pk in reasons
    assert set(reasons.values()) == {Reason.DIGEST, Reason.SUMMARY}


def test_a_notification_is_read_as_it_was_written() -> None:
    [row] = due(channel())
    [claimed] = deliveries.claim(NOW)
    assert msgspec.convert(claimed.stored, Notification) == notification()
    assert claimed.lease_end == clock.micros(NOW) + deliveries.LEASE
    assert row.created_at == NOW
