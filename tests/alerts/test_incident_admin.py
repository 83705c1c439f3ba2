"""Incidents in the admin: to be read, and handled by actions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from alerts import incidents
from alerts.models import Incident
from alerts.models.incidents import Verb, Via
from tests.alerts import made

pytestmark = pytest.mark.django_db

LIST = reverse("admin:alerts_incident_changelist")


@pytest.fixture
def alice() -> User:
    """A responder."""
    user = User.objects.create_user("alice", is_staff=True)
    names = ["view_incident", "respond_incident", "view_incidentevent"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def act(browser: Client, action: str, *chosen: Incident) -> list[str]:
    """What the page says then."""
    data = {"action": action, "_selected_action": [each.pk for each in chosen]}
    answer: Any = browser.post(LIST, data, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def test_the_list_and_a_form_that_changes_nothing(browser: Client) -> None:
    one = made.incident(resolution="<b>bold</b>")
    made.event(one, Verb.COMMENT, "redis <script>", actor="bob")
    text = browser.get(LIST).content.decode()
    assert "WorkerDown · worker" in text
    assert 'value="acknowledge"' in text
    page = browser.get(reverse("admin:alerts_incident_change", args=[one.pk])).content.decode()
    assert "redis &lt;script&gt;" in page
    assert reverse("alerts:incident", args=[one.pk]) in page
    assert 'name="_save"' not in page
    assert browser.post(reverse("admin:alerts_incident_change", args=[one.pk]), {"title": "x"}).status_code == 403
    assert browser.get(reverse("admin:alerts_incident_delete", args=[one.pk])).status_code == 403
    assert browser.get(reverse("admin:alerts_incident_add")).status_code == 403


def test_actions_are_the_verbs(browser: Client, alice: User) -> None:
    one, two = made.incident("one"), made.incident("two")
    assert act(browser, "acknowledge", one, two) == ["Acknowledged: 2."]
    assert act(browser, "assign_to_me", one) == ["Assigned to you: 1."]
    assert act(browser, "unacknowledge", two) == ["Open again: 1."]
    assert act(browser, "resolve", one, two) == ["Resolved: 2."]
    assert act(browser, "reopen", two) == ["Reopened: 1."]
    one.refresh_from_db()
    assert (one.status, one.assignee, one.resolved_by) == ("resolved", alice, alice)
    assert set(one.events.values_list("actor", "via")) == {("alice", "admin")}


def test_who_comes_second_is_told_who_was_first(browser: Client) -> None:
    one = made.incident()
    bob = User.objects.create_user("bob")
    incidents.acknowledge(one, by=bob, via=Via.PAGE)
    assert act(browser, "acknowledge", one) == [f"{one.pk}: nothing was changed, it is acknowledged by bob."]
    assert act(browser, "escalate", one) == [
        f"{one.pk}: Expected an incident with an escalation: neither its rule nor its route has one."
    ]


def test_who_may_only_look_has_no_actions(browser: Client, alice: User) -> None:
    alice.user_permissions.remove(Permission.objects.get(codename="respond_incident"))
    one = made.incident()
    assert 'value="acknowledge"' not in browser.get(LIST).content.decode()
    browser.post(LIST, {"action": "acknowledge", "_selected_action": [one.pk]})
    one.refresh_from_db()
    assert one.status == "open"


def test_others_see_nothing(client: Client) -> None:
    client.force_login(User.objects.create_user("mallory", is_staff=True))
    assert client.get(LIST).status_code == 403
