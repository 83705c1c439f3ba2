"""What the first start makes, and the words that the operator reads."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from accounts import keys
from accounts.models import ApiKey, Scope
from monitor import bootstrap
from monitor.bootstrap import Made

ALREADY = Made()
NEW = Made(password="pass-word", key="pharos_key")


@pytest.fixture(autouse=True)
def usual(settings: Settings) -> None:
    settings.ADMIN_PASSWORD = settings.API_KEY = ""
    settings.HOST, settings.PORT = "127.0.0.1", 8000
    settings.VALKEY_PORT = 6390
    settings.LOG_STREAMS = ["pharos:logs"]


# --- What is made --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_first_start_makes_an_administrator_who_can_log_in() -> None:
    made = bootstrap.first_start()

    assert made.password
    user = authenticate(username="admin", password=made.password)
    assert user is not None
    assert user.is_superuser
    assert user.is_staff


@pytest.mark.django_db
def test_the_first_start_makes_a_key_that_may_only_send() -> None:
    made = bootstrap.first_start()

    assert made.key
    access = keys.find(made.key)
    assert access is not None
    assert access.name == "first start"
    assert access.scopes == {Scope.INGEST}


@pytest.mark.django_db
def test_the_second_start_makes_nothing() -> None:
    bootstrap.first_start()

    assert bootstrap.first_start() == Made(password=None, key=None)
    assert get_user_model().objects.count() == 1
    assert ApiKey.objects.count() == 1


@pytest.mark.django_db
def test_an_installation_with_other_users_gets_no_admin() -> None:
    get_user_model().objects.create_user("alice", password="x")

    assert bootstrap.first_start().password is None
    assert not get_user_model().objects.filter(username="admin").exists()


@pytest.mark.django_db
def test_a_password_and_a_key_that_are_given_are_used(settings: Settings) -> None:
    settings.ADMIN_PASSWORD, settings.API_KEY = "given-password", "given-key-123"

    made = bootstrap.first_start()

    assert made == Made("given-password", "given-key-123")
    assert authenticate(username="admin", password="given-password") is not None
    access = keys.find("given-key-123")
    assert access is not None
    assert access.scopes == set(Scope.values)


@pytest.mark.django_db
def test_a_given_key_that_is_too_short_stops_the_start_and_makes_nothing(settings: Settings) -> None:
    settings.API_KEY = "short"

    with pytest.raises(ImproperlyConfigured, match=r"^PHAROS_API_KEY can't be used: .*8 characters"):
        bootstrap.first_start()
    assert not get_user_model().objects.exists()


def test_a_made_password_can_be_read_aloud() -> None:
    password = bootstrap.readable_secret()

    assert len(password) == 23
    assert set(password) <= set("abcdefghjkmnpqrstuvwxyz23456789-")
    assert password != bootstrap.readable_secret()


# --- The words -----------------------------------------------------------------------------------------------------


def test_the_first_banner_shows_what_was_made() -> None:
    banner = bootstrap.banner(NEW, 6390)

    assert "Address   http://127.0.0.1:8000/\n" in banner
    assert "User      admin\n" in banner
    assert "Password  pass-word   (made just now, not shown again)\n" in banner
    assert f"  {bootstrap.curl('pharos_key')}\n" in banner
    assert "changepassword" not in banner


def test_a_later_banner_says_where_to_get_a_password_and_a_key() -> None:
    banner = bootstrap.banner(ALREADY, 6390)

    assert "manage.py changepassword admin\n" in banner
    assert "http://127.0.0.1:8000/admin/accounts/apikey/add/" in banner
    assert "curl" not in banner


def test_a_given_password_is_not_printed(settings: Settings) -> None:
    settings.ADMIN_PASSWORD = "given-password"

    banner = bootstrap.banner(Made("given-password", "k" * 8), 6390)

    assert "given-password" not in banner
    assert "Password  the one in PHAROS_ADMIN_PASSWORD\n" in banner


def test_the_banner_shows_the_redis_of_local_services(settings: Settings) -> None:
    settings.LOG_STREAMS = ["one", "two"]

    banner = bootstrap.banner(ALREADY, 6390)

    assert "Redis     redis://127.0.0.1:6390/0, stream one, two\n" in banner
    assert "redis-cli -u redis://127.0.0.1:6390/0 XADD one '*' level info" in banner


def test_another_redis_port_is_explained() -> None:
    assert "redis://127.0.0.1:40001/0, stream pharos:logs   (port 6390 is taken)\n" in bootstrap.banner(ALREADY, 40001)


def test_a_redis_of_ones_own_is_not_printed_with_its_password(settings: Settings) -> None:
    settings.REDIS_URL = "redis://:secret@redis.example.org/0"

    banner = bootstrap.banner(ALREADY, None)

    assert "the one in REDIS_URL, stream pharos:logs\n" in banner
    assert "secret" not in banner
    assert "redis-cli" not in banner


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("0.0.0.0", "http://127.0.0.1:8000/"),
        ("::", "http://[::1]:8000/"),
        ("pharos.example.org", "http://pharos.example.org:8000/"),
    ],
)
def test_the_address_is_one_that_a_browser_can_open(settings: Settings, host: str, address: str) -> None:
    settings.HOST = host

    assert bootstrap.address() == address


@pytest.mark.parametrize("key", ["pharos_abc-DEF", "it's $HOME & `more`"])
def test_the_curl_line_is_one_line_that_a_shell_reads_as_it_was_meant(key: str) -> None:
    line = bootstrap.curl(key)

    words = shlex.split(line)
    assert "\n" not in line
    assert words[:3] == ["curl", "-sS", "http://127.0.0.1:8000/api/logs"]
    assert f"Authorization: Bearer {key}" in words
    assert json.loads(words[-1])["message"] == "Hello from curl"


def test_what_was_given_needs_no_saying(settings: Settings) -> None:
    settings.ADMIN_PASSWORD, settings.API_KEY = "given-password", "given-key-123"

    assert bootstrap.credentials(Made("given-password", "given-key-123")) == ""


@dataclass(frozen=True)
class Case:
    made: Made
    said: str


@pytest.mark.parametrize(
    "case",
    [
        Case(ALREADY, ""),
        Case(
            Made(password="p"),
            "The first start made the password 'p' for the user 'admin'. Keep it: it is not shown again.",
        ),
        Case(Made(key="k"), "The first start made the API key 'k'. Keep it: it is not shown again."),
        Case(
            Made("p", "k"),
            "The first start made the password 'p' for the user 'admin' and the API key 'k'. "
            "Keep it: it is not shown again.",
        ),
    ],
    ids=str,
)
def test_what_was_made_is_said_even_when_the_start_fails(case: Case) -> None:
    assert bootstrap.credentials(case.made) == case.said
