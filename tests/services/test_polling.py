"""Who asks what, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from core import clock
from services import polling, probes, recording, tasks
from services.models import Check, CheckResult, Service
from services.probes import Measurement
from services.status import Outcome, Status
from tests.services.watched import answer, many, watched

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NOW = 1_795_000_000 * clock.SECOND
SECOND = clock.SECOND


def due_at(check: Check) -> int:
    return Check.objects.values_list("due_at", flat=True).get(pk=check.pk)


def claimed(now: int) -> list[polling.Due]:
    return list(polling.claim(now).due)


# --- Claims ----------------------------------------------------------------------------------------------------------


def test_what_is_due_is_taken_once(database: str) -> None:
    check = watched(due_at=NOW)
    assert claimed(NOW) == [(check.pk, NOW)]
    assert claimed(NOW) == []
    assert claimed(NOW + SECOND) == []


def test_what_is_due_before_the_next_tick_is_taken_with_its_true_time(database: str) -> None:
    soon = watched("soon", due_at=NOW + SECOND)
    sooner = watched("sooner", due_at=NOW + SECOND // 2)
    watched("later", due_at=NOW + 2 * SECOND)
    assert claimed(NOW) == [(sooner.pk, NOW + SECOND // 2), (soon.pk, NOW + SECOND)]


def test_a_claim_lasts_for_the_timeout_and_a_margin_of_each_check(database: str) -> None:
    short, long = watched("short", due_at=NOW, timeout=0.5), watched("long", due_at=NOW, timeout=60)
    polling.claim(NOW)
    assert due_at(short) == NOW + 10_500_000
    assert due_at(long) == NOW + 70 * SECOND


def test_of_a_killed_worker_the_claim_comes_back_when_its_lease_ends(database: str) -> None:
    check = watched(due_at=NOW, interval=60, timeout=5)
    first = polling.claim(NOW)
    assert claimed(NOW + 13 * SECOND) == []
    later = NOW + 15 * SECOND
    second = polling.claim(later)
    assert second.due == [(check.pk, later)]
    # The first worker was not dead, only slow: what it brings now counts no more.
    recording.record([answer(check, NOW, claim=first.token, next_due=NOW + 60 * SECOND)], timezone.now())
    assert not CheckResult.objects.exists()
    recording.record([answer(check, later, claim=second.token, next_due=later + 60 * SECOND)], timezone.now())
    assert CheckResult.objects.count() == 1
    assert due_at(check) == later + 60 * SECOND


@pytest.mark.parametrize("fields", [{"enabled": False}, {"kind": "heartbeat"}])
def test_a_check_that_is_off_or_passive_is_left_alone(database: str, fields: dict[str, Any]) -> None:
    watched(due_at=NOW, **fields)
    assert claimed(NOW) == []


def test_a_paused_service_is_left_alone(database: str) -> None:
    check = watched(due_at=NOW)
    Service.objects.filter(pk=check.service_id).update(paused=True)
    assert claimed(NOW) == []


def test_ticks_at_the_same_time_share_what_is_due(database: str) -> None:
    ids = many(300, due_at=NOW)
    claims: list[polling.Claim] = []
    ready = threading.Barrier(4)

    def tick() -> None:
        ready.wait()
        claims.append(polling.claim(NOW))
        connections.close_all()

    together(tick, 4)
    taken = [pk for claim in claims for pk, _ in claim.due]
    assert sorted(taken) == ids
    for claim in claims:
        assert set(Check.objects.filter(claim=claim.token).values_list("pk", flat=True)) == {pk for pk, _ in claim.due}


def together(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_tick_takes_no_more_than_it_may_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(polling, "CLAIMS_MAX", 10)
    many(25, due_at=NOW)
    assert [len(claimed(NOW)) for _ in range(4)] == [10, 10, 5, 0]
    assert caplog.messages == ["More than 10 checks are due at once: some are asked late"]


def test_what_is_due_the_longest_is_taken_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "CLAIMS_MAX", 1)
    watched("late", due_at=NOW - SECOND)
    later = watched("later", due_at=NOW - 2 * SECOND)
    assert [pk for pk, _ in claimed(NOW)] == [later.pk]


def test_what_was_not_begun_is_handed_back_with_its_true_time(database: str) -> None:
    check = watched(due_at=NOW + SECOND)
    claim = polling.claim(NOW)
    polling.release([(check.pk, "of somebody else", NOW)])
    assert due_at(check) > NOW + 10 * SECOND
    polling.release([(check.pk, claim.token, NOW + SECOND)])
    assert claimed(NOW) == [(check.pk, NOW + SECOND)]


def test_a_message_is_forgotten_long_before_the_lease_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, float]] = []
    monkeypatch.setattr(tasks.ask, "apply_async", lambda args, expires: sent.append((args, expires)))
    many(polling.BATCH + 1, due_at=clock.now())
    assert tasks.tick() == polling.BATCH + 1
    assert [len(due) for (_, due), _ in sent] == [polling.BATCH, 1]
    assert {expires for _, expires in sent} == {polling.BEGIN_WITHIN}
    assert polling.LOOKAHEAD / SECOND + polling.BEGIN_WITHIN < 10
    entry = settings.CELERY_BEAT_SCHEDULE["poll"]
    assert (entry["task"], entry["schedule"], entry["options"]["expires"]) == (tasks.tick.name, 1, 1)


# --- Deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "now", "kept"),
    [
        (1_000, 990, 1_000),  # to come
        (1_000, 1_000, 1_000),
        (1_000, 1_009, 1_000),  # late by less than an interval
        (1_000, 1_010, 1_010),
        (1_000, 1_057, 1_050),  # five were missed: one is made up for
    ],
)
def test_of_missed_deadlines_only_the_last_is_kept(due: int, now: int, kept: int) -> None:
    assert polling.on_grid(due, 10, now) == kept


@pytest.mark.parametrize(
    ("asked", "following"),
    [(1_000, 1_010), (1_004, 1_010), (1_005, 1_010), (1_006, 1_020), (1_009, 1_020)],
)
def test_the_next_deadline_is_on_the_grid_and_not_at_hand(asked: int, following: int) -> None:
    assert polling.next_due(1_000, 10, asked) == following


def test_after_a_downtime_each_check_is_asked_once(database: str) -> None:
    check = watched(due_at=NOW, interval=10)
    later = NOW + 3_605 * SECOND
    claim = polling.claim(later)
    assert claim.due == [(check.pk, NOW + 3_600 * SECOND)]


@pytest.mark.parametrize("interval", [1, 2.5, 10])
def test_checks_do_not_drift(interval: float) -> None:
    """A tick each second that comes a little late, answers that take a while: each deadline is kept, none twice."""
    check = watched(due_at=NOW, interval=interval)
    kept, step = [], polling.micros(interval)
    for number in range(40):
        now = NOW + number * SECOND + number * 37_000 % 100_000
        for pk, due in (claim := polling.claim(now)).due:
            kept.append(due)
            asked = max(due, now)
            following = polling.next_due(due, step, asked)
            recording.record([answer(pk, asked, claim=claim.token, next_due=following)], timezone.now())
    assert kept == list(range(NOW, kept[-1] + 1, step))
    assert kept[-1] >= NOW + 38 * SECOND
    assert due_at(check) == kept[-1] + step


def test_new_checks_are_spread_over_their_interval(database: str) -> None:
    many(100, interval=10, created_at=clock.moment(NOW))
    assert claimed(NOW) == []
    deadlines = sorted(Check.objects.values_list("due_at", flat=True))
    assert deadlines[0] >= NOW
    assert deadlines[-1] < NOW + 10 * SECOND
    gaps = [after - before for before, after in pairwise(deadlines)]
    assert max(gaps) < SECOND // 2


def test_a_new_check_with_a_long_interval_begins_within_a_minute() -> None:
    check = watched(interval=86_400, created_at=clock.moment(NOW))
    polling.claim(NOW)
    assert NOW <= due_at(check) < NOW + 60 * SECOND


def test_a_new_check_waits_for_its_initial_delay() -> None:
    created = clock.moment(NOW)
    check = watched(interval=10, initial_delay=300, created_at=created)
    polling.claim(NOW + SECOND)
    assert NOW + 300 * SECOND <= due_at(check) < NOW + 310 * SECOND


def test_a_shorter_interval_is_kept_at_once() -> None:
    check = watched(interval=3_600, due_at=clock.now() + 3_000 * SECOND, last_at=NOW)
    check.interval = 10
    check.save()
    assert due_at(check) <= clock.now() + 10 * SECOND


# --- Verbs -----------------------------------------------------------------------------------------------------------


def asking(monkeypatch: pytest.MonkeyPatch, measurement: Measurement) -> None:
    async def ask(_: object) -> Measurement:
        return measurement

    monkeypatch.setattr(probes, "ask", ask)


def test_check_now_asks_records_and_returns_the_raw_answer(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check = watched(due_at=NOW, failure_threshold=1)
    asking(monkeypatch, Measurement(Outcome.FAILING, "answered 500", raw="Oops"))
    assert polling.check_now(check).raw == "Oops"
    assert CheckResult.objects.get().detail == "answered 500"
    assert Service.objects.get().status == Status.DEGRADED
    assert due_at(check) == NOW


def test_check_now_tells_what_a_job_told_last_and_records_nothing(database: str) -> None:
    check = watched(kind="heartbeat", due_at=NOW, options={"period": 60})
    recording.record([answer(check, NOW, Outcome.FAILING, "exit code 3")], timezone.now())
    check.refresh_from_db()
    assert (found := polling.check_now(check)).detail == "exit code 3"
    assert found.outcome == Outcome.FAILING
    assert CheckResult.objects.count() == 1


def test_check_now_takes_nothing_from_who_has_claimed_it(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check = watched(due_at=NOW)
    claim = polling.claim(NOW)
    asking(monkeypatch, Measurement())
    polling.check_now(check)
    recording.record([answer(check, NOW, claim=claim.token, next_due=NOW + 5 * SECOND)], timezone.now())
    assert CheckResult.objects.count() == 2
    assert due_at(check) == NOW + 5 * SECOND


def test_check_now_ends_with_the_timeout_whatever_the_probe_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: object) -> Measurement:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(probes, "ask", hang)
    monkeypatch.setattr(polling, "GRACE", 0)
    found = polling.check_now(watched(timeout=0.1))
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no answer within 0.1 s")


def test_a_pause_is_grey_and_what_is_under_way_does_not_count(database: str) -> None:
    check = watched(due_at=NOW)
    recording.record([answer(check, NOW)], timezone.now())
    claim = polling.claim(NOW)
    assert polling.pause(check.service)
    assert (check.service.status, check.service.paused) == (Status.PAUSED, True)
    recording.record([answer(check, NOW, Outcome.FAILING, claim=claim.token)], timezone.now())
    assert CheckResult.objects.count() == 1
    assert claimed(NOW + 3_600 * SECOND) == []
    assert not polling.pause(check.service)


def test_after_a_pause_checks_are_due_at_once(database: str) -> None:
    check = watched(due_at=NOW)
    polling.pause(check.service)
    assert polling.resume(check.service)
    assert check.service.status == Status.UNKNOWN
    assert [pk for pk, _ in claimed(clock.now())] == [check.pk]
    assert not polling.resume(check.service)


def test_who_paused_it_stands_in_its_history(django_user_model: type[User]) -> None:
    check, alice = watched(), django_user_model.objects.create(username="alice")
    polling.pause(check.service, by=alice)
    polling.resume(check.service, by=alice)
    told = LogEntry.objects.order_by("pk").values_list("user__username", "object_repr", "change_message")
    assert list(told) == [("alice", "shop", "Paused."), ("alice", "shop", "Resumed.")]


# --- What time alone changes -----------------------------------------------------------------------------------------


def test_a_check_that_fell_silent_makes_its_service_unknown(database: str) -> None:
    check = watched(interval=5, timeout=5)
    many(2 * polling.SETTLED_MAX)  # so that its turn may be far away
    recording.record([answer(check, NOW)], clock.moment(NOW))
    status = Service.objects.values_list("status", flat=True)
    polling.settle_due(clock.moment(NOW + 59 * SECOND))
    assert status.get(name="shop") == Status.HEALTHY
    polling.settle_due(clock.moment(NOW + 61 * SECOND))
    assert status.get(name="shop") == Status.UNKNOWN


def test_a_long_interval_gives_more_patience(database: str) -> None:
    check = watched(interval=600, timeout=5)
    recording.record([answer(check, NOW)], clock.moment(NOW))
    assert polling.settle_due(clock.moment(NOW + 1_800 * SECOND)) == 0
    assert polling.settle_due(clock.moment(NOW + 1_810 * SECOND)) == 1


def test_what_was_missed_is_put_right_when_its_turn_comes(database: str) -> None:
    """Somebody wrote to the database directly, or a process died between two statements."""
    many(3 * polling.SETTLED_MAX)
    Service.objects.update(status=Status.DOWN)
    turns = [polling.settle_due(clock.moment(NOW + turn * 30 * SECOND)) for turn in range(3)]
    assert sum(turns) == 3 * polling.SETTLED_MAX
    assert max(turns) <= polling.SETTLED_MAX + 1
