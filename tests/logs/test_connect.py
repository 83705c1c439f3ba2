"""The page Connect: instructions with the reader's own address, a key made on the spot, the first line that comes."""

from __future__ import annotations

import re
import shlex
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts import keys
from accounts.models import ApiKey
from core import clock
from logs import connect
from logs.records import Level, LogRecord
from logs.sequence import sequence_of
from logs.store import Incoming, log_stores
from tests.logs.corpus import START

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: START)


@pytest.fixture(autouse=True)
def host(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]


@pytest.fixture
def alice() -> Client:
    """May read logs, and make no keys."""
    return reader("read_records")


def reader(*permissions: str) -> Client:
    user = User.objects.create_user("alice")
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, address: str) -> str:
    answer = client.get(address, headers={"host": "logs.example.org:8443"})
    assert answer.status_code == 200
    return answer.content.decode()


def code(page: str) -> list[str]:
    """The texts to copy, as a reader copies them."""
    found = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    return [unescape(re.sub(r"<[^>]*>", "", text)) for text in found]


def stored(service: str, received: int, timestamp: int | None = None) -> None:
    entry = f"{received // 1_000}-0"
    record = LogRecord(timestamp or received, Level.INFO, service, "hello", sequence=sequence_of(entry, 0))
    log_stores["default"].append([Incoming("pharos:logs", entry, [record])])


@pytest.mark.parametrize("client", connect.CLIENTS, ids=lambda client: client.slug)
def test_each_client_has_instructions(client: connect.Client, alice: Client) -> None:
    page = text_of(alice, reverse("logs:connect", args=[client.slug]) + "?service=shop.web")
    assert f'<h2 class="grow">{client.title}' in page
    texts = code(page)
    assert texts or client.slug == "files"
    if client.needs_key:
        assert "KEY" in " ".join(texts)
        assert "shop.web" in page
        assert any("logs.example.org:8443" in text or "Port          8443" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "expected"), [("[::1]:8000", ("::1", "8000")), ("logs.example.org", ("logs.example.org", "80"))]
)
def test_host_and_port_are_told_apart(name: str, expected: tuple[str, str], alice: Client) -> None:
    page = alice.get(reverse("logs:connect", args=["fluent-bit"]), headers={"host": name}).content.decode()
    found = re.search(r"Host +(\S+)\s+Port +(\d+)", code(page)[0])
    assert found
    assert found.groups() == expected


def test_shell_lines_are_whole() -> None:
    page = text_of(reader("read_records"), reverse("logs:connect", args=["curl"]))
    words = shlex.split(code(page)[0].replace("\\\n", " "))
    assert words[:3] == ["curl", "-sS", "http://logs.example.org:8443/api/logs"]


@pytest.mark.parametrize("name", ["", "a b", '"><script>', "x" * 300, "$(id)"])
def test_a_name_that_would_break_a_configuration_is_not_taken(name: str, alice: Client) -> None:
    answer = alice.get(reverse("logs:connect"), {"service": name})
    assert name[:200] == "x" * 200 or not name or name not in code(answer.content.decode())[0]


def test_nobody_without_the_right_reads_it() -> None:
    assert Client().get(reverse("logs:connect")).status_code == 302
    assert reader().get(reverse("logs:connect")).status_code == 403


def test_a_key_is_made_that_may_only_send() -> None:
    client = reader("read_records", "add_apikey")
    answer = client.post(reverse("logs:make_key"), {"service": "shop"}).content.decode()
    (plain,) = set(re.findall(r"pharos_[\w-]{20,}", answer))
    access = keys.find(plain)
    assert access is not None
    assert access.scopes == {"ingest"}
    assert ApiKey.objects.get().name == "shop, made on the page Connect"


def test_a_reader_makes_no_keys(alice: Client) -> None:
    assert alice.post(reverse("logs:make_key"), {"service": "shop"}).status_code == 403
    assert not ApiKey.objects.exists()
    assert "Make one that may only send" not in text_of(alice, reverse("logs:connect"))


def test_it_waits_and_says_when_the_first_line_came(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    address = re.search(r'hx-get="([^"]*waiting[^"]*)"', text_of(alice, reverse("logs:connect") + "?service=shop"))
    assert address
    waiting = unescape(address[1])
    stored("shop", START - 5 * clock.SECOND)  # before the page was opened
    stored("other", START + clock.SECOND)
    monkeypatch.setattr(clock, "now", lambda: START + 9 * clock.SECOND)
    assert "Waiting for the first line" in alice.get(waiting).content.decode()
    stored("shop", START + 3 * clock.SECOND, timestamp=START - 60 * clock.SECOND)
    answer = alice.get(waiting).content.decode()
    assert "3.0 s after" in answer
    assert "every 1s" not in answer


def test_it_gives_up_after_a_while(alice: Client) -> None:
    address = reverse("logs:waiting", args=["curl"])
    long_ago = START - connect.PATIENCE - clock.SECOND
    answer = alice.get(address, {"service": "shop", "since": str(long_ago)}).content.decode()
    assert "No line came" in answer
    assert "every 1s" not in answer


def test_other_clients_are_not_known(alice: Client) -> None:
    assert alice.get(reverse("logs:connect", args=["telepathy"])).status_code == 404
