"""Dead letters in the admin: read-only, and sent again."""

from __future__ import annotations

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client, override_settings

from logs.models import DeadLetter

pytestmark = pytest.mark.django_db

PAGE = "/admin/logs/deadletter/"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


@pytest.fixture
def letter() -> DeadLetter:
    return DeadLetter.objects.create(
        stream="pharos:logs", entry_id="1-1", reason="expected JSON", payload={"payload": "<script>"}
    )


def test_letters_are_listed_and_read_with_their_text_escaped(admin: Client, letter: DeadLetter) -> None:
    assert "expected JSON" in admin.get(PAGE).content.decode()
    page = admin.get(f"{PAGE}{letter.pk}/change/").content.decode()
    assert "&lt;script&gt;" in page
    assert '"<script>"' not in page


def test_nobody_changes_adds_or_deletes_them(admin: Client, letter: DeadLetter) -> None:
    assert admin.get(f"{PAGE}add/").status_code == 403
    assert admin.post(f"{PAGE}{letter.pk}/change/", {"reason": "x"}).status_code == 403
    assert admin.post(f"{PAGE}{letter.pk}/delete/", {"post": "yes"}).status_code == 403
    assert DeadLetter.objects.get().reason == "expected JSON"


def test_they_are_sent_again(admin: Client, letter: DeadLetter, redis_client: redis.Redis) -> None:
    answer = admin.post(PAGE, {"action": "send_again", "_selected_action": [letter.pk]}, follow=True)
    assert "Sent 1 entries again" in answer.content.decode()
    assert redis_client.xlen("pharos:logs") == 1
    letter.refresh_from_db()
    assert letter.replayed_at is not None


def test_without_redis_the_admin_says_so(admin: Client, letter: DeadLetter) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        answer = admin.post(PAGE, {"action": "send_again", "_selected_action": [letter.pk]}, follow=True)
    assert "Redis is away after 0 entries" in answer.content.decode()
    letter.refresh_from_db()
    assert letter.replayed_at is None


def test_strangers_see_nothing(client: Client) -> None:
    assert client.get(PAGE).status_code == 302
