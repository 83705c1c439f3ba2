"""What is believed of a SAML provider's answer, and what is not."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from accounts.sign_in.saml import metadata
from accounts.sign_in.saml.answers import SIZE_MAX, TRANSIENT, Said, read
from accounts.sign_in.saml.documents import NAMES, DocumentError
from tests.accounts.saml import NOW, SAML, US, assertion, at, audience, packed, pair, response, signed, them

EVIL = assertion(name_id="<saml:NameID>root</saml:NameID>", id="_evil")
GOOD = signed(assertion())


def answer(document: str) -> Said:
    return read(packed(document), them(), US, NOW)


def refused(document: str) -> str:
    with pytest.raises(DocumentError) as caught:
        answer(document)
    return str(caught.value)


def test_what_is_said_of_a_person() -> None:
    said = answer(response(GOOD))

    assert (said.subject, said.in_response_to, said.attributes) == ("ann", "_asked", {"groups": ["ops", "users"]})


def test_the_whole_response_may_be_signed_instead_or_as_well() -> None:
    assert answer(signed(response(assertion()))).subject == "ann"
    assert answer(signed(response(GOOD))).subject == "ann"


def test_namespaces_that_a_provider_includes_in_what_it_signs() -> None:
    typed = '<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">ops'
    body = assertion(groups=f"{typed}</saml:AttributeValue>").replace(
        SAML, f'{SAML} xmlns:xs="http://www.w3.org/2001/XMLSchema"'
    )

    assert answer(response(signed(body, prefixes=["xs"]))).attributes == {"groups": ["ops"]}


def test_values_in_attributes_of_their_own() -> None:
    more = '<saml:AttributeValue>ops</saml:AttributeValue></saml:Attribute><saml:Attribute Name="groups">'
    body = assertion(groups=f"{more}<saml:AttributeValue>users</saml:AttributeValue>")

    assert answer(response(signed(body))).attributes == {"groups": ["ops", "users"]}


def test_one_of_several_keys_has_signed() -> None:
    keys = them(pair("next").certificate, pair().certificate)

    assert read(packed(response(GOOD)), keys, US, NOW).subject == "ann"


@pytest.mark.parametrize("minutes", [-2.9, 6.9])
def test_clocks_may_differ_by_two_minutes(minutes: float) -> None:
    assert read(packed(response(GOOD)), them(), US, NOW + timedelta(minutes=minutes)).subject == "ann"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuer": "<saml:Issuer>https://other.example.org</saml:Issuer>"}, "the issuer must be"),
        ({"issuer": ""}, "the issuer must be"),
        ({"audience": audience("https://other.example.org")}, "the audience must be"),
        ({"audience": ""}, "must name its audience"),
        ({"audience": audience(US.entity_id) + audience("https://other.example.org")}, "the audience must be"),
        ({"audience": audience(US.entity_id) + "<saml:Condition/>"}, "a condition that Pharos doesn't know"),
        ({"recipient": 'Recipient="https://other.example.org/login/sso/answer/"'}, "the recipient must be"),
        ({"recipient": ""}, "the recipient must be"),
        ({"in_response_to": ""}, "nobody asked for it"),
        ({"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"}, "for bearers, but there are 0"),
        ({"confirmed_until": f'NotOnOrAfter="{at(-3)}"'}, "was valid until"),
        ({"confirmed_until": ""}, "must have an end"),
        ({"end": f'NotOnOrAfter="{at(-3)}"'}, "was valid until"),
        ({"end": 'NotOnOrAfter="soon"'}, "expected a time"),
        ({"begin": f'NotBefore="{at(3)}"'}, "is valid from"),
        ({"session": ""}, "has signed in"),
        ({"session": f'<saml:AuthnStatement SessionNotOnOrAfter="{at(-3)}"/>'}, "session ended"),
        ({"name_id": ""}, "must have a NameID"),
        ({"name_id": f'<saml:NameID Format="{TRANSIENT}">x</saml:NameID>'}, "transient"),
        ({"name_id": "<saml:NameID>root<?cut here?>@example.org</saml:NameID>"}, "must not have comments"),
    ],
)  # fmt: skip
def test_a_signed_assertion_that_is_not_for_us_or_not_now(changed: dict[str, str], why: str) -> None:
    assert why in refused(response(signed(assertion(**changed))))


def test_an_assertion_without_a_signature_is_refused() -> None:
    assert "must be signed" in refused(response(assertion()))


def test_an_assertion_that_was_changed_is_refused() -> None:
    assert "not of the provider's key" in refused(response(GOOD).replace(">ann<", ">root<"))
    assert "not of the provider's key" in refused(signed(response(assertion())).replace(">ann<", ">root<"))


def test_a_comment_does_not_cut_a_name_short() -> None:
    body = signed(assertion(name_id="<saml:NameID>root.of.evil</saml:NameID>"))

    assert answer(response(body.replace("root.of", "root<!-- -->.of"))).subject == "root.of.evil"


def test_another_key_is_refused_though_the_answer_brings_it() -> None:
    assert "not of the provider's key" in refused(response(signed(assertion(), pair("somebody"))))


def test_an_expired_certificate_is_refused() -> None:
    old = pair("old", until=2021)
    with pytest.raises(DocumentError, match="expired"):
        read(packed(response(signed(assertion(), old))), them(old.certificate), US, NOW)


def test_weak_signatures_are_refused() -> None:
    weak = GOOD.replace("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1")

    assert "RSA_SHA1 forbidden" in refused(response(weak))


SIGNATURE = re.search("<ds:Signature.*</ds:Signature>", GOOD, re.DOTALL)
assert SIGNATURE


@pytest.mark.parametrize(
    "document",
    [
        response(EVIL + GOOD),
        response(GOOD + EVIL),
        response(EVIL.replace("</saml:Assertion>", f"{GOOD}</saml:Assertion>")),
        response(f"<samlp:Extensions>{GOOD}</samlp:Extensions>{EVIL}"),
        response(EVIL.replace("<saml:Subject>", SIGNATURE[0] + "<saml:Subject>")),
        response(EVIL.replace("_evil", "_assertion").replace("<saml:Subject>", SIGNATURE[0] + "<saml:Subject>")),
        # What was signed is inside of the signature, where nobody counts assertions of another namespace.
        response(
            EVIL.replace(
                "<saml:Subject>",
                SIGNATURE[0].replace("</ds:Signature>", f"<ds:Object>{GOOD}</ds:Object></ds:Signature>")
                + "<saml:Subject>",
            )
        ),
        signed(response("")).replace("</samlp:Response>", f"{EVIL}</samlp:Response>"),
        f"<wrapped>{response(GOOD)}</wrapped>",
    ],
)
def test_a_second_assertion_beside_the_signed_one_is_refused(document: str) -> None:
    assert refused(document)


def test_a_signature_of_the_response_does_not_stand_for_another_one() -> None:
    """The signed response is hidden in one that says something else."""
    inner = signed(response(""))
    outer = response(EVIL).replace("_response", "_other").replace("<samlp:Status>", f"{inner}<samlp:Status>", 1)

    assert "must be signed" in refused(outer)


def test_nor_does_one_that_was_taken_out_of_it() -> None:
    inner = signed(response(""))
    found = re.search("<ds:Signature.*</ds:Signature>", inner, re.DOTALL)
    assert found
    hidden = f"{found[0]}<samlp:Extensions>{inner.replace(found[0], '')}</samlp:Extensions><samlp:Status>"
    outer = response(EVIL).replace("_response", "_other").replace("<samlp:Status>", hidden, 1)

    assert "the signature is of something else" in refused(outer)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (f'<!DOCTYPE x [<!ENTITY a "b">]>{response(GOOD)}', "DOCTYPE"),
        (f'<!DOCTYPE x SYSTEM "http://127.0.0.1/">{response(GOOD)}', "DOCTYPE"),
        (response(GOOD)[:-9], "can't be read"),
        (response("&nbsp;" + GOOD), "can't be read"),
        ("<x/>", "expected a Response"),
        (response(""), "expected one assertion"),
        (response("<saml:EncryptedAssertion/>"), "encrypted"),
        (response("", status="urn:oasis:names:tc:SAML:2.0:status:Requester"), "status:Requester"),
    ],
)
def test_hostile_and_other_documents(document: str, why: str) -> None:
    assert why in refused(document)


def test_a_doctype_in_another_encoding_is_not_overlooked() -> None:
    document = f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY a "b">]>{response(GOOD)}'.encode("utf-16")
    with pytest.raises(DocumentError, match="can't be read"):
        read(packed(document), them(), US, NOW)


@pytest.mark.parametrize("text", ["", "no base64!", "A" * (SIZE_MAX * 3 // 2 + 1)])
def test_what_is_no_answer_at_all(text: str) -> None:
    with pytest.raises(DocumentError):
        read(text, them(), US, NOW)


# --- Metadata --------------------------------------------------------------------------------------------------------


def described(**changed: str) -> str:
    certificate = packed(pair().certificate.public_bytes(Encoding.DER))
    parts = {
        "role": 'protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"',
        "use": 'use="signing"',
        "certificate": certificate,
        "url": "https://sso.example.org/saml?realm=main",
        "binding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
        "more": "",
    } | changed
    key = '<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>'
    return (
        f'<EntityDescriptor xmlns="{NAMES["metadata"]}" entityID="https://sso.example.org" {parts["more"]}>'
        f"<IDPSSODescriptor {parts['role']}><KeyDescriptor {parts['use']}>{key}{parts['certificate']}</X509Certificate>"
        f'</X509Data></KeyInfo></KeyDescriptor><SingleSignOnService Binding="{parts["binding"]}"'
        f' Location="{parts["url"]}"/></IDPSSODescriptor></EntityDescriptor>'
    )


def test_metadata() -> None:
    found = metadata.parse(described())

    assert found.entity_id == "https://sso.example.org"
    assert found.sign_in_url == "https://sso.example.org/saml?realm=main"
    assert found.certificates == metadata.parse(described(use="")).certificates == (pair().certificate,)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (described(role='protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol"'), "it has 0"),
        (described(use='use="encryption"'), "certificates for signatures"),
        (described(certificate="AAAA"), "a certificate of the metadata"),
        (described(binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP"), "SingleSignOnService"),
        (described(url="javascript:alert(1)"), "SingleSignOnService"),
        (described(more='validUntil="2020-01-01T00:00:00Z"'), "was valid until"),
        (f"<!DOCTYPE x>{described()}", "DOCTYPE"),
        ("<html/>", "it has 0"),
    ],
)
def test_metadata_that_are_of_no_use(document: str, why: str) -> None:
    with pytest.raises(DocumentError, match=why):
        metadata.parse(document)
