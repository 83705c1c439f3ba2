"""What the provider says of somebody, once it is sure that the provider says it, to us, now.

Only what a signature covers is looked at: `_signed` gives back the very bytes that were signed, parsed again, and
nothing else of the message counts. That shuts out the known ways of putting a second assertion beside the signed one.
"""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidCertificate, SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from accounts.sign_in.saml.documents import DocumentError, parsed, tag, text
from accounts.sign_in.saml.metadata import IdentityProvider, ServiceProvider, instant

SIZE_MAX: Final = 256 << 10  # bytes of XML
SKEW: Final = timedelta(minutes=2)  # that the clocks may differ
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
# Conditions that are met by using an assertion once, for a session here.
CONDITIONS: Final = frozenset(
    map(tag, ("assertion:AudienceRestriction", "assertion:OneTimeUse", "assertion:ProxyRestriction"))
)
EXPECTED: Final = SignatureConfiguration(
    location="./",
    signature_methods=frozenset(
        {
            SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512,
            SignatureMethod.ECDSA_SHA256, SignatureMethod.ECDSA_SHA384, SignatureMethod.ECDSA_SHA512,
            SignatureMethod.SHA256_RSA_MGF1,
        }
    ),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}),
)  # fmt: skip


class AnswerRefusedError(DocumentError):
    """What is wrong with an answer."""


class Said(msgspec.Struct, frozen=True):
    """What is said of a person."""

    issuer: str
    subject: str
    subject_format: str
    attributes: dict[str, list[str]]
    in_response_to: str


def read(answer: str, them: IdentityProvider, us: ServiceProvider, now: datetime) -> Said:
    """Of the form's field SAMLResponse. Raises DocumentError."""
    if len(answer) > SIZE_MAX * 3 // 2:  # base64, with line breaks
        raise AnswerRefusedError(f"the answer must have at most {SIZE_MAX:,} bytes")
    try:
        document = b64decode("".join(answer.split()), validate=True)
    except ValueError:
        raise AnswerRefusedError("the answer must be base64") from None
    root = parsed(document, SIZE_MAX)
    _look_at_message(root)
    assertion = _signed(root, them)
    _expect(assertion.get("Version"), "2.0", "the version")
    _expect(text(assertion.find(tag("assertion:Issuer"))), them.entity_id, "the issuer")
    in_response_to = _confirmed(assertion, us, now)
    _look_at_conditions(assertion, us, now)
    _look_at_session(assertion, now)
    name = assertion.find(f"{tag('assertion:Subject')}/{tag('assertion:NameID')}")
    subject, written_as = text(name), name.get("Format", "") if name is not None else ""
    if not subject:
        raise AnswerRefusedError("the assertion must have a NameID, in clear")
    if written_as == TRANSIENT:
        raise AnswerRefusedError("the NameID must stay the same for a person, but its format is transient")
    return Said(them.entity_id, subject, written_as, _attributes(assertion), in_response_to)


def _look_at_message(root: etree._Element) -> None:
    """The envelope. It may be unsigned: this only gives better reasons."""
    if root.tag != tag("protocol:Response"):
        raise AnswerRefusedError("expected a Response")
    codes = [each.get("Value", "") for each in root.iterfind(f"{tag('protocol:Status')}//{tag('protocol:StatusCode')}")]
    if codes[:1] != [SUCCESS]:
        said = text(root.find(f"{tag('protocol:Status')}/{tag('protocol:StatusMessage')}"))
        raise AnswerRefusedError(f"the provider says {[*codes, said]!r}"[:300])
    if root.find(tag("assertion:EncryptedAssertion")) is not None:
        raise AnswerRefusedError("the assertion is encrypted, which Pharos can't read: turn that off at the provider")


def _signed(root: etree._Element, them: IdentityProvider) -> etree._Element:
    """The assertion, as it was signed: by itself, or with the whole Response around it."""
    if len(list(root.iter(tag("assertion:Assertion")))) != 1:
        raise AnswerRefusedError("expected one assertion")
    assertion = root.find(tag("assertion:Assertion"))
    if assertion is None:
        raise AnswerRefusedError("expected the assertion right inside of the Response")
    signature = tag("signature:Signature")
    if assertion.find(signature) is not None:
        return _verified(assertion, them)
    if root.find(signature) is None:
        raise AnswerRefusedError("the assertion must be signed")
    found = _verified(root, them).findall(tag("assertion:Assertion"))
    if len(found) != 1:
        raise AnswerRefusedError("expected one signed assertion")
    return found[0]


