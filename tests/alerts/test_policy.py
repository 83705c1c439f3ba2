"""Who is told before anybody has made a route."""

from __future__ import annotations

import pytest

from alerts import dispatch, policy
from alerts.models import Channel, InhibitRule, Receiver, Route, SeverityName
from alerts.models.alerts import State
from alerts.routing import Tree
from services.models import Dependency
from tests.alerts.routed import alert, ends, fires, run, told
from tests.services.made import service

pytestmark = pytest.mark.django_db

ALL_THREE = ["E-mail", "PagerDuty", "Slack #incidents"]
CHAT_AND_MAIL = ["E-mail", "Slack #alerts"]


@pytest.fixture(autouse=True)
def _policy(db: None) -> None:
    """As after the first migration; a test that empties the tables may have run before."""
    Route.objects.all().delete()
    InhibitRule.objects.all().delete()
    policy.install()


def receivers(**labels: str) -> list[str]:
    return sorted(match.options.receiver_name for match in Tree.load().match({"alertname": "Down", **labels}))


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("critical", ALL_THREE),
        ("Critical", ALL_THREE),
        ("page", ALL_THREE),
        ("P1", ALL_THREE),
        ("high", CHAT_AND_MAIL),
        ("error", CHAT_AND_MAIL),
        # Nobody shall overlook what says nothing that is known.
        ("", CHAT_AND_MAIL),
        ("odd", CHAT_AND_MAIL),
        ("warning", ["Slack #alerts"]),
        ("P2", CHAT_AND_MAIL),
        ("medium", ["Slack #monitoring"]),
        ("P3", ["Slack #monitoring"]),
        ("low", ["Slack #monitoring"]),
        ("info", ["Slack #monitoring"]),
    ],
)
def test_who_is_told_of_which_severity(severity: str, expected: list[str]) -> None:
    assert receivers(severity=severity) == expected


def test_an_alert_without_a_severity_is_high() -> None:
    assert receivers() == CHAT_AND_MAIL


def test_a_critical_alert_reaches_all_three() -> None:
    """With the seed's own route, `continue` and no other match, it reached the pager alone."""
    for each in Receiver.objects.all():
        Channel.objects.create(receiver=each, kind="webhook")
    fires(0, "critical", service="api")

    run(10)
    assert sorted(each.receiver for each in told()) == ALL_THREE


def test_times_and_groups_are_as_asked_for() -> None:
    root = Tree.load().root

    assert root
    options = root.options
    assert (options.group_wait, options.group_interval, options.repeat_interval) == (10, 300, 10_800)
    assert list(options.group_by) == ["alertname", "service"]


def test_every_name_of_a_severity_is_known_to_it() -> None:
    known = {*policy.CRITICAL, *policy.HIGH, *policy.WARNING, *policy.MEDIUM, *policy.LOW, *policy.INFO}
    levels = {
        "critical": policy.CRITICAL, "high": policy.HIGH, "medium": (*policy.WARNING, *policy.MEDIUM),
        "low": policy.LOW, "info": policy.INFO,
    }  # fmt: skip

    for row in SeverityName.objects.all():
        assert row.name in known
        assert row.name in levels[row.severity]


def test_what_is_missing_comes_back_and_what_people_made_stays() -> None:
    Route.objects.filter(parent=None).update(group_wait=1)
    InhibitRule.objects.filter(name__startswith="Less than high").delete()
    InhibitRule.objects.filter(name__startswith="Less than critical").update(enabled=False)
    before = Route.objects.count()

    policy.install()

    assert Route.objects.count() == before
    assert Route.objects.get(parent=None).group_wait == 1
    assert InhibitRule.objects.filter(name__startswith="Less than high").exists()
    assert not InhibitRule.objects.get(name__startswith="Less than critical").enabled


# --- What keeps alerts quiet -----------------------------------------------------------------------------------------


def everybody_listens() -> None:
    for each in Receiver.objects.all():
        Channel.objects.create(receiver=each, kind="webhook")


def test_the_worst_of_several_thresholds_is_told() -> None:
    everybody_listens()
    worst = fires(0, "critical", service="api", name="critical")
    for severity in ("high", "medium", "info"):
        fires(0, severity, service="api", name="critical")
    run(10)
    assert sorted(each.receiver for each in told()) == ALL_THREE

    ends(worst, 20)
    run(310)
    assert {each.receiver for each in told(since=10) if each.firing} == {"E-mail", "Slack #alerts"}


def test_a_worse_alert_of_something_else_hides_nothing() -> None:
    everybody_listens()
    fires(0, "critical", service="api", endpoint="/a")
    fires(0, "medium", service="api", endpoint="/b")

    run(10)
    assert "Slack #monitoring" in {each.receiver for each in told()}


def test_a_service_is_quiet_while_what_it_needs_is_down() -> None:
    everybody_listens()
    base, api, web = service("database", "down"), service("api", "down"), service("web", "down")
    Dependency.objects.create(child=api, parent=base)
    Dependency.objects.create(child=web, parent=api)
    parent = fires(0, "high", service="database", name="database")
    for name in ("api", "web"):
        fires(0, "high", service=name, name=name)
    # Worse than what is told of the database: it may be something else.
    fires(0, "critical", service="web", name="worse", alertname="Burglars")
    run(10)
    assert {name for each in told() for name in each.firing} == {"database", "worse"}

    # The database is back, and the others are not: the web needs the api.
    ends(parent, 20)
    base.status = "healthy"
    type(base).objects.filter(pk=base.pk).update(status="healthy")
    run(310)
    assert {name for each in told(since=10) for name in each.firing} == {"api"}  # which is down, and told of


def test_what_it_needs_is_down_and_nobody_is_told_of_it() -> None:
    everybody_listens()
    Dependency.objects.create(child=service("api", "down"), parent=service("database", "down"))
    fires(0, "high", service="api", name="api")
    # Pending is not told.
    waiting = alert(0, "high", service="database")
    waiting.state = State.PENDING
    waiting.save()
    dispatch.take([waiting], waiting.active_at)

    run(10)
    assert {name for each in told() for name in each.firing} == {"api"}


def test_what_it_needs_runs_and_has_another_alert() -> None:
    everybody_listens()
    Dependency.objects.create(child=service("api", "down"), parent=service("database", "degraded"))
    fires(0, "high", service="api", name="api")
    fires(0, "high", service="database", name="database")

    run(10)
    assert {name for each in told() for name in each.firing} == {"api", "database"}
