"""What is old goes, and what is needed stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as real

from alerts import retention, silences
from alerts.models import Alert, Delivery, Group, Incident, InhibitRule, Silence
from tests.alerts.routed import NOON, ends, fires, no_routes, root, run

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _empty(db: None) -> None:
    no_routes()
    InhibitRule.objects.all().delete()
    root(group_by=["name"])


def told_and_over(name: str = "a") -> None:
    one = fires(0, name=name)
    run(10)
    ends(one, 20)
    run(70)
    Delivery.objects.update(due_at=None, outcome="delivered")


def test_what_is_over_goes_after_its_days() -> None:
    told_and_over()
    silences.create(["a=b"], None, NOON + timedelta(hours=1), comment="x", created_by="alice", now=NOON)

    assert retention.prune(NOON + 90 * DAY, 60) == 0
    assert retention.prune(NOON + 91 * DAY, 60) == 5  # two deliveries, an alert, its group, a silence

    assert not any(model.objects.exists() for model in (Alert, Delivery, Group, Silence))
    assert Incident.objects.count() == 1


def test_what_is_not_over_stays() -> None:
    fires(0, name="a")
    run(10)

    assert retention.prune(NOON + 365 * DAY, 60) == 0
    assert Alert.objects.count() == Group.objects.count() == Delivery.objects.count() == 1


def test_it_goes_in_batches_as_long_as_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for name in "abc":
        told_and_over(name)

    assert retention.prune(NOON + 91 * DAY, 0) == 0
    assert retention.prune(NOON + 91 * DAY, 60) == 6 + 3 + 3


def test_nothing_goes_with_zero_days(settings: pytest.FixtureRequest) -> None:
    told_and_over()
    settings.ALERTS_RETENTION_DAYS = 0  # type: ignore[attr-defined]

    assert retention.prune(NOON + 10_000 * DAY, 60) == 0


def test_it_is_done_each_hour() -> None:
    assert real.CELERY_BEAT_SCHEDULE["prune-alerts"] == {
        "task": "alerts.tasks.prune", "schedule": 3600, "options": {"expires": 3600},
    }  # fmt: skip
