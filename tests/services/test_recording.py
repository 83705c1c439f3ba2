"""What a result does: the fact, the check, the service."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import clock
from services import live
from services.models import Check, CheckResult, Dependency, Service, StatusChange
from services.probes import Part
from services.recording import record
from services.status import Outcome, Status
from tests.services.watched import answer, many, watched

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

THEN = datetime(2026, 11, 21, 12, 3, tzinfo=UTC)
AT = clock.micros(THEN)
SECOND = clock.SECOND


def test_a_result_is_kept_as_it_came(database: str) -> None:
    check = watched()
    parts = (Part("database", Outcome.FAILING, "no connection", 12.5), Part("redis", Outcome.UP))
    record([answer(check, AT, Outcome.DEGRADED, "database unhealthy", latency_ms=12.3456, parts=parts)], THEN)

    result = CheckResult.objects.get()
    assert (result.service_check_id, result.at, result.outcome) == (check.pk, AT, Outcome.DEGRADED)
    assert (result.detail, result.latency_us) == ("database unhealthy", 12_346)
    assert result.parts == [
        {"path": "database", "outcome": 2, "detail": "no connection", "latency_ms": 12.5},
        {"path": "redis", "outcome": 0},
    ]
    check.refresh_from_db()
    assert (check.last_at, check.last_outcome, check.latency_us) == (AT, Outcome.DEGRADED, 12_346)


def test_a_result_without_anything_has_nothing(database: str) -> None:
    record([answer(watched(), AT)], THEN)
    assert CheckResult.objects.filter(parts__isnull=True, latency_us=None, detail="").count() == 1


def test_a_part_keeps_the_time_since_which_it_is_as_it_is(database: str) -> None:
    check = watched()
    for minute, outcome in enumerate([Outcome.UP, Outcome.FAILING, Outcome.FAILING]):
        at = AT + minute * clock.MINUTE
        record([answer(check, at, parts=(Part("redis", outcome), Part("disk", Outcome.UP)))], THEN)
    check.refresh_from_db()
    assert {part["path"]: part["since"] for part in check.parts} == {"redis": AT + clock.MINUTE, "disk": AT}


def test_several_results_of_a_check_count_one_after_the_other(database: str) -> None:
    check = watched(failure_threshold=3)
    record([answer(check, AT + second, Outcome.FAILING, "answered 500") for second in range(3)], THEN)
    check.refresh_from_db()
    assert (check.outcome, check.outcome_since, CheckResult.objects.count()) == (Outcome.FAILING, AT, 3)


def test_while_a_check_is_settled_on_something_else_its_sentence_stays(database: str) -> None:
    check = watched(failure_threshold=2)
    record([answer(check, AT, detail="fine")], THEN)
    record([answer(check, AT + 1, Outcome.FAILING, "answered 500")], THEN)
    check.refresh_from_db()
    assert (check.outcome, check.detail, check.last_outcome) == (Outcome.UP, "fine", Outcome.FAILING)


def test_the_end_of_a_certificate_is_kept_while_nobody_answers(database: str) -> None:
    check, end = watched(), THEN + timedelta(days=30)
    with_end = answer(check, AT)
    found = type(with_end)(check.pk, AT, type(with_end.measurement)(expires_at=end))
    record([found, answer(check, AT + 1, Outcome.UNREACHABLE)], THEN)
    check.refresh_from_db()
    assert check.expires_at == end
    record([answer(check, AT + 2)], THEN)
    check.refresh_from_db()
    assert check.expires_at is None


@pytest.mark.parametrize("detail", ["with \0 in it", "x" * 1_000, "“ü” — \U0001f600"])
def test_any_text_is_taken(database: str, detail: str) -> None:
    record([answer(watched(), AT, Outcome.FAILING, detail)], THEN)
    assert CheckResult.objects.get().detail == detail.replace("\0", "")[:300]


def test_what_is_gone_is_no_error(database: str) -> None:
    check = watched()
    gone = check.pk
    check.delete()
    assert record([answer(gone, AT)], THEN) == []
    assert not CheckResult.objects.exists()


def test_a_claim_that_is_lost_brings_nothing(database: str) -> None:
    check = watched(claim="of another", due_at=AT)
    record([answer(check, AT, claim="mine", next_due=AT + 5)], THEN)
    check.refresh_from_db()
    assert (check.claim, check.due_at, check.last_at) == ("of another", AT, None)


def test_however_many_there_are_the_statements_are_as_many(database: str) -> None:
    ids = many(60)
    counts = []
    for some in (ids[:10], ids[10:]):
        record([answer(pk, AT) for pk in some], THEN)
        with CaptureQueriesContext(connection) as queries:
            record([answer(pk, AT + SECOND) for pk in some], THEN)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 6


def test_an_old_form_does_not_bring_back_old_values(database: str) -> None:
    """Somebody has the check open in the admin while results come."""
    check = watched()
    opened, service = Check.objects.get(), Service.objects.get()
    at = clock.now()
    record([answer(check, at, next_due=at + SECOND)], timezone.now())
    opened.target, service.description = "https://new.example/", "new"
    opened.save()
    service.save()
    check.refresh_from_db()
    assert (check.target, check.last_at, check.due_at) == ("https://new.example/", at, at + SECOND)
    assert Service.objects.values_list("status", "description").get() == (Status.HEALTHY, "new")


# --- Statuses --------------------------------------------------------------------------------------------------------


def test_a_change_has_the_time_at_which_it_happened(database: str) -> None:
    """It is noticed with the second failure; it happened with the first."""
    check = watched(failure_threshold=2)
    Service.objects.update(status_since=THEN - timedelta(hours=1))
    record([answer(check, AT)], THEN)
    record([answer(check, AT + 5 * SECOND, Outcome.UNREACHABLE, "connection refused")], THEN + timedelta(seconds=5))
    noticed = THEN + timedelta(seconds=11)
    record([answer(check, AT + 10 * SECOND, Outcome.UNREACHABLE, "connection refused")], noticed)

    change = StatusChange.objects.earliest("-at")
    assert (change.old, change.new) == (Status.HEALTHY, Status.DOWN)
    assert (change.at, change.noticed_at) == (THEN + timedelta(seconds=5), noticed)
    assert (change.reason, change.culprit) == ("health is unreachable: connection refused", check)
    service = Service.objects.get()
    assert (service.status, service.status_since, service.reason) == (change.new, change.at, change.reason)


def test_changes_follow_each_other_in_time(database: str) -> None:
    """Whatever times the results bring, none begins before the one that it ends."""
    check = watched(failure_threshold=1)
    for at, outcome in [(AT, Outcome.UP), (AT - SECOND, Outcome.FAILING), (AT + SECOND, Outcome.UP)]:
        record([answer(check, at, outcome)], THEN + timedelta(seconds=10))
    changes = list(StatusChange.objects.order_by("pk").values_list("at", "old", "new"))
    assert [at for at, *_ in changes] == sorted(at for at, *_ in changes)
    assert [new for *_, new in changes] == [Status.HEALTHY, Status.DEGRADED, Status.HEALTHY]


def test_another_reason_is_no_change(database: str) -> None:
    check = watched(failure_threshold=1)
    for second, detail in enumerate(["answered 500", "answered 502"]):
        record([answer(check, AT + second, Outcome.FAILING, detail)], THEN)
    assert StatusChange.objects.count() == 1
    assert Service.objects.get().reason == "health fails: answered 502"


def test_two_that_find_the_same_write_one_change(database: str) -> None:
    check = watched(failure_threshold=1)
    ready, at = threading.Barrier(4), clock.now()

    def find() -> None:
        ready.wait()
        record([answer(check, at, Outcome.UNREACHABLE, "connection refused")], timezone.now())
        connections.close_all()

    threads = [threading.Thread(target=find) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert CheckResult.objects.count() == 4
    assert StatusChange.objects.count() == 1


def test_the_last_one_to_know_is_right_however_many_write(database: str) -> None:
    check = watched(failure_threshold=1)
    ready = threading.Barrier(4)

    def flap() -> None:
        ready.wait()
        for outcome in [Outcome.FAILING, Outcome.UP] * 5:
            record([answer(check, clock.now(), outcome)], timezone.now())
        connections.close_all()

    threads = [threading.Thread(target=flap) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check.refresh_from_db()
    service = Service.objects.get()
    assert (service.status == Status.HEALTHY) == (check.outcome == Outcome.UP)
    news = list(StatusChange.objects.order_by("pk").values_list("old", "new"))
    assert all(before[1] == after[0] for before, after in pairwise(news))


def test_a_parent_that_is_down_explains_its_children(database: str) -> None:
    parent, child = watched("database", failure_threshold=1), watched("shop", failure_threshold=1)
    Dependency.objects.create(child=child.service, parent=parent.service)
    record([answer(parent, AT), answer(child, AT)], THEN)
    record([answer(child, AT + 1, Outcome.FAILING, "answered 500")], THEN)
    record([answer(parent, AT + 2, Outcome.UNREACHABLE, "connection refused")], THEN)

    shop = Service.objects.get(name="shop")
    assert (shop.status, shop.explained_by) == (Status.DEGRADED, parent.service)
    assert shop.reason == "database, which it needs, is down; health fails: answered 500"

    record([answer(parent, AT + 3)], THEN)
    shop.refresh_from_db()
    assert (shop.explained_by, shop.reason) == (None, "health fails: answered 500")


def test_a_parent_that_falls_together_with_its_child_explains_it_in_the_history(database: str) -> None:
    child, parent = watched("api", failure_threshold=1), watched("database", failure_threshold=1)
    Dependency.objects.create(child=child.service, parent=parent.service)
    record([answer(child, AT), answer(parent, AT)], THEN)
    down = [answer(each, AT + 1, Outcome.UNREACHABLE, "connection refused") for each in (child, parent)]
    changes = record(down, THEN)

    assert [(change.service.name, change.explained_by) for change in changes] == [
        ("database", None),
        ("api", parent.service),
    ]


def test_who_looks_on_is_told_of_each_that_has_news(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(live.announce, "_tell", told.append)
    first, _, third = many(3)
    record([answer(first, AT), answer(third, AT)], THEN)
    services = [Check.objects.get(pk=pk).service_id for pk in (first, third)]
    assert {*told[0]} == {*services}
    told.clear()
    record([answer(first, AT + 1)], THEN)
    assert told == [[services[0]]]


# --- Edits -----------------------------------------------------------------------------------------------------------


def test_a_check_that_is_turned_off_or_deleted_says_nothing_more(database: str) -> None:
    check = watched(failure_threshold=1)
    other = Check.objects.create(service=check.service, name="other", failure_threshold=1)
    now = clock.now()
    record([answer(check, now, Outcome.UNREACHABLE), answer(other, now, Outcome.FAILING)], timezone.now())
    status = Service.objects.values_list("status", flat=True)
    assert status.get() == Status.DOWN
    check.enabled = False
    check.save()
    assert status.get() == Status.DEGRADED
    other.delete()
    assert status.get() == Status.UNKNOWN


def test_a_dependency_explains_at_once(database: str) -> None:
    parent, child = watched("database", failure_threshold=1), watched("shop", failure_threshold=1)
    now = clock.now()
    record([answer(parent, now, Outcome.UNREACHABLE), answer(child, now, Outcome.FAILING)], timezone.now())
    dependency = Dependency.objects.create(child=child.service, parent=parent.service)
    explained = Service.objects.values_list("explained_by", flat=True)
    assert explained.get(name="shop") == parent.service_id
    dependency.delete()
    assert explained.get(name="shop") is None
