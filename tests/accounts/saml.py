"""Answers of a SAML provider, right ones and such as nobody should believe."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from accounts.sign_in.saml.metadata import IdentityProvider, ServiceProvider

US: Final = ServiceProvider(
    "https://pharos.example.org/login/sso/metadata/", "https://pharos.example.org/login/sso/answer/"
)
ISSUER: Final = "https://sso.example.org/realms/main"
NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SAML: Final = 'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"'
SAMLP: Final = 'xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
DS: Final = 'xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'


class Pair(NamedTuple):
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def as_pem(self) -> tuple[bytes, bytes]:
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key, self.certificate.public_bytes(serialization.Encoding.PEM)


@lru_cache
def pair(name: str = "provider", until: int = 2200) -> Pair:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(until, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, begin, end)
    return Pair(key, builder.sign(key, hashes.SHA256()))


def them(*certificates: x509.Certificate) -> IdentityProvider:
    return IdentityProvider(ISSUER, f"{ISSUER}/saml", certificates or (pair().certificate,))


def at(minutes: float) -> str:
    return f"{NOW + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S.123Z}"


def audience(name: str) -> str:
    return f"<saml:AudienceRestriction><saml:Audience>{name}</saml:Audience></saml:AudienceRestriction>"


def assertion(**changed: str) -> str:
    """XML of an assertion. `changed` replaces parts of it; an empty text leaves the part out."""
    parts = {
        "issuer": f"<saml:Issuer>{ISSUER}</saml:Issuer>",
        "name_id": "<saml:NameID>ann</saml:NameID>",
        "recipient": f'Recipient="{US.answers_url}"',
        "in_response_to": 'InResponseTo="_asked"',
        "confirmed_until": f'NotOnOrAfter="{at(5)}"',
        "begin": f'NotBefore="{at(-1)}"',
        "end": f'NotOnOrAfter="{at(5)}"',
        "audience": audience(US.entity_id),
        "session": f'<saml:AuthnStatement AuthnInstant="{at(0)}" SessionNotOnOrAfter="{at(600)}"/>',
        "method": "urn:oasis:names:tc:SAML:2.0:cm:bearer",
        "groups": "<saml:AttributeValue>ops</saml:AttributeValue><saml:AttributeValue>users</saml:AttributeValue>",
        "id": "_assertion",
    } | changed
    return (
        f'<saml:Assertion {SAML} ID="{parts["id"]}" Version="2.0" IssueInstant="{at(0)}">{parts["issuer"]}'
        f'<saml:Subject>{parts["name_id"]}<saml:SubjectConfirmation Method="{parts["method"]}">'
        f"<saml:SubjectConfirmationData {parts['recipient']} {parts['in_response_to']} {parts['confirmed_until']}/>"
        f"</saml:SubjectConfirmation></saml:Subject>"
        f"<saml:Conditions {parts['begin']} {parts['end']}>{parts['audience']}</saml:Conditions>{parts['session']}"
        f'<saml:AttributeStatement><saml:Attribute Name="groups">{parts["groups"]}</saml:Attribute>'
        f"</saml:AttributeStatement></saml:Assertion>"
    )


def response(inside: str, status: str = "urn:oasis:names:tc:SAML:2.0:status:Success") -> str:
    return (
        f'<samlp:Response {SAMLP} {SAML} xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_response" Version="2.0"'
        f' InResponseTo="_asked"><saml:Issuer>{ISSUER}</saml:Issuer>'
        f'<samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>{inside}</samlp:Response>'
    )


def signed(document: str, by: Pair | None = None, prefixes: Sequence[str] = ()) -> str:
    """`document` with a signature of its root after the issuer, where SAML wants it.

    Made by hand and not by the package that checks it. `prefixes` are of namespaces that are to be signed as well.
    """
    by = by or pair()
    root = etree.fromstring(document)
    included = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{" ".join(prefixes)}"/>' if prefixes else ""
    digest = sha256(etree.tostring(root, method="c14n", exclusive=True, inclusive_ns_prefixes=list(prefixes))).digest()
    info = (
        f'<ds:SignedInfo {DS}><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>'
        f'<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f'<ds:Reference URI="#{root.get("ID")}"><ds:Transforms>'
        f'<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>'
        f'<ds:Transform Algorithm="{EXCLUSIVE}">{included}</ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f"<ds:DigestValue>{b64encode(digest).decode()}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    canonical = etree.tostring(etree.fromstring(info), method="c14n", exclusive=True)
    value = b64encode(by.key.sign(canonical, padding.PKCS1v15(), hashes.SHA256())).decode()
    certificate = b64encode(by.certificate.public_bytes(serialization.Encoding.DER)).decode()
    signature = (
        f"<ds:Signature {DS}>{info}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
        f"<ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
    )
    root.insert(1, etree.fromstring(signature))
    return str(etree.tostring(root, encoding="unicode"))


def packed(document: str | bytes) -> str:
    return b64encode(document.encode() if isinstance(document, str) else document).decode()
