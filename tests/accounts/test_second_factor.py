"""Second factors, recovery codes, sessions, and that they can be asked of everybody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.webauthn.internal import auth
from allauth.usersessions.models import UserSession
from asgiref.sync import async_to_sync
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.sign_in.second_factor import with_second_factor
from core import secrets
from monitor import settings as product

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def alice() -> User:
    return User.objects.create_superuser("alice", password="secret")


@pytest.fixture
def client(alice: User) -> Client:
    return signed_in()


def signed_in(name: str = "alice") -> Client:
    client = Client()
    sign_in(client, name)
    return client


def sign_in(client: Client, name: str = "alice") -> Any:
    return client.post("/login/?next=/services/", {"username": name, "password": "secret", "next": "/services/"})


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def codes_of(secret: str) -> list[str]:
    """Of the step before, of now and of the one after, whatever the clock does meanwhile."""
    return [format_hotp_value(hotp_value(secret, counter)) for counter in yield_hotp_counters_from_time()]


def set_up(client: Client) -> tuple[str, list[str]]:
    """The app's secret, and the recovery codes."""
    assert client.get("/account/app/")["Location"] == "/account/confirm/?next=%2Faccount%2Fapp%2F"
    assert client.post("/account/confirm/?next=/account/app/", {"password": "secret"})["Location"] == "/account/app/"
    found = re.search(r'class="secret">(\w+)<', text_of(client.get("/account/app/")))
    assert found
    answer = client.post("/account/app/", {"code": codes_of(found[1])[1]})
    assert answer["Location"] == "/account/codes/", text_of(answer)
    return found[1], re.findall(r"^(?:.*>)?(\d{8})$", text_of(client.get("/account/codes/")), re.MULTILINE)


