"""Who the two sides are: what the provider's metadata says of it, and what ours says of us."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from cryptography.x509 import Certificate, load_der_x509_certificate
from django.conf import settings
from django.urls import reverse
from lxml import etree

from accounts.sign_in.saml.documents import NAMES, POST, REDIRECT, DocumentError, parsed, tag, text
from core import http
from core.outbound import OutboundError

KEPT: Final = 600.0  # seconds for which metadata of an address is used: new keys of the provider are known then
TIMEOUT: Final = 5.0  # seconds
CERTIFICATES_MAX: Final = 8


class IdentityProvider(NamedTuple):
    entity_id: str
    sign_in_url: str
    certificates: tuple[Certificate, ...]  # one of them signs


class ServiceProvider(NamedTuple):
    """Pharos, as the provider knows it."""

    entity_id: str
    answers_url: str


def ours() -> ServiceProvider:
    return ServiceProvider(*(settings.EXTERNAL_URL + reverse(name) for name in ("sso-metadata", "sso-answer")))


def ours_as_xml() -> bytes:
    us = ours()
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<EntityDescriptor xmlns="{NAMES["metadata"]}" entityID={quoteattr(us.entity_id)}>\n'
        f'  <SPSSODescriptor protocolSupportEnumeration="{NAMES["protocol"]}" AuthnRequestsSigned="false"'
        f' WantAssertionsSigned="true">\n'
        f'    <AssertionConsumerService index="0" isDefault="true" Binding="{POST}"'
        f" Location={quoteattr(us.answers_url)}/>\n"
        f"  </SPSSODescriptor>\n"
        f"</EntityDescriptor>\n"
    ).encode()


def provider() -> IdentityProvider:
    """By PHAROS_SAML_METADATA, which is an address or the metadata. Raises DocumentError and OutboundError."""
    source = settings.SAML_METADATA
    return parse(source) if source.startswith("<") else _of_address(source)


# Address → what it said, and when (monotonic).
_kept: dict[str, tuple[IdentityProvider, float]] = {}


def _of_address(url: str) -> IdentityProvider:
    found, since = _kept.get(url, (None, 0.0))
    if found is None or time.monotonic() - since > KEPT:
        found = parse(asyncio.run(_fetched(url)).decode("utf-8-sig", errors="replace"))
        _kept.clear()
        _kept[url] = found, time.monotonic()
    return found


async def _fetched(url: str) -> bytes:
    try:
        answer = await http.fetch(url, timeout=TIMEOUT)
    finally:
        await http.close()
    if answer.status != 200 or answer.cut:
        raise OutboundError(f"expected metadata, but the answer is {answer.status}{', too long' if answer.cut else ''}")
    return answer.body


@lru_cache(2)
def parse(document: str) -> IdentityProvider:
    """Raises DocumentError."""
    root = parsed(document.encode())
    roles = [role for role in root.iter(tag("metadata:IDPSSODescriptor")) if _speaks_saml_2(role)]
    if len(roles) != 1:
        raise DocumentError(f"expected the metadata of one identity provider for SAML 2.0, but it has {len(roles)}")
    role = roles[0]
    entity = role.getparent()
    entity_id = entity.get("entityID", "") if entity is not None else ""
    if not entity_id:
        raise DocumentError("the metadata must have an entityID")
    for element in (root, entity, role):
        if (until := element.get("validUntil")) and instant(until) < datetime.now(UTC):
            raise DocumentError(f"the metadata was valid until {until}")
    urls = [
        each.get("Location", "")
        for each in role.iterfind(tag("metadata:SingleSignOnService"))
        if each.get("Binding") == REDIRECT
    ]
    if not urls or urlsplit(urls[0]).scheme not in ("https", "http"):
        raise DocumentError("the metadata must have a SingleSignOnService for HTTP-Redirect with an address")
    return IdentityProvider(entity_id, urls[0], _certificates(role))


def _speaks_saml_2(role: etree._Element) -> bool:
    return NAMES["protocol"] in role.get("protocolSupportEnumeration", "").split()


def _certificates(role: etree._Element) -> tuple[Certificate, ...]:
    found: dict[str, Certificate] = {}
    for key in role.iterfind(tag("metadata:KeyDescriptor")):
        if key.get("use", "signing") == "signing":
            for each in key.iter(tag("signature:X509Certificate")):
                try:
                    found["".join(text(each).split())] = load_der_x509_certificate(b64decode(text(each)))
                except ValueError:
                    raise DocumentError("a certificate of the metadata can't be read") from None
    if not 1 <= len(found) <= CERTIFICATES_MAX:
        raise DocumentError(
            f"expected 1 to {CERTIFICATES_MAX} certificates for signatures in the metadata, but it has {len(found)}"
        )
    return tuple(found.values())


def instant(written: str) -> datetime:
    """Of xs:dateTime; without a zone it is UTC, as SAML wants it. Raises DocumentError."""
    try:
        found = datetime.fromisoformat(written.strip())
    except ValueError:
        raise DocumentError(f"expected a time, but it is {written[:40]!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
