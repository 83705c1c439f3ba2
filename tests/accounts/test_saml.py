"""Single sign-on with SAML, through a real provider."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from lxml import etree

from tests.accounts import providers
from tests.accounts.saml import pair

pytestmark = [pytest.mark.django_db, pytest.mark.node, pytest.mark.usefixtures("redis_client")]
ANSWERS = "http://testserver/login/sso/answer/"
METADATA = "http://testserver/login/sso/metadata/"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    files = [tmp_path_factory.mktemp("saml") / name for name in ("key.pem", "certificate.pem")]
    for file, pem in zip(files, pair().as_pem(), strict=True):
        file.write_bytes(pem)
    with providers.provider("saml_provider.mjs", ANSWERS, *map(str, files)) as address:
        yield address


@pytest.fixture(autouse=True)
def _through_it(provider: str, settings: Any) -> None:
    settings.SSO, settings.SAML_METADATA, settings.SSO_NAME = "saml", f"{provider}/metadata", "Keycloak"
    settings.EXTERNAL_URL = "http://testserver"
    settings.SSO_ROLES = {"ops": "Responder", "admins": "Administrator"}
    settings.SOCIALACCOUNT_PROVIDERS = {"saml": {"APPS": [{"provider_id": "sso", "name": "Keycloak"}]}}


def says(provider: str, subject: str, **person: Any) -> None:
    httpx.post(f"{provider}/people/{subject}", json=person).raise_for_status()


def answered(client: Client, subject: str, start: str = "/login/sso/") -> str:
    """SAMLResponse, as the provider's form has it."""
    there = client.get(start)
    assert there.status_code == 302, there.content
    page = httpx.get(f"{there['Location']}&subject={subject}").raise_for_status().text
    form = re.search(r'action="([^"]+)"[^$]*name="SAMLResponse"\s+value="([^"]+)"', page)
    assert form, page
    assert html.unescape(form[1]) == ANSWERS
    return html.unescape(form[2])


def brought(client: Client, answer: str, **more: Any) -> Any:
    """What Pharos answers when the browser brings it: from another site, so without the session's cookie."""
    stranger = Client(enforce_csrf_checks=True)
    received = stranger.post("/login/sso/answer/", {"SAMLResponse": answer}, **more)
    assert "sessionid" not in received.cookies  # it would take the place of the browser's own
    if received["Location"] != "/login/sso/callback/":
        client.cookies.update(received.cookies)
        return received
    kept = received.cookies["sso_answer"]
    assert (kept["httponly"], kept["samesite"], kept["path"]) == (True, "Lax", "/login/sso/callback/")
    client.cookies["sso_answer"] = kept.value
    return client.get(received["Location"])


def go(client: Client, subject: str, start: str = "/login/sso/") -> Any:
    return brought(client, answered(client, subject, start))


def roles_of(name: str) -> set[str]:
    return set(User.objects.get(username=name).groups.values_list("name", flat=True))


def page(client: Client) -> str:
    return str(client.get("/login/").content.decode())


@pytest.mark.parametrize("whole", [False, True])
def test_somebody_new_comes_in_with_the_roles_of_the_attribute(provider: str, whole: bool) -> None:
    attributes = {"username": "ann", "email": "ann@example.org", "groups": ["/ops", "others"]}
    says(provider, "s-1", attributes=attributes, whole=whole)
    client = Client()

    answer = go(client, "s-1", "/login/sso/?next=/logs/")

    assert (answer["Location"], answer.cookies["sso_answer"].value) == ("/logs/", "")
    ann = User.objects.get(username="ann")
    assert (client.session["_auth_user_id"], ann.has_usable_password(), ann.email) == (
        str(ann.pk),
        False,
        "ann@example.org",
    )
    assert roles_of("ann") == {"Responder"}


def test_a_role_that_is_taken_away_there_is_taken_away_here(provider: str) -> None:
    says(provider, "s-2", attributes={"username": "bea", "groups": ["ops", "admins"]})
    go(Client(), "s-2")
    assert roles_of("bea") == {"Responder", "Administrator"}

    says(provider, "s-2", attributes={"username": "bea", "groups": "ops"})
    go(Client(), "s-2")

    assert roles_of("bea") == {"Responder"}


