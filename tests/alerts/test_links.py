"""Links in messages: what is signed, what opens, what changes when somebody clicks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts import links
from alerts.models import Incident
from alerts.models.incidents import Status, Via

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident() -> Incident:
    now = timezone.now()
    title = "WorkerDown · <b>worker</b>"
    return Incident.objects.create(key="k", title=title, severity="high", opened_at=now, event_at=now)


def address(incident: Incident, receiver: str = "ops") -> str:
    return reverse("alerts:acknowledge-link", args=[incident.pk, links.sign(incident.pk, receiver)])


def text(answer: Any) -> str:
    found: str = answer.content.decode()
    return found


def test_opening_the_link_changes_nothing_and_asks(client: Client, incident: Incident) -> None:
    for _ in range(2):
        answer = client.get(address(incident))
        assert answer.status_code == 200
        assert '<form method="post"' in text(answer)
        assert "WorkerDown · &lt;b&gt;worker&lt;/b&gt;" in text(answer)
        assert answer["Referrer-Policy"] == "same-origin"
    assert client.head(address(incident)).status_code == 200
    incident.refresh_from_db()
    assert incident.status == Status.OPEN
    assert not incident.events.exists()


def test_the_click_acknowledges_and_says_from_where(client: Client, incident: Incident) -> None:
    assert "You have acknowledged it" in text(client.post(address(incident)))
    incident.refresh_from_db()
    assert incident.status == Status.ACKNOWLEDGED
    event = incident.events.get()
    assert (event.via, event.actor, event.user) == (Via.MAIL, "a mail to ops", None)


def test_who_is_logged_in_is_named(client: Client, incident: Incident) -> None:
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    client.post(address(incident))
    incident.refresh_from_db()
    assert incident.acknowledged_by == ann


def test_the_second_who_clicks_sees_that_somebody_was_faster(client: Client, incident: Incident) -> None:
    client.post(address(incident))
    again = text(client.post(address(incident)))
    assert "It was acknowledged at" in again
    assert incident.events.count() == 1


def test_a_link_is_good_for_its_incident_only_and_for_a_week(
    client: Client, incident: Incident, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    other = Incident.objects.create(key="o", title="Other", severity="high", opened_at=now, event_at=now)
    wrong = reverse("alerts:acknowledge-link", args=[other.pk, links.sign(incident.pk, "ops")])
    forged = reverse("alerts:acknowledge-link", args=[incident.pk, signing.dumps([incident.pk, "ops"], salt="other")])
    for url in (wrong, forged):
        answer = client.post(url)
        assert answer.status_code == 404
        assert "too old, or not whole" in text(answer)
    url = address(incident)
    monkeypatch.setattr(links, "VALID", timedelta(seconds=-1))
    assert client.get(url).status_code == 404
    assert not Incident.objects.exclude(status=Status.OPEN).exists()


def test_other_sites_can_not_click_for_anybody(incident: Incident) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(address(incident)).status_code == 403


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("https://wiki.example.org/a?b=c#d", "https://wiki.example.org/a?b=c#d"),
        ("javascript:alert(1)", ""),
        ("//example.org/", ""),
        ("https://", ""),
        ("data:text/html,x", ""),
        ('https://a.example/"><script>|x', "https://a.example/%22%3E%3Cscript%3E%7Cx"),
        ("https://[broken", ""),
        ("https://a.example/" + "x" * 3_000, ""),
    ],
)
def test_links_of_others_are_links_of_the_web_or_none(given: str, safe: str) -> None:
    assert links.safe(given) == safe


def test_without_an_address_of_our_own_there_are_no_links() -> None:
    assert links.incident("", 12) == links.acknowledge("", 12, "ops") == ""
    assert links.acknowledge("https://pharos.example.org", None, "ops") == ""
