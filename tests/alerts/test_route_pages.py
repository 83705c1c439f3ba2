"""The route tester: who would be told of an alert with these labels, and why nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from alerts import route_trace, silences
from alerts.matchers import MatcherError
from alerts.models import Channel, Receiver, Route
from alerts.route_trace import PASSED, REFUSED, TOLD, UNSEEN, labels_of, text_of, trace
from alerts.routing import Tree

PAGE = "/alerts/routes/"
# What means something in a matcher, and what doesn't.
TEXTS = st.text(st.sampled_from('"\\,;=~!{} \n\r\u2028aä'), max_size=10)


@pytest.fixture
def tree(db: None) -> Route:
    """Critical to page and then on; high to chat, of team x to x; the rest to mail."""
    Route.objects.all().delete()
    page, chat, mail, x = (Receiver.objects.create(name=name) for name in ("page", "chat", "mail", "x"))
    root = Route.objects.create(receiver=mail, group_by=["alertname"], group_wait=30)
    Route.objects.create(parent=root, order=1, receiver=page, matchers=['severity="critical"'], continues=True)
    high = Route.objects.create(parent=root, order=2, receiver=chat, matchers=['severity=~"critical|high"'])
    Route.objects.create(parent=high, receiver=x, matchers=['team="x"'])
    Route.objects.create(parent=root, order=3, receiver=mail, matchers=['severity="high"'])
    Channel.objects.create(receiver=chat, kind="webhook", options={"url": "http://127.0.0.1:9/"})
    return root


@pytest.fixture
def reader(client: Client, db: None) -> Client:
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="view_route"))
    client.force_login(user)
    return client


# --- Labels as they are typed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "severity=critical,service=api", "severity=critical service=api", "severity=critical; service=api",
        "severity=critical\nservice=api\n", 'severity="critical", service="api"', "{severity=critical, service=api}",
    ],
)  # fmt: skip
def test_labels_are_read_as_people_type_them(text: str) -> None:
    assert labels_of(text) == {"severity": "critical", "service": "api"}


def test_a_value_may_have_spaces_and_commas() -> None:
    assert labels_of('a="x, y=z"\nb=two words') == {"a": "x, y=z", "b": "two words"}
    assert labels_of("") == {}


@pytest.mark.parametrize("text", ["severity", "severity!=critical", "severity=~c.*", "a b"])
def test_what_is_no_label_is_told(text: str) -> None:
    with pytest.raises(MatcherError, match="Expected"):
        labels_of(text)


@given(st.dictionaries(st.sampled_from(["alertname", "service", "_a1"]), TEXTS, max_size=4))
def test_labels_of_an_alert_come_back(labels: dict[str, str]) -> None:
    assert labels_of(text_of(labels)) == labels


# --- The way of an alert ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "states"),
    [
        ({"severity": "critical"}, [PASSED, TOLD, TOLD, REFUSED, UNSEEN]),
        ({"severity": "high", "team": "x"}, [PASSED, REFUSED, PASSED, TOLD, UNSEEN]),
        ({"severity": "low"}, [TOLD, REFUSED, REFUSED, UNSEEN, REFUSED]),
    ],
)
def test_each_route_says_what_became_of_it(tree: Route, labels: dict[str, str], states: list[str]) -> None:
    root = Tree.load().root
    assert root
    stops = trace(root, labels)
    assert [stop.state for stop in stops] == states
    assert [stop.depth for stop in stops] == [0, 1, 1, 2, 1]
    told = [stop.node for stop in stops if stop.state == TOLD]
    assert told == root.match(labels)


def test_why_not(tree: Route) -> None:
    root = Tree.load().root
    assert root
    whys = [stop.why for stop in route_trace.trace(root, {"severity": "high"})]
    assert whys[1] == "severity=\"critical\" does not hold: it is 'high'"
    assert whys[3] == 'team="x" does not hold: there is no such label'
    assert whys[4] == 'severity=~"critical|high" before it took the alert, and does not continue'


# --- The page --------------------------------------------------------------------------------------------------------


def test_it_shows_who_is_told_how_and_when(reader: Client, tree: Route) -> None:
    page = reader.get(PAGE, {"labels": "severity=critical, alertname=Down"}).content.decode()
    assert "Told to 2 receivers" in page
    assert "It has no channel: nobody is told." in page
    assert "Webhook" in page
    assert "<dd>30s</dd>" in page
    assert "alertname=<bdi>Down</bdi>" in page
    assert "The route severity=&quot;high&quot; is never reached" in page


def test_it_tells_what_keeps_it_quiet_now(reader: Client, tree: Route) -> None:
    now = timezone.now()
    silences.create(['service="api"'], now, now + timedelta(hours=1), created_by="ann", comment="deploy of api")
    page = reader.get(PAGE, {"labels": "service=api"}).content.decode()
    assert "At this moment nobody would be told:</b> the silence “deploy of api” hits it." in page


def test_what_can_not_be_read_is_told(reader: Client, tree: Route) -> None:
    answer = reader.get(PAGE, {"labels": "<b>"})
    assert answer.status_code == 400
    assert "Expected a label" in answer.content.decode()
    assert "<b>&quot;" not in answer.content.decode()


def test_without_a_route_nobody_is_told(reader: Client) -> None:
    Route.objects.all().delete()
    page = reader.get(PAGE, {"labels": "severity=critical"}).content.decode()
    assert "Nobody is told: there is no route" in page
    assert "There is no route yet" in page


def test_who_may_see_it(client: Client, db: None) -> None:
    assert client.get(PAGE).status_code == 302
    client.force_login(User.objects.create_user("bob"))
    assert client.get(PAGE).status_code == 403
    client.force_login(User.objects.create_superuser("admin", "", ""))
    assert client.get(PAGE).status_code == 200
    assert client.post(PAGE).status_code == 405
    assert 'href="/alerts/routes/"' in client.get(PAGE).content.decode()
