"""Signing in with a password: limits, the way on, and the admin's own page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.test import Client

from core.cache import SharedCache
from monitor import settings as product

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


@pytest.fixture(autouse=True)
def _limits(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS


@pytest.fixture(autouse=True)
def alice() -> User:
    return User.objects.create_user("alice", password="secret")


def attempt(client: Client, name: str = "alice", password: str = "wrong", **more: Any) -> Any:
    return client.post("/login/", {"username": name, "password": password}, **more)


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def fail_until_refused(**more: Any) -> None:
    for _ in range(5):
        assert "correct username and password" in text_of(attempt(Client(), **more))


def test_after_five_failures_a_name_must_wait_and_is_told_how_long(caplog: pytest.LogCaptureFixture) -> None:
    fail_until_refused()

    page = text_of(attempt(Client(), password="secret", REMOTE_ADDR="192.0.2.7"))

    assert "Too many failed attempts. Try again in 5 minutes." in page
    assert "Sign-in as alice was held up: too many failed" in caplog.messages


def test_other_names_are_not_held_up_by_it() -> None:
    User.objects.create_user("bob", password="secret")
    fail_until_refused()

    assert attempt(Client(), "bob", "secret").status_code == 302


def test_an_address_must_wait_whatever_name_it_tries() -> None:
    for number in range(10):
        attempt(Client(), f"guess-{number}")

    assert re.search(r"Try again in \d\d seconds", text_of(attempt(Client(), "alice", "secret")))
    assert attempt(Client(), "alice", "secret", REMOTE_ADDR="192.0.2.7").status_code == 302


def test_who_asks_too_often_in_a_minute_is_told_so_on_a_page_of_ours() -> None:
    answers = [attempt(Client(), f"guess-{number}") for number in range(31)]

    assert (answers[-1].status_code, answers[-1]["Retry-After"]) == (429, "60")
    assert "Try again in a minute" in text_of(answers[-1])


def test_the_host_that_a_client_names_makes_no_difference(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    for number in range(5):
        attempt(Client(), headers={"host": f"host{number}.example"})

    assert "Too many failed attempts" in text_of(attempt(Client(), password="secret", REMOTE_ADDR="192.0.2.7"))


def test_nobody_can_sign_up() -> None:
    assert Client().get("/signup/").status_code == 404
    assert Client().get("/account/signup/").status_code == 404


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "https://evil.example/", "javascript:alert(1)"])
def test_it_leads_to_no_other_site(elsewhere: str) -> None:
    answer = Client().post("/login/", {"username": "alice", "password": "secret", "next": elsewhere})

    assert answer["Location"] == "/"


def test_the_admin_sends_people_to_the_same_page() -> None:
    answer = Client().get("/admin/", follow=True)

    assert answer.redirect_chain[-1][0] == "/login/?next=/admin/"


# --- Without Redis ----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    nobody = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setattr(SharedCache, "_asked_again_at", 0.0)
    monkeypatch.setattr(caches["default"], "_redis", RedisCache(nobody, settings.CACHES["default"]))
    monkeypatch.setattr(caches["default"], "_own", LocMemCache(nobody, {}))
    return caplog


def test_people_can_sign_in(no_redis: Any) -> None:
    assert attempt(Client(), password="secret").status_code == 302
    assert [line.name for line in no_redis.records].count("core.cache") == 1


def test_each_process_counts_alone(no_redis: Any) -> None:
    fail_until_refused()

    assert "Too many failed attempts" in text_of(attempt(Client(), password="secret"))


# --- What is kept -----------------------------------------------------------------------------------------------------


def test_what_others_write_to_redis_is_not_run(redis_client: redis.Redis) -> None:
    """A pickle that raises when it is read."""
    redis_client.set(cache.make_key("trap"), b"\x80\x04cbuiltins\nexit\n(tR.")

    with pytest.raises(UnicodeDecodeError):
        cache.get("trap")


def test_to_clear_it_would_clear_the_streams_too() -> None:
    with pytest.raises(NotImplementedError, match="log streams"):
        cache.clear()
