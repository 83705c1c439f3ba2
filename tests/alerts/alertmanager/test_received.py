"""Alerts of others, sent by two at once, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from django.db import connections

from alerts.alertmanager import received
from alerts.alertmanager.wire import Given
from alerts.models import Alert, Incident
from alerts.models.alerts import State

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def sent(number: int, minutes: float = 5) -> Given:
    labels = {"alertname": "Down", "service": f"s-{number}", "severity": "critical"}
    return Given(labels, {}, NOON, NOON + timedelta(minutes=minutes), "")


def test_a_pair_of_prometheus_servers_makes_one_alert_of_each(database: str) -> None:
    together = Barrier(2)

    def send() -> int:
        together.wait(30)
        try:
            return received.take([sent(number) for number in range(50)], NOON)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(send) for _ in range(2)]
        counts = sorted(future.result() for future in futures)
    assert counts == [0, 50]
    assert Alert.objects.filter(state=State.FIRING).count() == 50
    assert Incident.objects.count() == 50
    # The same after both have ended it.
    received.take([sent(number, minutes=0) for number in range(50)], NOON)
    assert not Alert.objects.exclude(state=State.RESOLVED).exists()
    assert not Incident.objects.exclude(status="resolved").exists()


def test_two_workers_end_a_late_one_once(database: str) -> None:
    received.take([sent(1)], NOON)
    together = Barrier(2)

    def end() -> int:
        together.wait(30)
        try:
            return received.time_out(NOON + timedelta(minutes=5))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(end) for _ in range(2)]
        assert sorted(future.result() for future in futures) == [0, 1]
    assert Alert.objects.get().state == State.RESOLVED
    assert Incident.objects.get().status == "resolved"
