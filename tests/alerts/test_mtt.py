"""How long incidents took, and which rules are noisy: arithmetic on rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alerts import incidents, mtt
from alerts.models import AlertRule, Incident
from alerts.models.deliveries import Reason
from alerts.models.incidents import Via
from services.models import Service
from tests.alerts import made

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 16, tzinfo=UTC)
END = START + timedelta(days=7)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def incident(
    name: str, acknowledged: float | None, resolved: float | None, rule: AlertRule | None = None,
    service: Service | None = None, day: int = 1,
) -> Incident:  # fmt: skip
    """Acknowledged and resolved so many minutes after it was opened."""
    at = START + timedelta(days=day)
    one = made.incident(name, opened_at=at, rule=rule, service=service)
    if acknowledged is not None:
        assert incidents.acknowledge(one, by="alice", via=Via.PAGE, now=at + minutes(acknowledged))
    if resolved is not None:
        assert incidents.resolve(one, by="alice", via=Via.PAGE, now=at + minutes(resolved))
    return one


def test_means_are_of_those_that_were_acknowledged_and_of_those_that_are_over() -> None:
    incident("a", 2, 10)
    incident("b", 4, 30)
    incident("c", None, 50)
    incident("d", 6, None)
    incident("e", None, None)
    incident("before", 100, 200, day=-1)
    incident("after", 100, 200, day=7)
    found = mtt.of_all(START, END)
    assert (found.incidents, found.acknowledged, found.resolved) == (5, 3, 3)
    assert (found.mtta, found.mttr) == (minutes(4), minutes(30))


def test_without_any_there_is_no_mean() -> None:
    assert mtt.of_all(START, END) == mtt.Times("", None, 0, 0, 0, None, None)


def test_the_first_acknowledgement_counts_also_if_it_was_taken_back() -> None:
    one = incident("a", 2, None)
    incidents.unacknowledge(one, by="alice", via=Via.PAGE, now=one.opened_at + minutes(5))
    incidents.acknowledge(one, by="bob", via=Via.PAGE, now=one.opened_at + minutes(60))
    assert mtt.of_all(START, END).mtta == minutes(2)


def test_by_rule_and_by_service() -> None:
    rules = [made.rule(name) for name in ("Slow", "Down")]
    api = Service.objects.create(name="api")
    incident("a", None, 10, rules[0], api)
    incident("b", None, 20, rules[1], api)
    incident("c", None, 40, rules[1])
    assert [(each.name, each.incidents, each.mttr) for each in mtt.by_rule(START, END)] == [
        ("Down", 2, minutes(30)), ("Slow", 1, minutes(10)),
    ]  # fmt: skip
    assert [(each.name, each.id, each.mttr) for each in mtt.by_service(START, END)] == [
        ("api", api.pk, minutes(15)), ("", None, minutes(40)),
    ]  # fmt: skip


def test_the_noisiest_rules_with_what_came_of_them() -> None:
    loud, quiet = made.rule("Loud"), made.rule("Quiet")
    at = START + timedelta(days=1)
    one = incident("a", None, 10, loud)
    incident("b", 5, 10, loud)
    for number in range(3):
        made.alert(loud, "resolved", {"n": str(number)}, active_at=at, incident=one)
    made.alert(quiet, "resolved", active_at=at)
    made.alert(quiet, "resolved", active_at=START - minutes(1))
    for reason in (Reason.FIRING, Reason.RESOLVED, Reason.TEST):
        made.delivery(one, reason=reason, created_at=at)
    found = mtt.noisiest(START, END)
    assert [(each.name, each.alerts, each.notifications, each.incidents, each.ignored) for each in found] == [
        ("Loud", 3, 2, 2, 1), ("Quiet", 1, 0, 0, 0),
    ]  # fmt: skip
    assert len(mtt.noisiest(START, END, most=1)) == 1