def test_a_code_is_asked_for_after_the_password(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    secret, _ = set_up(client)
    later = Client()

    assert sign_in(later)["Location"] == "/login/code/"
    assert later.get("/account/").status_code == 302
    caplog.clear()
    assert "This is not right, or was used already" in text_of(later.post("/login/code/", {"code": "000000"}))
    assert later.post("/login/code/", {"code": codes_of(secret)[2]})["Location"] == "/services/"
    assert later.get("/account/").status_code == 200
    said = [line.getMessage() for line in caplog.records if line.name == "accounts.sign_in"]
    assert said == ["The second factor of alice was wrong", "alice signed in"]


def test_a_code_is_good_once(client: Client) -> None:
    secret, _ = set_up(client)
    first, second, code = Client(), Client(), codes_of(secret)[1]
    sign_in(first)
    sign_in(second)

    assert first.post("/login/code/", {"code": code}).status_code == 302
    assert "This is not right, or was used already" in text_of(second.post("/login/code/", {"code": code}))


def test_codes_can_not_be_guessed_for_long(client: Client, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS
    secret, _ = set_up(client)
    later = Client()
    sign_in(later)
    for number in range(5):
        later.post("/login/code/", {"code": f"00000{number}"})

    page = text_of(later.post("/login/code/", {"code": codes_of(secret)[2]}))

    assert "Try again in five minutes" in page


def test_a_recovery_code_does_once_instead(client: Client) -> None:
    _, codes = set_up(client)
    assert len(codes) == 10
    first, second = Client(), Client()
    sign_in(first)
    sign_in(second)

    assert first.post("/login/code/", {"code": codes[3]})["Location"] == "/services/"
    assert second.post("/login/code/", {"code": codes[3]}).status_code == 200
    assert "9 recovery codes are left" in text_of(client.get("/account/"))


def test_recovery_codes_are_shown_once(client: Client) -> None:
    _, codes = set_up(client)

    again = text_of(client.get("/account/codes/"))

    assert codes[0] not in again
    assert "They were shown when they were made" in again


def test_secrets_are_encrypted_at_rest(client: Client, settings: Any) -> None:
    secret, _ = set_up(client)
    app = Authenticator.objects.get(type=Authenticator.Type.TOTP)

    assert secret not in str(app.data)
    assert secrets.decrypt(app.data["secret"]) == secret


def test_after_the_key_is_lost_the_page_says_so(client: Client, settings: Any) -> None:
    secret, _ = set_up(client)
    Authenticator.objects.update(data={"secret": "unreadable", "seed": "unreadable", "used_mask": 0})
    later = Client()
    sign_in(later)

    assert "PHAROS_SECRET_KEY has changed" in text_of(later.post("/login/code/", {"code": codes_of(secret)[1]}))


def test_who_lost_everything_is_helped_on_the_command_line(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(client)

    call_command("reset_mfa", "alice")

    assert "2 removed" in capsys.readouterr().out
    assert client.get("/account/").status_code == 302
    assert sign_in(Client())["Location"] == "/services/"
    with pytest.raises(CommandError, match="There is no user 'Alice'"):
        call_command("reset_mfa", "Alice")


# --- Asked of everybody -----------------------------------------------------------------------------------------------


def test_it_can_be_asked_of_everybody(alice: User, settings: Any) -> None:
    settings.REQUIRE_MFA = True
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "accounts.sign_in.second_factor.lead_to_setup"]
    client = signed_in()

    assert client.get("/services/")["Location"] == "/account/"
    assert client.get("/services/", headers={"hx-request": "true"})["HX-Redirect"] == "/account/"
    assert client.get("/api/services").status_code == 302
    assert "Pharos asks everybody for a second factor" in text_of(client.get("/account/"))
    set_up(client)
    assert client.get("/services/").status_code == 200


def test_but_not_of_who_came_through_the_provider(alice: User, settings: Any) -> None:
    settings.REQUIRE_MFA = True
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "accounts.sign_in.second_factor.lead_to_setup"]
    client = signed_in()
    session = client.session
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": 0}]
    session.save()

    assert client.get("/services/").status_code == 200


@pytest.mark.parametrize(("has_one", "sent"), [(False, "websocket.close"), (True, "websocket.accept")])
def test_it_is_asked_of_connections_too(alice: User, settings: Any, has_one: bool, sent: str) -> None:
    settings.REQUIRE_MFA = True
    if has_one:
        Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={})
    messages: list[dict[str, Any]] = []

    async def accept(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    async_to_sync(with_second_factor(accept))({"user": alice, "session": {}}, None, send)

    assert [message["type"] for message in messages] == [sent]


# --- Sessions and password --------------------------------------------------------------------------------------------


def test_the_other_sessions_can_be_signed_out(client: Client) -> None:
    other = signed_in()
    assert text_of(client.get("/account/")).count("this one") == 1

    assert client.post("/account/sessions/end/")["Location"] == "/account/"

    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302
    assert LogEntry.objects.get(additional_data__event="sessions_ended").additional_data["sessions"] == 1


def test_one_session_can_be_signed_out_and_the_trail_says_so(client: Client) -> None:
    other, bob = signed_in(), Client()
    bob.force_login(User.objects.create_user("bob"))
    [ended] = UserSession.objects.filter(session_key=other.session.session_key)
    address = f"/account/sessions/{ended.pk}/end/"
    assert address in text_of(client.get("/account/"))
    assert bob.post(address).status_code == 404

    assert client.post(address)["Location"] == "/account/"

    assert other.get("/account/").status_code == 302
    assert client.get("/account/").status_code == 200
    [entry] = LogEntry.objects.filter(additional_data__event="sessions_ended")
    assert (entry.object_repr, entry.actor.username) == ("alice", "alice")
    assert (entry.additional_data["sessions"], entry.additional_data["signed_in_from"]) == (1, "127.0.0.1")


def test_a_new_password_signs_out_the_others(client: Client) -> None:
    other = signed_in()
    new = "correct horse battery"

    answer = client.post("/account/password/", {"oldpassword": "secret", "password1": new, "password2": new})

    assert answer["Location"] == "/account/"
    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302


@pytest.mark.parametrize(
    "path",
    ["/account/", "/account/password/", "/account/app/", "/account/codes/", "/account/codes/new/",
     "/account/passkeys/add/", "/account/sso/", "/account/confirm/"],
)  # fmt: skip
def test_an_account_is_for_its_owner(path: str, settings: Any) -> None:
    settings.SSO = "oidc"

    assert Client().get(path)["Location"].startswith("/login/?next=")


@pytest.mark.parametrize("path", ["/account/", "/account/password/", "/account/app/remove/", "/account/codes/new/",
    "/account/passkeys/add/", "/account/passkeys/{}/", "/account/passkeys/{}/remove/", "/account/sso/",
    "/account/confirm/", "/account/confirm/code/", "/account/confirm/passkey/"])  # fmt: skip
def test_each_page_is_in_our_look(client: Client, alice: User, settings: Any, path: str) -> None:
    settings.SSO = "oidc"
    set_up(client)
    data = {"name": "Phone", "credential": {}}
    passkey = Authenticator.objects.create(user=alice, type=Authenticator.Type.WEBAUTHN, data=data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_credentials", lambda _: [])
        answer = client.get(path.format(passkey.pk))

    assert answer.status_code == 200
    assert 'id="logout-form"' in text_of(answer)
    assert re.findall(r'<script(?![^>]* src=)(?! id="[\w-]+" type="application/json")', text_of(answer)) == []


def test_nobody_touches_somebody_elses_passkey(client: Client) -> None:
    bob = User.objects.create_user("bob", password="secret")
    theirs = Authenticator.objects.create(
        user=bob, type=Authenticator.Type.WEBAUTHN, data={"name": "x", "credential": {}}
    )
    client.post("/account/confirm/", {"password": "secret"})

    assert client.post(f"/account/passkeys/{theirs.pk}/remove/").status_code == 404
    assert client.post(f"/account/passkeys/{theirs.pk}/", {"name": "mine"}).status_code == 404
