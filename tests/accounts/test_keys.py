from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Scope

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    keys._known.clear()


def test_a_key_is_shown_once_and_only_its_hash_is_kept() -> None:
    key, plain = keys.create("checkout", [Scope.INGEST])
    assert plain.startswith("pharos_")
    assert len(plain) > 40
    stored = " ".join(map(str, ApiKey.objects.values_list().get()))
    assert plain not in stored
    assert plain.startswith(key.prefix)
    assert len(key.prefix) < 12


def test_a_key_allows_its_scopes_and_admin_allows_all() -> None:
    _, plain = keys.create("checkout", [Scope.INGEST])
    access = keys.find(plain)
    assert access is not None
    assert access.allows(Scope.INGEST)
    assert not access.allows(Scope.READ)
    _, plain = keys.create("tools", [Scope.ADMIN])
    access = keys.find(plain)
    assert access is not None
    assert access.allows(Scope.READ)


def test_a_key_that_was_agreed_on_elsewhere_is_taken() -> None:
    key, plain = keys.create("first", Scope.values, secret="agreed-on-elsewhere")
    assert plain == "agreed-on-elsewhere"
    assert key.prefix == "agr"
    assert keys.find("agreed-on-elsewhere") is not None


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "sudo"]])
def test_unknown_scopes_are_refused(scopes: list[str]) -> None:
    with pytest.raises(ValidationError, match="at least one of: ingest, read, admin"):
        keys.create("x", scopes)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 8 characters"):
        keys.create("x", ["read"], secret="short")


def test_an_unknown_key_is_nobody() -> None:
    assert keys.find("pharos_nonsense") is None


def test_a_revoked_key_stops_working_here_at_once() -> None:
    key, plain = keys.create("checkout", [Scope.INGEST])
    assert keys.find(plain) is not None
    keys.revoke(key)
    assert keys.find(plain) is None


def test_the_last_use_is_kept_to_the_minute(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    key, plain = keys.create("checkout", [Scope.INGEST])
    keys.find(plain)
    key.refresh_from_db()
    assert key.last_used_at is not None
    with django_assert_num_queries(0):
        keys.find(plain)
    keys._known.clear()
    with django_assert_num_queries(1):  # looked up again, but used less than a minute ago
        keys.find(plain)
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    keys._known.clear()
    with django_assert_num_queries(2):
        keys.find(plain)


def test_while_the_database_is_away_who_was_known_still_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _, plain = keys.create("checkout", [Scope.INGEST])
    keys.find(plain)
    monkeypatch.setattr(keys, "KNOWN_FOR", 0.0)
    keys._known[keys._hash(plain)] = (keys.find(plain), 0.0)

    def away(digest: str) -> None:
        raise OperationalError("the disk is gone")

    monkeypatch.setattr(keys, "_look_up", away)
    assert keys.find(plain) is not None
    with pytest.raises(OperationalError):
        keys.find("pharos_never-seen")


@pytest.mark.parametrize(
    ("authorization", "headers", "key"),
    [
        ("Bearer k-1", {}, "k-1"),
        ("bearer   k-1 ", {}, "k-1"),
        ("Basic " + base64.b64encode(b"anybody:k-1").decode(), {}, "k-1"),
        ("", {"x-api-key": "k-1"}, "k-1"),
        ("Basic ***", {}, ""),
        ("Digest abc", {}, ""),
        ("", {}, ""),
    ],
)
def test_the_key_is_taken_from_where_clients_put_it(authorization: str, headers: dict[str, str], key: str) -> None:
    assert keys.given(authorization, headers) == key


def test_the_admin_makes_a_key_and_shows_it_once(client: Client) -> None:
    client.force_login(User.objects.create_superuser("alice"))
    answer = client.post("/admin/accounts/apikey/add/", {"name": "checkout", "scopes": ["ingest"]}, follow=True)
    assert answer.status_code == 200
    page = answer.content.decode()
    plain = page.partition("<code class='font-mono'>")[2].partition("</code>")[0]
    assert keys.find(plain) == keys.Access(ApiKey.objects.get().pk, "checkout", frozenset({"ingest"}))
    assert plain not in client.get("/admin/accounts/apikey/").content.decode()


def test_the_admin_revokes_keys(client: Client) -> None:
    client.force_login(User.objects.create_superuser("alice"))
    key, plain = keys.create("checkout", ["ingest"])
    answer = client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]}, follow=True)
    assert "stop working within ten seconds" in answer.content.decode()
    assert keys.find(plain) is None
