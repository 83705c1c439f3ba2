"""Mail: to a real mail server of the test, as text and HTML."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core import mail
from pytest_django import Settings

from alerts import links, notifiers
from alerts.models.deliveries import Reason
from alerts.notifiers import NotifierError, RefusedError
from alerts.notifiers import email as notifier
from tests import peers
from tests.alerts.notifiers.telling import HOSTILE, tell, to
from tests.alerts.telling import notification, told

OPTIONS = {"to": ["Ops <ops@example.org>", "ann@example.org"]}


@dataclass
class Mailbox:
    """aiosmtpd calls these."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refuse: str = ""  # every recipient, with this
    answer: str = "250 taken"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            made = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(made, EmailMessage)
            self.mails.append(made)
            self.recipients += envelope.rcpt_tos
        return self.answer


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=peers.closed_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.DEFAULT_FROM_EMAIL = "Pharos <pharos@example.org>"
    try:
        yield box
    finally:
        controller.stop()


def part(made: EmailMessage, kind: str) -> str:
    found = made.get_body((kind,))
    assert found
    text: str = found.get_content()
    return text


async def test_a_mail_arrives_as_text_and_html(mailbox: Mailbox) -> None:
    answer = await tell("email", notification(incident=12), to("email", OPTIONS))
    assert answer == "taken by the mail server, for 2"
    [made] = mailbox.mails
    assert mailbox.recipients == ["ops@example.org", "ann@example.org"]
    assert made["Subject"] == "🟠 HIGH WorkerDown · worker"
    assert made["From"] == "Pharos <pharos@example.org>"
    assert made["Auto-Submitted"] == "auto-generated"
    assert "readiness fails: redis connection refused" in part(made, "plain")
    assert "readiness fails: redis connection refused" in part(made, "html")
    assert links.incident("https://pharos.example.org", 12) in part(made, "html")


async def test_a_mail_that_is_sent_again_is_the_same_one_for_the_reader(mailbox: Mailbox) -> None:
    for _ in range(2):
        await tell("email", notification(incident=12), to("email", OPTIONS))
    assert {made["Message-ID"] for made in mailbox.mails} == {"<pharos-7@example.org>"}
    assert {made["References"] for made in mailbox.mails} == {"<pharos-incident-12@example.org>"}


def test_while_the_incident_is_open_there_is_a_link_that_acknowledges_it() -> None:
    said = notifier.preview(notification(incident=12), to("email", OPTIONS))
    [link] = set(re.findall(r"https://\S+/acknowledge/([^/\"\s]+)/", said["text"] + said["html"]))
    assert links.receiver_of(12, link) == "ops"
    ended = notifier.preview(notification(Reason.RESOLVED, incident=12), to("email", OPTIONS))
    assert "/acknowledge/" not in ended["text"] + ended["html"]


def test_hostile_text_is_only_text() -> None:
    bad = told(
        HOSTILE,
        labels={"x": HOSTILE},
        annotations={"summary": HOSTILE, "description": HOSTILE, "runbook_url": "javascript:alert(1)"},
    )
    message = notification(alerts=[bad], incident_title=f"{HOSTILE}\r\nBcc: evil@example.org", incident=12)
    made = notifier.message(message, to("email", OPTIONS)).message()
    assert made["Bcc"] is None
    html = notifier.preview(message, to("email", OPTIONS))["html"]
    assert "<script" not in html
    assert "<https" not in html
    assert "javascript:" not in html
    assert "&lt;script&gt;" in html
    assert "\u202e" not in html


async def test_without_a_mail_server_it_says_what_to_do(settings: Settings) -> None:
    settings.EMAIL_HOST = ""
    with pytest.raises(NotifierError, match="set EMAIL_URL") as caught:
        await tell("email", notification(), to("email", OPTIONS))
    assert not caught.value.permanent
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("refuse", "answer", "kind", "permanent"),
    [
        ("550 no such user", "", NotifierError, True),
        ("450 mailbox busy", "", NotifierError, False),
        ("", "554 looks like spam", RefusedError, False),
        ("", "451 try later", NotifierError, False),
    ],
)
async def test_what_the_mail_server_answers(
    mailbox: Mailbox, refuse: str, answer: str, kind: type, permanent: bool
) -> None:
    mailbox.refuse, mailbox.answer = refuse, answer
    with pytest.raises(NotifierError) as caught:
        await tell("email", notification(), to("email", OPTIONS))
    assert (type(caught.value), caught.value.permanent) == (kind, permanent)
    assert str(caught.value) == (refuse or answer)


async def test_a_mail_server_that_is_away_or_silent(mailbox: Mailbox, settings: Settings) -> None:
    settings.EMAIL_PORT = peers.closed_port()
    with pytest.raises(NotifierError, match="no connection to the mail server"):
        await tell("email", notification(), to("email", OPTIONS))
    async with peers.tcp_server(peers.silence) as port:
        settings.EMAIL_PORT = port
        with pytest.raises(NotifierError, match=r"within 0\.2 s"):
            await tell("email", notification(), to("email", OPTIONS, timeout=0.2))


@pytest.mark.parametrize(
    ("addresses", "right"),
    [
        (["ops@example.org"], True),
        ([], False),
        (["ops"], False),
        (["a@b\r\nBcc: c@d"], False),
        (["@example.org"], False),
    ],
)
def test_addresses_are_looked_at_when_saved(addresses: list[str], right: bool) -> None:
    assert (notifiers.problems("email", {"to": addresses}, {}, {}) == {}) == right
