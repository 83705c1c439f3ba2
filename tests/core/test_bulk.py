"""Many rows, written at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alerts.models import Alert, Group
from core import bulk
from tests.alerts.routed import alert

pytestmark = pytest.mark.django_db


def test_the_fields_are_written_and_no_others() -> None:
    rows = [alert(name=str(number)) for number in range(3)]
    then = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    for row in rows:
        row.annotations, row.resolved_at, row.value, row.state = {"summary": f"“{row.pk}”"}, then, 0.5, "resolved"
        row.severity = "low"

    bulk.update(rows, ["annotations", "resolved_at", "value", "state"])

    for row in Alert.objects.all():
        assert row.annotations == {"summary": f"“{row.pk}”"}
        assert (row.resolved_at, row.value, row.state, row.severity) == (then, 0.5, "resolved", "high")


def test_a_foreign_key_and_nothing_at_all() -> None:
    group = Group.objects.create(key="a", labels={}, flush_at=1)
    group.receiver_id, group.flush_at = None, None

    bulk.update([group], ["receiver", "flush_at"])
    bulk.update([], ["receiver"])

    assert Group.objects.get().flush_at is None
