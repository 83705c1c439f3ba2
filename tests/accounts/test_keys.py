from __future__ import annotations

import base64
from datetime import UTC, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, OldSecret, Scope
from accounts.names import Names

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
    keys._known[keys._hash(plain)] = (keys._find(plain, ""), 0.0)

    def away(digest: str, client: str) -> None:
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


# --- The end of keys -----------------------------------------------------------------------------------------------


def expiring(days: int) -> tuple[ApiKey, str]:
    """A key whose last day is so many days away."""
    key, plain = keys.create("checkout", [Scope.READ])
    ApiKey.objects.filter(pk=key.pk).update(expires_on=timezone.now().astimezone(UTC).date() + timedelta(days=days))
    key.refresh_from_db()
    return key, plain


def test_a_key_works_on_its_last_day() -> None:
    assert keys.find(expiring(0)[1]) is not None


def test_a_key_that_has_expired_is_refused_with_a_sentence_that_says_so(client: Client) -> None:
    key, plain = expiring(-1)
    answer = client.get("/api/logs", headers={"authorization": f"Bearer {plain}"})
    assert answer.status_code == 401
    assert f"the API key 'checkout' expired, its last day was {key.expires_on}" in answer.json()["error"]


def test_who_has_a_key_that_ends_soon_is_warned_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    now = timezone.now()
    expiring(7), expiring(8), expiring(-1), keys.create("for ever", [Scope.READ])
    assert keys.warn_of_expiry(now) == 1
    assert "checkout (pharos_" in caplog.text
    assert keys.warn_of_expiry(now) == 0
    assert keys.warn_of_expiry(now + timedelta(days=1)) == 2


# --- Rotation ------------------------------------------------------------------------------------------------------


def test_after_a_rotation_both_secrets_work_until_the_grace_is_over() -> None:
    key, old = keys.create("checkout", [Scope.INGEST], services=["checkout"])
    before = keys.find(old, "192.0.2.1")
    new = keys.rotate(key, timedelta(hours=1))
    assert new != old
    assert keys.find(new, "192.0.2.2") == keys.find(old) == before
    OldSecret.objects.update(works_until=timezone.now() - timedelta(seconds=1))
    keys._known.clear()
    assert keys.find(old) is None
    assert "'checkout' was rotated" in keys.why_refused(old)
    assert keys.find(new) is not None


def test_a_rotation_without_grace_ends_the_old_secret_at_once() -> None:
    key, old = keys.create("checkout", [Scope.INGEST])
    keys.find(old)
    new = keys.rotate(key, timedelta(0))
    assert keys.find(old) is None
    assert keys.find(new) is not None


def test_each_secret_has_a_last_use_of_its_own() -> None:
    key, old = keys.create("checkout", [Scope.INGEST])
    keys.find(old, "192.0.2.1")
    new = keys.rotate(key, timedelta(hours=1))
    key.refresh_from_db()
    assert (key.last_used_at, key.last_used_from) == (None, "")
    keys.find(new, "192.0.2.2")
    key.refresh_from_db()
    assert (key.last_used_from, key.old_secrets.get().last_used_from) == ("192.0.2.2", "192.0.2.1")


def test_a_revoked_key_takes_its_old_secrets_along() -> None:
    key, old = keys.create("checkout", [Scope.INGEST])
    new = keys.rotate(key, timedelta(hours=1))
    assert keys.find(old) is not None
    assert keys.find(new) is not None
    keys.revoke(key)
    assert keys.find(old) is keys.find(new) is None


def test_the_admin_rotates_a_key_and_shows_the_new_secret_once(client: Client) -> None:
    client.force_login(User.objects.create_superuser("alice"))
    key, old = keys.create("checkout", ["ingest"])
    keys.find(old, "192.0.2.1")
    page = f"/admin/accounts/apikey/{key.pk}/rotate/"
    assert "works for another day" in client.get(page).content.decode()
    text = client.post(page, {"grace": "3600"}, follow=True).content.decode()
    plain = text.partition("<code class='font-mono'>")[2].partition("</code>")[0]
    assert keys.find(plain) == keys.find(old)
    assert "from 192.0.2.1" in text
    assert plain not in client.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()


def test_who_may_only_look_at_keys_may_not_rotate_or_revoke_them(client: Client) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(user)
    key, plain = keys.create("checkout", ["ingest"])
    assert client.post(f"/admin/accounts/apikey/{key.pk}/rotate/", {"grace": "0"}).status_code == 403
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert keys.find(plain) is not None


# --- Services ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        (["checkout"], "checkout", True),
        (["Checkout"], "CHECKOUT", True),
        (["checkout"], "checkout-2", False),
        (["shop-*"], "shop-web", True),
        (["shop-*"], "shop", False),
        (["*"], "anything", True),
        (["a", "b*"], "bee", True),
        ([], "a", False),
    ],
)
def test_names_are_matched_whole_or_by_their_beginning(patterns: list[str], name: str, allowed: bool) -> None:
    assert (name in Names.of(patterns)) is allowed


@pytest.mark.parametrize("pattern", ["", " a", "*-a", "a*b", "a,b"])
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="Expected the name of a service"):
        keys.create("x", ["read"], services=[pattern])


def test_the_admin_makes_a_key_for_some_services_with_a_last_day(client: Client) -> None:
    client.force_login(User.objects.create_superuser("alice"))
    tomorrow = timezone.now().astimezone(UTC).date() + timedelta(days=1)
    values = {"name": "x", "scopes": ["ingest"], "services": "checkout\nshop-*, cart", "expires_on": str(tomorrow)}
    client.post("/admin/accounts/apikey/add/", values)
    key = ApiKey.objects.get()
    assert (key.services, key.expires_on) == (["checkout", "shop-*", "cart"], tomorrow)
    assert "expires in 1 day" in client.get("/admin/accounts/apikey/").content.decode()
    answer = client.post("/admin/accounts/apikey/add/", values | {"services": "*x"})
    assert "Expected the name of a service" in answer.content.decode()
