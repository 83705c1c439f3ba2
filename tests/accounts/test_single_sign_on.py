"""Single sign-on, through a real provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings as real
from django.contrib.auth.models import Group, User
from django.test import Client

from accounts import roles
from accounts.sign_in.single import claimed
from monitor import valkey
from tests.accounts import providers

pytestmark = [pytest.mark.django_db, pytest.mark.node, pytest.mark.usefixtures("redis_client")]
CALLBACK = "http://testserver/login/sso/callback/"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with providers.provider("provider.mjs", CALLBACK) as address:
        yield address


@pytest.fixture(autouse=True)
def _through_it(issuer: str, settings: Any) -> None:
    settings.SSO, settings.OIDC_URL, settings.SSO_NAME = "oidc", issuer, "Keycloak"
    settings.SSO_ROLES = {"ops": "Responder", "admins": "Administrator"}
    app = {"provider_id": "sso", "name": "Keycloak", "client_id": "pharos", "secret": "only-for-the-tests"}
    provider = {
        **settings.SOCIALACCOUNT_PROVIDERS["openid_connect"],
        "APPS": [app | {"settings": {"server_url": issuer}}],
    }
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": provider}


def says(issuer: str, subject: str, **claims: Any) -> None:
    httpx.post(f"{issuer}/people/{subject}", json=claims).raise_for_status()


def go(client: Client, subject: str, start: str = "/login/sso/") -> Any:
    """What Pharos answers when somebody comes back from the provider."""
    there = client.get(start)
    assert there.status_code == 302, there.content
    with httpx.Client(follow_redirects=True) as browser:
        answer = browser.get(there["Location"])
        for fields in ({"prompt": "login", "login": subject, "password": "any"}, {"prompt": "consent"}):
            form = re.search(r'action="([^"]+)"', answer.text)
            assert form, answer.text
            answer = browser.post(form[1], data=fields, follow_redirects=False)
            while answer.next_request and not str(answer.next_request.url).startswith(CALLBACK):
                answer = browser.send(answer.next_request, follow_redirects=False)
    back = urlsplit(answer.headers["location"])
    return client.get(f"{back.path}?{back.query}")


def roles_of(name: str) -> set[str]:
    return set(User.objects.get(username=name).groups.values_list("name", flat=True))


def page(client: Client) -> str:
    return str(client.get("/login/").content.decode())


def test_somebody_new_comes_in_with_the_roles_of_the_claim(issuer: str) -> None:
    says(issuer, "s-1", preferred_username="ann", email="ann@example.org", groups=["/ops", "others"])
    client = Client()

    answer = go(client, "s-1", "/login/sso/?next=/logs/")

    assert answer["Location"] == "/logs/"
    ann = User.objects.get(username="ann")
    assert (client.session["_auth_user_id"], ann.has_usable_password()) == (str(ann.pk), False)
    assert roles_of("ann") == {"Responder"}


def test_a_role_that_is_taken_away_there_is_taken_away_here(issuer: str) -> None:
    says(issuer, "s-2", preferred_username="bea", groups=["ops", "admins"])
    go(Client(), "s-2")
    assert roles_of("bea") == {"Responder", "Administrator"}
    assert User.objects.get(username="bea").has_perm(roles.ENTER_ADMIN)
    User.objects.get(username="bea").groups.add(Group.objects.create(name="Payments team"))

    says(issuer, "s-2", preferred_username="bea", groups=["ops"])
    go(Client(), "s-2")

    assert roles_of("bea") == {"Responder", "Payments team"}
    assert not User.objects.get(username="bea").has_perm(roles.ENTER_ADMIN)


def test_who_has_no_role_is_turned_away_and_gets_no_account(issuer: str) -> None:
    says(issuer, "s-3", preferred_username="cid", groups=["others"])
    client = Client()

    assert go(client, "s-3")["Location"] == "/login/"
    assert "Keycloak gives you no role in Pharos" in page(client)
    assert not User.objects.filter(username="cid").exists()


def test_or_has_the_default_role(issuer: str, settings: Any) -> None:
    settings.SSO_DEFAULT_ROLE = "Viewer"
    says(issuer, "s-4", preferred_username="dee")

    go(Client(), "s-4")

    assert roles_of("dee") == {"Viewer"}


def test_somebody_of_the_same_name_and_address_is_somebody_else(issuer: str) -> None:
    alice = User.objects.create_superuser("alice", "alice@example.org", "secret")
    says(issuer, "s-5", preferred_username="alice", email="alice@example.org", email_verified=True, groups=["ops"])
    client = Client()

    go(client, "s-5")

    assert client.session["_auth_user_id"] != str(alice.pk)
    assert set(User.objects.filter(email="alice@example.org").values_list("is_superuser", flat=True)) == {True, False}


def test_one_can_join_the_account_that_one_has(issuer: str) -> None:
    User.objects.create_user("eve", password="secret")
    says(issuer, "s-6", preferred_username="other", groups=["ops"])
    client = Client()
    client.post("/login/", {"username": "eve", "password": "secret"})

    assert client.get("/login/sso/?process=connect")["Location"] == "/account/sso/"
    answer = client.post("/account/sso/")
    assert answer["Location"].startswith("/account/confirm/")
    client.post("/account/confirm/", {"password": "secret"})
    client.post("/account/sso/")
    assert go(client, "s-6", "/login/sso/?process=connect")["Location"] == "/account/"

    later = Client()
    go(later, "s-6")
    assert later.session["_auth_user_id"] == str(User.objects.get(username="eve").pk)


def test_alone_it_leaves_passwords_to_superusers(settings: Any) -> None:
    settings.SSO_ONLY = True
    User.objects.create_user("alice", password="secret")
    User.objects.create_superuser("root", password="secret")
    client = Client()

    assert 'name="password"' not in page(client)
    assert 'name="password"' in client.get("/login/?password").content.decode()
    assert client.post("/login/", {"username": "alice", "password": "secret"})["Location"] == "/login/"
    assert "Sign in with Keycloak" in page(client)
    assert client.post("/login/", {"username": "root", "password": "secret"})["Location"] == "/"


def test_a_provider_that_is_away_is_said(settings: Any) -> None:
    provider = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]
    provider["APPS"][0]["settings"] = {"server_url": f"http://127.0.0.1:{valkey.free_port()}"}
    client = Client()

    assert client.get("/login/sso/")["Location"] == "/login/"
    assert "Keycloak does not answer as it should" in page(client)


def test_an_answer_that_nobody_asked_for_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    client = Client()

    assert client.get("/login/sso/callback/?code=stolen&state=made-up")["Location"] == "/login/"
    assert "did not work" in page(client)


def test_without_a_provider_there_is_no_such_page(settings: Any) -> None:
    settings.SSO = ""

    assert Client().get("/login/sso/").status_code == Client().get("/login/sso/callback/").status_code == 404
    assert "/login/sso/" not in page(Client())


def test_the_settings_know_the_roles() -> None:
    assert real.ROLES == roles.NAMES


@pytest.mark.parametrize(
    ("claims", "path", "values"),
    [
        ({"groups": ["a", "b"]}, "groups", ["a", "b"]),
        ({"role": "a"}, "role", ["a"]),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ["a"]),
        ({"https://example.org/roles": ["a"]}, "https://example.org/roles", ["a"]),
        ({"groups": ["a", 7, None]}, "groups", ["a"]),
        ({"groups": 7}, "groups", []),
        ({"realm_access": "a"}, "realm_access.roles", []),
        ({}, "groups", []),
    ],
)
def test_where_a_claim_is_found(claims: dict[str, Any], path: str, values: list[str]) -> None:
    assert list(claimed(claims, path)) == values
