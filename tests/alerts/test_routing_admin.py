"""Routes, receivers and what keeps alerts quiet, in the admin."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from alerts.models import EscalationPolicy, InhibitRule, MuteTime, Receiver, Route, SeverityName

pytestmark = pytest.mark.django_db

ROUTES = "/admin/alerts/route/"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


@pytest.fixture
def root() -> Route:
    Route.objects.all().delete()
    return Route.objects.create(receiver=Receiver.objects.create(name="everybody"))


def form(**values: Any) -> dict[str, Any]:
    empty = {"parent": "", "order": "0", "name": "", "matchers": "", "receiver": "", "group_by": "", "group_wait": ""}
    return {**empty, "group_interval": "", "repeat_interval": "", "escalation": "", **values}


def errors(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.context["adminform"].form.errors)


def test_the_tree_is_listed_as_an_alert_meets_it(admin: Client, root: Route) -> None:
    late = Route.objects.create(parent=root, order=2, matchers=['severity="low"'])
    early = Route.objects.create(parent=root, order=1, matchers=['severity="high"'])
    Route.objects.create(parent=early, order=9, matchers=['team="x"'], group_wait=90)
    page = admin.get(ROUTES).content.decode()
    found = re.findall(r'--depth: (\d)">([^<]*)', page)
    assert [(depth, text.replace("&quot;", '"')) for depth, text in found] == [
        ("0", "all alerts"), ("1", 'severity="high"'), ("2", 'team="x"'), ("1", 'severity="low"'),
    ]  # fmt: skip
    assert "1m30s · – · –" in page
    assert late.pk


def test_a_route_is_made_as_people_write_it(admin: Client, root: Route) -> None:
    sent = form(
        parent=root.pk, matchers='severity="high"\nservice=~"api|web"', group_by="alertname, service", group_wait="90s",
        repeat_interval="3h", continues="on",
    )  # fmt: skip
    assert admin.post(f"{ROUTES}add/", sent).status_code == 302
    made = Route.objects.get(parent=root)
    assert made.matchers == ['severity="high"', 'service=~"api|web"']
    assert (made.group_by, made.group_wait, made.group_interval, made.continues) == (
        ["alertname", "service"],
        90,
        None,
        True,
    )
    shown = admin.get(f"{ROUTES}{made.pk}/change/").content.decode()
    assert 'value="1m30s"' in shown
    assert 'value="alertname, service"' in shown


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"matchers": "severity critical"}, "Expected a label, one of = != =~ !~"),
        ({"group_wait": "soon"}, "Expected a time like 30s, 5m or 1h30m"),
        ({"parent": ""}, "Choose one: only route"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(admin: Client, root: Route, sent: dict[str, Any], sentence: str) -> None:
    assert sentence in errors(admin.post(f"{ROUTES}add/", form(parent=root.pk) | sent))
    assert Route.objects.count() == 1


def test_the_first_route_takes_all_and_stays(admin: Client, root: Route) -> None:
    address = f"{ROUTES}{root.pk}/change/"
    assert "it has no matchers" in errors(admin.post(address, form(receiver=root.receiver_id, matchers='a="b"')))
    assert "The first route has a receiver" in errors(admin.post(address, form()))
    assert admin.post(address, form(receiver=root.receiver_id)).status_code == 302
    assert admin.post(f"{ROUTES}{root.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_route_does_not_hang_below_itself(admin: Client, root: Route) -> None:
    child = Route.objects.create(parent=root)
    grandchild = Route.objects.create(parent=child)
    said = errors(admin.post(f"{ROUTES}{child.pk}/change/", form(parent=grandchild.pk)))
    assert "can&#x27;t hang below itself" in said


def test_mute_times_are_written_as_yaml(admin: Client) -> None:
    address = "/admin/alerts/mutetime/add/"
    sent = {
        "name": "weekend",
        "intervals": "- weekdays: ['saturday', 'sunday']\n- times: [{start_time: '22:00', end_time: '24:00'}]",
    }
    assert admin.post(address, sent).status_code == 302
    made = MuteTime.objects.get()
    assert made.intervals == [
        {"weekdays": ["saturday", "sunday"]}, {"times": [{"start_time": "22:00", "end_time": "24:00"}]},
    ]  # fmt: skip
    assert "start_time: &#x27;22:00&#x27;" in admin.get(f"/admin/alerts/mutetime/{made.pk}/change/").content.decode()
    assert "Line 1: expected YAML" in errors(admin.post(address, {"name": "x", "intervals": "- ["}))
    assert "Expected" in errors(admin.post(address, {"name": "x", "intervals": "- weekdays: [someday]"}))


def test_inhibit_rules_receivers_and_policies_have_their_forms(admin: Client) -> None:
    sent = {
        "enabled": "on",
        "source_matchers": 'severity="critical"',
        "target_matchers": 'severity="low"',
        "equal": "service",
    }
    assert admin.post("/admin/alerts/inhibitrule/add/", sent).status_code == 302
    assert InhibitRule.objects.filter(equal=["service"]).exists()
    assert admin.post("/admin/alerts/receiver/add/", {"name": "ops"}).status_code == 302
    ops = Receiver.objects.get(name="ops")
    steps: dict[str, Any] = {
        "steps-TOTAL_FORMS": 1,
        "steps-INITIAL_FORMS": 0,
        "steps-0-after": 300,
        "steps-0-until": "resolved",
    }
    whole = {"name": "on call", "remind_after": "60", **steps, "steps-0-receiver": ops.pk}
    assert admin.post("/admin/alerts/escalationpolicy/add/", whole).status_code == 302
    assert EscalationPolicy.objects.get(name="on call").steps.get().after == 300
    for name in ("inhibitrule", "receiver", "mutetime", "escalationpolicy", "severityname"):
        assert admin.get(f"/admin/alerts/{name}/").status_code == 200
    assert admin.get(f"/admin/alerts/receiver/{ops.pk}/change/").status_code == 200


def test_the_usual_names_of_severities_are_there() -> None:
    found = dict(SeverityName.objects.values_list("name", "severity"))
    assert (found["warning"], found["p1"], found["info"]) == ("medium", "critical", "info")
    assert {"critical", "high", "medium", "low", "info"} <= {*found}
