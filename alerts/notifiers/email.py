"""Mail, as text and HTML, through the mail server of the settings (`EMAIL_URL`)."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parseaddr
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from django.conf import settings

from alerts import links, wording
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers.base import NotifierError, RefusedError, Target

if TYPE_CHECKING:
    from django.core.mail import EmailMultiAlternatives

LABEL = "E-mail"
HELP = "A mail, through the mail server of EMAIL_URL. While an incident is open it has a link that acknowledges it."
FOR_PEOPLE, ACKNOWLEDGES = True, False
PLACES: frozenset[str] = frozenset()
SUBJECT_MAX: Final = 200  # characters
TO_MAX: Final = 50
ASKS: Final = frozenset({Reason.FIRING, Reason.REPEAT, Reason.ESCALATION, Reason.REMINDER})

TEMPLATES: Mapping[str, str] = {
    "subject": "{{ .icon }} {{ .headline }}",
    "text": """\
{{ .headline }}
{{ with .by }}
By {{ . }}.
{{ end }}{{ with .text }}
{{ . }}
{{ end }}{{ range .alerts }}
{{ .icon }} {{ .name }}{{ with .labels.service }} · {{ . }}{{ end }} ({{ .status }})
{{ with .summary }}   {{ . }}
{{ end }}{{ with .description }}   {{ . }}
{{ end }}   {{ .labels }}
   since {{ .starts_at }}{{ with .ends_at }}, until {{ . }}{{ end }}
{{ with .runbook_url }}   Runbook: {{ . }}
{{ end }}{{ end }}{{ if .left_out }}
and {{ .left_out }} more
{{ end }}{{ with .incident_url }}
Incident: {{ . }}
{{ end }}{{ with .acknowledge_url }}
Acknowledge it (asks for a click): {{ . }}
{{ end }}
--
Pharos, for {{ .receiver }}""",
    "html": (Path(__file__).parent / "email.html").read_text(),
}

# A mail server that takes its time holds these threads, and no other work.
_threads: Final = ThreadPoolExecutor(4, thread_name_prefix="mail")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: list[str] = []


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


def check(options: Options, secrets: Secrets) -> None:
    if not 1 <= len(options.to) <= TO_MAX:
        raise ValueError(f"expected 1 to {TO_MAX} addresses, got {len(options.to)}")
    for address in options.to:
        bare = parseaddr(address)[1]
        if bare.count("@") != 1 or bare.startswith("@") or bare.endswith("@") or not address.isprintable():
            raise ValueError(f"expected addresses like ops@example.org, got {address[:80]!r}")


def preview(notification: Notification, target: Target) -> Mapping[str, str]:
    return {
        "subject": wording.line(_part("subject", notification, target))[:SUBJECT_MAX],
        "text": _part("text", notification, target),
        "html": _part("html", notification, target, escape),
    }


def _part(part: str, notification: Notification, target: Target, escaped: wording.Escape = str) -> str:
    asked = notification.reason in ASKS
    more = {
        "acknowledge_url": links.acknowledge(
            notification.external_url, notification.incident if asked else None, notification.receiver
        )
    }
    return wording.worded(part, notification, target, TEMPLATES, escaped, more)


async def send(notification: Notification, target: Target) -> str:
    if not settings.EMAIL_HOST:
        raise NotifierError("no mail server is known: set EMAIL_URL, and start Pharos anew")
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _send, message(notification, target), target.timeout)


def message(notification: Notification, target: Target) -> EmailMultiAlternatives:
    from django.core.mail import EmailMultiAlternatives

    options: Options = target.options
    parts = preview(notification, target)
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2] or "localhost"
    headers = {
        # No automatic answer, and no second copy of a message that came twice.
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Message-ID": f"<{target.delivery or 'preview'}@{domain}>",
    }
    if notification.incident:
        # All mails of an incident in one thread.
        headers["References"] = f"<pharos-incident-{notification.incident}@{domain}>"
    mail = EmailMultiAlternatives(
        parts["subject"], parts["text"], settings.DEFAULT_FROM_EMAIL, list(options.to), headers=headers
    )
    mail.attach_alternative(parts["html"], "text/html")
    return mail


def _send(mail: EmailMultiAlternatives, timeout: float) -> str:
    from django.core.mail import get_connection

    try:
        get_connection(timeout=timeout).send_messages([mail])
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(error) from None
    except smtplib.SMTPResponseException as error:
        raise _answered(error) from None
    except smtplib.SMTPException as error:
        raise NotifierError(f"the mail server broke off: {type(error).__name__}") from None
    except TimeoutError:
        raise NotifierError(f"no answer of the mail server within {timeout:g} s") from None
    except OSError as error:
        raise NotifierError(f"no connection to the mail server: {error.strerror or type(error).__name__}") from None
    return f"taken by the mail server, for {len(mail.to)}"


def _refused(error: smtplib.SMTPRecipientsRefused) -> NotifierError:
    """Nobody of the recipients is taken."""
    [(code, said), *_] = error.recipients.values()
    return NotifierError(f"{code} {_text(said)}", permanent=code >= 500)


def _answered(error: smtplib.SMTPResponseException) -> NotifierError:
    """A login that fails, or a server that is busy, is not the channel's fault; a message may be."""
    said = f"{error.smtp_code} {_text(error.smtp_error)}"
    if isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500:
        return RefusedError(said)
    return NotifierError(said)


def _text(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return wording.line(text)[:200]
