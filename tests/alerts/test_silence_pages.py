"""The page of silences: the list, a new one with what it would hit, another one instead, and the end of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from alerts import silences
from alerts.labels import fingerprint
from alerts.models import Alert, Silence
from alerts.models.alerts import State

pytestmark = pytest.mark.django_db

PAGE, NEW, PREVIEW = "/silences/", "/silences/new/", "/silences/preview/"


@pytest.fixture
def ann(client: Client) -> Client:
    """May see and make silences."""
    user = User.objects.create_user("ann")
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_silence", "add_silence"]))
    client.force_login(user)
    return client


@pytest.fixture
def down() -> Alert:
    labels = {"alertname": "Down", "service": "api", "note": 'a "b"'}
    now = timezone.now()
    return Alert.objects.create(
        fingerprint=fingerprint(labels),
        labels=labels,
        severity="critical",
        state=State.FIRING,
        active_at=now,
        true_at=now,
    )


def made(**fields: Any) -> Silence:
    now = timezone.now()
    begins, ends = fields.get("begins", now), fields.get("ends", now + timedelta(hours=2))
    return silences.create(
        fields.get("matchers", ['service="api"']),
        begins,
        ends,
        created_by="bob",
        comment="deploy",
        now=min(begins, now),
    )


def sent(**changes: str) -> dict[str, str]:
    return {
        "matchers": 'service="api"\nalertname=~"D.*"',
        "starts_at": "",
        "lasts": "1h30m",
        "comment": "deploy",
        **changes,
    }


# --- The list --------------------------------------------------------------------------------------------------------


def test_the_list_says_what_is_silent_until_when(ann: Client, down: Alert) -> None:
    now = timezone.now()
    made()
    made(matchers=['service="web"'], begins=now + timedelta(hours=1))
    silences.expire(made(matchers=['service="old"']))
    page = ann.get(PAGE).content.decode()
    assert "in force" in page
    assert "not yet" in page
    assert "1 alert<" in page
    assert "Ended in the last week: 1" in page
    assert "service=&quot;old&quot;" in page


def test_one_that_ends_soon_while_its_alerts_fire_warns(ann: Client, down: Alert) -> None:
    made(matchers=['service="web"'], ends=timezone.now() + timedelta(minutes=10))
    assert "ends within the hour" not in ann.get(PAGE).content.decode()
    made(ends=timezone.now() + timedelta(minutes=10))
    page = ann.get(PAGE).content.decode()
    assert "A silence ends within the hour, while alerts that it hits still fire" in page
    assert "ends in 9 min" in page


def test_an_empty_list_says_what_to_do(ann: Client) -> None:
    assert "Nothing is silent" in ann.get(PAGE).content.decode()


# --- A new one -------------------------------------------------------------------------------------------------------


def test_a_new_one_is_made(ann: Client, down: Alert) -> None:
    answer = ann.post(NEW, sent(), follow=True)
    row = Silence.objects.get()
    assert row.matchers == ['service="api"', 'alertname=~"D.*"']
    assert (row.created_by, row.comment, row.ends_at - row.starts_at) == ("ann", "deploy", timedelta(minutes=90))
    assert "are silent until" in answer.content.decode()


def test_it_may_begin_later(ann: Client) -> None:
    later = timezone.now() + timedelta(days=1)
    ann.post(NEW, sent(starts_at=f"{later:%Y-%m-%dT%H:%M}"))
    assert Silence.objects.get().starts_at == later.replace(second=0, microsecond=0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"matchers": ""}, "This field is required"),
        ({"matchers": "nonsense"}, "Expected a label"),
        ({"matchers": "a=~.*"}, "It would hit everything"),
        ({"lasts": ""}, "This field is required"),
        ({"lasts": "0s"}, "Expected more than nothing"),
        ({"lasts": "2y"}, "Expected more than nothing, and at most a year"),
        ({"lasts": "soon"}, "Expected a time like 30s"),
        ({"comment": ""}, "This field is required"),
    ],
)
def test_what_is_wrong_is_said(ann: Client, changes: dict[str, str], sentence: str) -> None:
    answer = ann.post(NEW, sent(**changes))
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not Silence.objects.exists()


def test_it_begins_with_what_the_address_says(ann: Client, down: Alert) -> None:
    page = ann.get(f"{NEW}?alert={down.pk}").content.decode()
    assert "alertname=&quot;Down&quot;\nnote=&quot;a \\&quot;b\\&quot;&quot;\nservice=&quot;api&quot;" in page
    assert "<b>1</b> alert that fires would be silent:" in page
    page = ann.get(f"{NEW}?{urlencode({'matchers': 'team=x'})}").content.decode()
    assert "team=x" in page
    assert "<b>0</b> alerts that fire" in page
    assert "deploy" in ann.get(f"{NEW}?from={made().pk}").content.decode()
    for nonsense in ("?alert=x", "?alert=99999999999999999999", "?from=x"):
        assert ann.get(NEW + nonsense).status_code == 200


def test_an_active_alert_leads_to_its_silence_and_to_the_route_tester(ann: Client, down: Alert) -> None:
    User.objects.get().user_permissions.add(Permission.objects.get(codename="view_alert"))
    page = ann.get("/alerts/").content.decode()
    assert f'href="{NEW}?alert={down.pk}"' in page
    assert f'href="/alerts/routes/?alert={down.pk}"' in page
    tester = ann.get(f"/alerts/routes/?alert={down.pk}", follow=True)
    assert tester.context["text"] == 'alertname="Down"\nservice="api"\nnote="a \\"b\\""'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('service="api"', "Down"),
        ("service=api, alertname=Up", "<b>0</b> alerts"),
        ("", "Type a matcher"),
        ("nonsense", "Expected a label"),
        ("a=~.*", "These would hit everything"),
    ],
)
def test_the_preview_shows_what_it_would_hit(ann: Client, down: Alert, text: str, sentence: str) -> None:
    answer = ann.get(PREVIEW, {"matchers": text})
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert "<html" not in answer.content.decode()


# --- Another one instead, and the end --------------------------------------------------------------------------------


def test_changing_ends_it_and_makes_another(ann: Client) -> None:
    old = made()
    page = ann.get(f"{PAGE}{old.pk}/").content.decode()
    assert 'value="1h59m"' in page
    assert ann.post(f"{PAGE}{old.pk}/", sent(comment="longer")).status_code == 302
    old.refresh_from_db()
    assert old.ends_at <= timezone.now()
    new = Silence.objects.exclude(pk=old.pk).get()
    assert new.comment == "longer"
    # The form of one that is over makes a new one.
    assert ann.get(f"{PAGE}{old.pk}/")["Location"] == f"{NEW}?from={old.pk}"


def test_a_change_that_is_refused_ends_nothing(ann: Client) -> None:
    old = made()
    assert "It would hit everything" in ann.post(f"{PAGE}{old.pk}/", sent(matchers="a=~.*")).content.decode()
    old.refresh_from_db()
    assert old.ends_at > timezone.now()


def test_it_is_ended_at_once(ann: Client) -> None:
    row = made()
    assert ann.get(f"{PAGE}{row.pk}/expire/").status_code == 405
    for _ in range(2):
        assert ann.post(f"{PAGE}{row.pk}/expire/").status_code == 302
    row.refresh_from_db()
    assert row.ends_at <= timezone.now()


# --- Who may ---------------------------------------------------------------------------------------------------------


def test_who_may_see_and_who_may_make(client: Client) -> None:
    row = made()
    changing = (NEW, PREVIEW, f"{PAGE}{row.pk}/")
    for address in (PAGE, *changing):
        assert client.get(address).status_code == 302
    bob = User.objects.create_user("bob")
    client.force_login(bob)
    assert client.get(PAGE).status_code == 403
    bob.user_permissions.add(Permission.objects.get(codename="view_alert"))
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "New silence" not in page.content.decode()
    assert "End now" not in page.content.decode()
    for address in changing:
        assert client.get(address).status_code == 403
    assert client.post(f"{PAGE}{row.pk}/expire/").status_code == 403