def test_who_has_no_role_is_turned_away_and_the_trail_says_so(provider: str) -> None:
    says(provider, "s-3", attributes={"username": "cid", "groups": ["others"]})
    client = Client()

    assert go(client, "s-3")["Location"] == "/login/"
    assert "Keycloak gives you no role in Pharos" in page(client)
    assert not User.objects.filter(username="cid").exists()


def test_an_answer_is_good_once_and_in_the_browser_that_asked(provider: str) -> None:
    says(provider, "s-4", attributes={"username": "dee", "groups": ["ops"]})
    client, thief = Client(), Client()
    answer = answered(client, "s-4")
    thief.get("/login/sso/")

    assert brought(thief, answer)["Location"] == "/login/"
    assert "_auth_user_id" not in thief.session
    assert brought(client, answer)["Location"] == "/"
    client.post("/logout/")
    assert brought(client, answer)["Location"] == "/login/"
    assert "Keycloak does not answer as it should" in page(client)


def test_an_answer_that_was_changed_is_refused(provider: str, caplog: pytest.LogCaptureFixture) -> None:
    says(provider, "s-5", attributes={"username": "eve", "groups": ["ops"]})
    client = Client()
    answer = answered(client, "s-5")
    entries = LogEntry.objects.count()

    assert brought(client, answer[:-400] + "A" + answer[-399:])["Location"] == "/login/"
    assert "Keycloak does not answer as it should" in page(client)
    assert any("Sign-in with Keycloak failed" in message for message in caplog.messages)
    assert LogEntry.objects.count() == entries + 1
    assert not User.objects.filter(username="eve").exists()


def test_the_page_behind_the_answer_alone_lets_nobody_in() -> None:
    assert Client().get("/login/sso/callback/")["Location"] == "/login/"


def test_one_can_join_the_account_that_one_has(provider: str) -> None:
    User.objects.create_user("fay", password="secret")
    says(provider, "s-6", attributes={"username": "other", "groups": ["ops"]})
    client = Client()
    client.post("/login/", {"username": "fay", "password": "secret"})
    assert client.get("/login/sso/?process=connect")["Location"] == "/account/sso/"

    client.post("/account/sso/")
    client.post("/account/confirm/", {"password": "secret"})
    client.post("/account/sso/")
    assert go(client, "s-6", "/login/sso/?process=connect")["Location"] == "/account/"

    later = Client()
    go(later, "s-6")
    assert later.session["_auth_user_id"] == str(User.objects.get(username="fay").pk)


def test_who_comes_through_it_needs_no_second_factor_here(provider: str, settings: Any) -> None:
    settings.REQUIRE_MFA = True
    says(provider, "s-7", attributes={"username": "gus", "groups": ["ops"]})
    client = Client()
    go(client, "s-7")

    assert client.session["account_authentication_methods"][0]["method"] == "socialaccount"


def test_metadata_that_cannot_be_had_are_said(provider: str, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.SAML_METADATA = f"{provider}/people/nobody"
    client = Client()

    assert client.get("/login/sso/")["Location"] == "/login/"
    assert "Keycloak does not answer as it should" in page(client)


def test_metadata_may_be_the_setting_itself(provider: str, settings: Any) -> None:
    settings.SAML_METADATA = httpx.get(f"{provider}/metadata").text

    assert Client().get("/login/sso/")["Location"].startswith(f"{provider}/sign-in?SAMLRequest=")


def test_too_many_answers_from_one_address_must_wait(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "2/m/ip"}
    client = Client()

    codes = [client.post("/login/sso/answer/", {"SAMLResponse": "x"}).status_code for _ in range(3)]

    assert codes == [302, 302, 429]


def test_what_the_provider_must_know_of_us() -> None:
    answer = Client().get("/login/sso/metadata/")
    root = etree.fromstring(answer.content)
    consumer = root.find(".//{*}AssertionConsumerService")

    assert answer["Content-Type"] == "application/samlmetadata+xml"
    assert (root.get("entityID"), consumer is not None and consumer.get("Location")) == (METADATA, ANSWERS)


@pytest.mark.parametrize("protocol", ["", "oidc"])
def test_without_saml_there_are_no_such_pages(protocol: str, settings: Any) -> None:
    settings.SSO = protocol

    assert Client().post("/login/sso/answer/").status_code == Client().get("/login/sso/metadata/").status_code == 404