def _verified(element: etree._Element, them: IdentityProvider) -> etree._Element:
    """`element` out of the bytes that its signature covers."""
    signed = _by_one_of(element, them)
    if signed is None or signed.tag != element.tag or not signed.get("ID") or signed.get("ID") != element.get("ID"):
        raise AnswerRefusedError("the signature is of something else")
    if any(True for _ in signed.iter(etree.Comment, etree.ProcessingInstruction)):
        raise AnswerRefusedError("what is signed must not have comments in it")  # they would cut texts short
    return signed


def _by_one_of(element: etree._Element, them: IdentityProvider) -> etree._Element | None:
    why: Exception | None = None
    for certificate in them.certificates:
        try:
            result: Any = XMLVerifier().verify(element, x509_cert=certificate, expect_config=EXPECTED)
        except InvalidCertificate as error:
            why = error
        except (SignXMLException, etree.LxmlError, ValueError, TypeError, KeyError, AttributeError) as error:
            # It is made of whatever somebody sent, and signxml reads it as if it were well made.
            why = why or error
        else:
            found: etree._Element | None = result.signed_xml
            return found
    raise AnswerRefusedError(f"the signature is not of the provider's key: {str(why)[:200]}")


def _confirmed(assertion: etree._Element, us: ServiceProvider, now: datetime) -> str:
    """The request that this answers. The confirmation says for whom the assertion was made (SAML profiles, 4.1.4.2)."""
    found = [
        data
        for each in assertion.iterfind(f"{tag('assertion:Subject')}/{tag('assertion:SubjectConfirmation')}")
        if each.get("Method") == BEARER
        for data in each.iterfind(tag("assertion:SubjectConfirmationData"))
    ]
    if len(found) != 1:
        raise AnswerRefusedError(f"expected one confirmation of the subject for bearers, but there are {len(found)}")
    data = found[0]
    _expect(data.get("Recipient"), us.answers_url, "the recipient")
    if not data.get("NotOnOrAfter"):
        raise AnswerRefusedError("the confirmation of the subject must have an end")
    _look_at_times(data, now)
    in_response_to: str = data.get("InResponseTo", "")
    if not in_response_to:
        raise AnswerRefusedError("nobody asked for it: people must begin at Pharos' sign-in page")
    return in_response_to


def _look_at_conditions(assertion: etree._Element, us: ServiceProvider, now: datetime) -> None:
    conditions = assertion.find(tag("assertion:Conditions"))
    if conditions is None or len(assertion.findall(tag("assertion:Conditions"))) != 1:
        raise AnswerRefusedError("the assertion must have conditions")
    _look_at_times(conditions, now)
    if unknown := [each.tag for each in conditions if each.tag not in CONDITIONS]:
        raise AnswerRefusedError(f"the assertion has a condition that Pharos doesn't know: {unknown[0]}")
    restrictions = conditions.findall(tag("assertion:AudienceRestriction"))
    if not restrictions:
        raise AnswerRefusedError("the assertion must name its audience")
    for each in restrictions:
        names = [text(audience) for audience in each.iterfind(tag("assertion:Audience"))]
        if us.entity_id not in names:
            raise AnswerRefusedError(f"the audience must be {us.entity_id!r}, but it is {', '.join(names)[:200]!r}")


def _look_at_session(assertion: etree._Element, now: datetime) -> None:
    statements = assertion.findall(tag("assertion:AuthnStatement"))
    if not statements:
        raise AnswerRefusedError("the assertion must say that the person has signed in")
    for each in statements:
        if (end := each.get("SessionNotOnOrAfter")) and now - SKEW >= instant(end):
            raise AnswerRefusedError(f"the provider's session ended at {end}")


def _look_at_times(element: etree._Element, now: datetime) -> None:
    if (begin := element.get("NotBefore")) and now + SKEW < instant(begin):
        raise AnswerRefusedError(f"the answer is valid from {begin} on: compare the clocks")
    if (end := element.get("NotOnOrAfter")) and now - SKEW >= instant(end):
        raise AnswerRefusedError(f"the answer was valid until {end}: compare the clocks")


def _attributes(assertion: etree._Element) -> dict[str, list[str]]:
    """Name → values. Keycloak says each value in an attribute of its own."""
    found: dict[str, list[str]] = {}
    for each in assertion.iterfind(f"{tag('assertion:AttributeStatement')}/{tag('assertion:Attribute')}"):
        values = (text(value) for value in each.iterfind(tag("assertion:AttributeValue")))
        found.setdefault(each.get("Name", ""), []).extend(filter(None, values))
    return found


def _expect(came: str | None, wanted: str, what: str) -> None:
    if came != wanted:
        raise AnswerRefusedError(f"{what} must be {wanted!r}, but it is {str(came)[:200]!r}")
