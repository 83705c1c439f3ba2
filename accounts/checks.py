"""What `manage.py check --deploy` says of settings that let strangers in."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.core.checks.security.base import SECRET_KEY_MIN_LENGTH, SECRET_KEY_MIN_UNIQUE_CHARACTERS


@register(Tags.security, deploy=True)
def sign_in_is_safe(**_: Any) -> list[CheckMessage]:
    encrypted = settings.EXTERNAL_URL.startswith("https:")
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(Error("PHAROS_DEBUG is on: its error pages show settings to everybody.", id="pharos.E101"))
    if "*" in settings.ALLOWED_HOSTS:
        sentence = "PHAROS_ALLOWED_HOSTS is *: anybody may send links of Pharos that lead elsewhere. Name the hosts."
        found.append(Error(sentence, id="pharos.E102"))
    key = settings.SECRET_KEY
    if len(key) < SECRET_KEY_MIN_LENGTH or len(set(key)) < SECRET_KEY_MIN_UNIQUE_CHARACTERS:
        sentence = (
            f"PHAROS_SECRET_KEY can be guessed, and who knows it can make a session of anybody: take "
            f"{SECRET_KEY_MIN_LENGTH} random characters or more."
        )
        found.append(Error(sentence, id="pharos.E103"))
    if encrypted and not settings.SESSION_COOKIE_SECURE:
        sentence = "PHAROS_SECURE_COOKIES is off though PHAROS_URL is https: a session can be read on the way. Set it."
        found.append(Error(sentence, id="pharos.E104"))
    if not encrypted and not _stays_here(settings.EXTERNAL_URL):
        sentence = "PHAROS_URL is not https: passwords and sessions can be read on the way. Put Pharos behind HTTPS."
        found.append(Warning(sentence, id="pharos.W105"))
    for name, url in (("PHAROS_OIDC_URL", settings.OIDC_URL), ("PHAROS_SAML_METADATA", settings.SAML_METADATA)):
        if url.startswith("http:") and not _stays_here(url):
            sentence = f"{name} is not https: somebody on the way can sign in as anybody."
            found.append(Error(sentence, id="pharos.E106"))
    if settings.SESSION_COOKIE_AGE > 31 * 24 * 3600:
        sentence = "PHAROS_SESSION_HOURS is more than a month: a lost laptop stays signed in for as long."
        found.append(Warning(sentence, id="pharos.W107"))
    return found


def _stays_here(url: str) -> bool:
    """Whether the URL is empty or of this machine."""
    host = urlsplit(url).hostname or "localhost"
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
