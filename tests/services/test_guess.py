"""One address becomes a service: what is guessed, what is asked, what is shown before anything is saved."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core import clock
from core.secrets import encrypt
from services.guess import explore, guess
from services.models import Check, Service
from services.probes import Measurement, Part
from services.status import Outcome

PAGE = "/admin/services/service/by-url/"
SECRET = "hunter2secret"


@pytest.mark.parametrize(
    ("address", "name", "category", "kind", "target"),
    [
        ("https://shop.example.org", "shop", "web", "http", "https://shop.example.org/"),
        ("https://www.example.org/a?b=c#d", "example", "web", "http", "https://www.example.org/a?b=c"),
        ("http://api:8000/health/ready", "api", "api", "health", "http://api:8000/health/ready"),
        ("https://sso.x.org/realms/a/.well-known/openid-configuration", "sso", "sso", "oidc", "https://sso.x.org/realms/a"),
        ("tcp://mail.example.org:25", "mail", "external", "tcp", "mail.example.org:25"),
        ("tcp://[::1]:6379", "::1", "cache", "tcp", "[::1]:6379"),
        ("postgres://ann:pw@db:5433/shop", "db", "database", "postgres", "postgres://ann@db:5433/shop"),
        ("redis://:pw@cache/1", "cache", "cache", "redis", "redis://cache/1"),
        ("amqp://rabbit", "rabbit", "queue", "tcp", "rabbit:5672"),
        ("shop.example.org", "shop", "web", "http", "https://shop.example.org/"),
        ("ocr-1:8080", "ocr-1", "ocr", "http", "http://ocr-1:8080/"),
        ("db:5432", "db", "database", "tcp", "db:5432"),
        ("http://127.0.0.1:9000", "127.0.0.1", "web", "http", "http://127.0.0.1:9000/"),
        ("https://u:p@intern.example.org/x", "intern", "web", "http", "https://intern.example.org/x"),
    ],
)  # fmt: skip
def test_an_address_says_much(address: str, name: str, category: str, kind: str, target: str) -> None:
    found = guess(address)
    assert (found.name, found.category, found.checks[0].kind, found.checks[0].target) == (name, category, kind, target)
    assert ":pw@" not in repr(found.checks[0].target)


def test_passwords_become_secrets() -> None:
    assert guess("postgres://ann:p%40w@db/shop").checks[0].secrets == {"password": "p@w"}
    assert guess("https://u:p@x.org/").checks[0].secrets == {"username": "u", "password": "p"}


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "two words",
        "https://",
        "ftp://x",
        "tcp://x",
        "https://x:port",
        "a" * 600,
        "u:p@host",
        "[",
        "x\ny",
        "ht!tp",
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(address: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        guess(address)


# --- Asking ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Measurement]:
    """Target → what it answers, instead of the network; others don't answer."""
    found: dict[str, Measurement] = {}

    async def ask(question: Any) -> Measurement:
        assert question.timeout <= 5
        return found.get(question.target, Measurement(Outcome.UNREACHABLE, "connection refused"))

    monkeypatch.setattr("services.probes.ask", ask)
    return found


def kinds(address: str) -> list[tuple[str, str, str]]:
    return [(check.name, check.kind, check.target) for check in explore(guess(address)).checks]


def test_health_addresses_are_found(answers: dict[str, Measurement]) -> None:
    answers["http://api:8000/health/ready"] = Measurement(
        Outcome.FAILING, "database unhealthy", parts=(Part("database", Outcome.FAILING),)
    )
    answers["http://api:8000/health/live"] = answers["http://api:8000/health"] = Measurement()
    assert kinds("http://api:8000") == [
        ("readiness", "health", "http://api:8000/health/ready"),
        ("liveness", "health", "http://api:8000/health/live"),
    ]


def test_only_health_is_found_where_there_is_nothing_else(answers: dict[str, Measurement]) -> None:
    answers["http://api:8000/health"] = Measurement(Outcome.DEGRADED)
    assert kinds("http://api:8000") == [("health", "health", "http://api:8000/health")]


def test_a_page_that_answers_everything_is_no_health_address(answers: dict[str, Measurement]) -> None:
    for path in ("/health/ready", "/health/live", "/health"):
        answers[f"https://shop.example.org{path}"] = Measurement(
            Outcome.FAILING, "the answer says nothing about health"
        )
    answers["https://shop.example.org/"] = Measurement()
    assert kinds("https://shop.example.org") == [("page", "http", "https://shop.example.org/")]


def test_a_bare_name_is_tried_without_tls_and_a_port_without_http(answers: dict[str, Measurement]) -> None:
    assert kinds("intern") == [("page", "http", "https://intern/")]
    answers["http://intern/"] = Measurement()
    assert kinds("intern") == [("page", "http", "http://intern/")]
    answers["thing:7777"] = Measurement()
    assert kinds("thing:7777") == [("port", "tcp", "thing:7777")]


# --- The page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


def token_of(page: str) -> str:
    found = re.search(r'name="proposal" value="([^"]+)"', page)
    assert found
    return found[1]


def test_it_is_shown_first_and_made_then(admin: Client, answers: dict[str, Measurement]) -> None:
    answers["postgres://ann@db:5432/shop"] = Measurement(Outcome.FAILING, "the login was refused")
    page = admin.post(PAGE, {"address": f"postgres://ann:{SECRET}@db:5432/shop"}).content.decode()
    assert "postgres://ann@db:5432/shop" in page
    assert "the login was refused" in page
    assert SECRET not in page
    assert not Service.objects.exists()
    form = {"proposal": token_of(page), "name": "orders", "category": "database", "check": ["login"]}
    answer = admin.post(PAGE, form)
    service = Service.objects.get()
    assert answer["Location"] == f"/admin/services/service/{service.pk}/change/"
    check = Check.objects.get()
    assert (service.name, check.target, check.secrets) == (
        "orders",
        "postgres://ann@db:5432/shop",
        {"password": SECRET},
    )
    assert check.due_at <= clock.now()
    # Twice: there is one of this name now.
    again = admin.post(PAGE, form).content.decode()
    assert "There is a service of this name" in again
    assert Service.objects.count() == 1


def test_checks_that_are_not_wanted_are_not_made(admin: Client, answers: dict[str, Measurement]) -> None:
    page = admin.post(PAGE, {"address": "https://shop.example.org"}).content.decode()
    admin.post(PAGE, {"proposal": token_of(page), "name": "shop", "category": "web"})
    assert Service.objects.get().checks.count() == 0


@pytest.mark.parametrize("address", ["", "ftp://x", f"gopher://u:{SECRET}@host/", "x y"])
def test_a_wrong_address_is_refused_and_not_repeated(admin: Client, address: str) -> None:
    page = admin.post(PAGE, {"address": address}).content.decode()
    assert "xpected" in page or "required" in page
    assert SECRET not in page


@pytest.mark.parametrize("token", ["", "nonsense", pytest.param(encrypt("{}"), id="of something else")])
def test_a_forged_proposal_is_refused(admin: Client, token: str) -> None:
    page = admin.post(PAGE, {"proposal": token, "name": "x", "category": "web"}).content.decode()
    assert "begin again with the address" in page
    assert not Service.objects.exists()


def test_other_methods_are_refused(admin: Client) -> None:
    assert admin.delete(PAGE).status_code == 405
