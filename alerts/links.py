"""Links in messages: to an incident, and to its acknowledgement by whoever got the mail.

The second one is signed, so that it works without a login. Programs that look through mail open every link: the page
behind it only asks, see `alerts.link_views`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from django.core import signing
from django.urls import NoReverseMatch, reverse

SALT: Final = "alerts.acknowledge"
VALID: Final = timedelta(days=7)
URL_MAX: Final = 2_000


def incident(external_url: str, pk: int | None) -> str:
    """ "" without an address of our own, or without an incident."""
    return external_url + _path("alerts:incident", pk) if external_url and pk else ""


def acknowledge(external_url: str, pk: int | None, receiver: str) -> str:
    """For those who get a receiver's mail."""
    if not external_url or not pk:
        return ""
    return external_url + _path("alerts:acknowledge-link", pk, sign(pk, receiver))


def _path(name: str, *args: object) -> str:
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return "/"


def sign(pk: int, receiver: str) -> str:
    return signing.dumps([pk, receiver], salt=SALT, compress=True)


def receiver_of(pk: int, token: str) -> str | None:
    """Who got the link; None if it is not of this incident, too old, or not ours."""
    try:
        signed, receiver = signing.loads(token, salt=SALT, max_age=VALID)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return str(receiver) if signed == pk else None


def safe(url: str) -> str:
    """A link that others gave us, if it is one of the web; else "". Nothing in it can end a link in HTML or Slack."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return ""
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc or len(url) > URL_MAX:
        return ""
    return quote(url.strip(), safe=":/?#[]@!$&'()*+,;=%-._~")
