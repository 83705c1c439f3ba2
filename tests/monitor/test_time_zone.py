"""The zone that somebody has chosen goes before the browser's, on pages and after the next sign-in elsewhere."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core.timezone import zone_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(client: Client) -> Client:
    client.force_login(User.objects.create_user("alice", password="a password"))
    client.cookies["pharos_tz"] = "Europe/Berlin"
    return client


def test_the_choice_goes_before_the_browser(alice: Client) -> None:
    assert b"As the browser says (Europe/Berlin)" in alice.get("/account/time-zone/").content
    answer = alice.post("/account/time-zone/", {"time_zone": "Asia/Tokyo"}, follow=True)
    assert b"(Asia/Tokyo)" in answer.content
    assert b'<option value="Asia/Tokyo" selected>' in answer.content
    answer = alice.post("/account/time-zone/", {"time_zone": ""}, follow=True)
    assert b"(Europe/Berlin)" in answer.content


def test_another_browser_takes_it_with_the_sign_in(alice: Client) -> None:
    alice.post("/account/time-zone/", {"time_zone": "Asia/Tokyo"})
    other = Client()
    other.post("/login/", {"username": "alice", "password": "a password"})
    assert other.cookies["pharos_tz_chosen"].value == "Asia/Tokyo"


def test_it_ends_with_the_next_user_of_the_browser(alice: Client) -> None:
    alice.post("/account/time-zone/", {"time_zone": "Asia/Tokyo"})
    User.objects.create_user("bob", password="a password")
    alice.post("/login/", {"username": "bob", "password": "a password"})  # redirected: alice is signed in
    alice.post("/logout/")
    alice.post("/login/", {"username": "bob", "password": "a password"})
    assert alice.cookies["pharos_tz_chosen"].value == ""


def test_an_unknown_zone_is_refused(alice: Client) -> None:
    assert b"Select a valid choice" in alice.post("/account/time-zone/", {"time_zone": "Mars/Olympus"}).content


def test_nobody_has_none(client: Client) -> None:
    assert client.get("/account/time-zone/").status_code == 302


def test_cookies_are_the_client_s_to_write() -> None:
    assert zone_of({"pharos_tz_chosen": "../etc/passwd", "pharos_tz": "Europe/Berlin"}).key == "Europe/Berlin"
