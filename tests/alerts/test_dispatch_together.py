"""Several workers at once, on both databases: nothing is lost, nothing is told twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import dispatch
from alerts.models import Alert, Delivery, Group, Incident, Member, Notified
from core import clock
from tests.alerts.routed import NOON, alert, ends, no_routes, root, run, second
from tests.together import at_once

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.usefixtures("database")]


@pytest.fixture(autouse=True)
def _routes(database: str) -> None:
    no_routes()
    root(group_by=["alertname", "service"])


def test_workers_share_what_is_due() -> None:
    dispatch.take([alert(0, service=str(number)) for number in range(40)], NOON)

    at_once(*[lambda: dispatch._flush_due(second(10))] * 4)  # as in several processes

    assert Delivery.objects.count() == 40
    assert Notified.objects.count() == 40
    assert set(Group.objects.values_list("flush_at", flat=True)) == {clock.micros(second(70))}


def test_a_process_flushes_once_at_a_time() -> None:
    dispatch.take([alert(0, service="api")], NOON)

    with dispatch._flushing:
        assert dispatch.flush(second(10)) == 0
    assert dispatch.flush(second(10)) == 1


def test_alerts_that_come_at_once_share_groups_and_incidents() -> None:
    batches = [
        [alert(0, service=str(number % 5), name=f"{batch} {number}") for number in range(20)] for batch in range(4)
    ]

    at_once(*[lambda batch=batch: dispatch.take(batch, NOON) for batch in batches])

    assert Group.objects.count() == 5
    assert Incident.objects.count() == 5
    assert Member.objects.count() == Alert.objects.count()
    assert not Alert.objects.filter(incident=None).exists()


def test_alerts_that_come_while_their_group_is_told_are_told_then_or_next() -> None:
    first = [alert(0, service="api", name=f"first {number}") for number in range(30)]
    dispatch.take(first, NOON)
    later = [alert(9, service="api", name=f"later {number}") for number in range(30)]

    at_once(
        lambda: dispatch.flush(second(10)),
        *[lambda one=one: dispatch.take([one], second(10)) for one in later[:4]],
    )
    dispatch.take(later, second(20))
    dispatch.flush(second(70))

    known = Notified.objects.get()
    assert set(known.firing) == {each.fingerprint for each in (*first, *later)}
    assert Delivery.objects.count() <= 2


@pytest.mark.parametrize("round_", range(5))
def test_a_group_that_empties_while_an_alert_joins_it(round_: int) -> None:
    old = alert(0, service="api", name="old")
    dispatch.take([old], NOON)
    dispatch.flush(second(10))
    ends(old, 20)
    new = alert(69, service="api", name="new")

    at_once(lambda: dispatch.flush(second(70)), lambda: dispatch.take([new], second(70)))

    assert Member.objects.filter(alert=new).exists()
    run(200)
    assert Notified.objects.get().firing == [new.fingerprint]
    assert Delivery.objects.count() in (2, 3)


def test_what_a_dead_worker_had_taken_is_told_after_its_lease() -> None:
    dispatch.take([alert(0, service="api")], NOON)
    dispatch._claim(clock.micros(second(10)))

    at_once(*[lambda: dispatch._flush_due(second(10) + timedelta(microseconds=dispatch.LEASE))] * 3)

    assert Delivery.objects.count() == 1


def test_a_storm_takes_few_statements() -> None:
    """In bulk: as many for a thousand alerts of one group as for ten."""
    dispatch.take([alert(0, service="api", name=str(number)) for number in range(10)], NOON)
    few = statements(lambda: dispatch.flush(second(10)))
    dispatch.take([alert(0, service="web", name=str(number)) for number in range(1_000)], NOON)
    many = statements(lambda: dispatch.flush(second(20)))

    assert many <= few + 6
    assert [len(row.firing) for row in Notified.objects.order_by("pk")] == [10, 1_000]


def statements(what: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        what()
    return len(captured)
