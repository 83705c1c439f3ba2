"""XML of strangers: bounded, UTF-8, and without anything that a document could define for itself."""

from __future__ import annotations

from typing import Final

from lxml import etree

SIZE_MAX: Final = 1 << 20  # bytes

NAMES: Final = {
    "assertion": "urn:oasis:names:tc:SAML:2.0:assertion",
    "protocol": "urn:oasis:names:tc:SAML:2.0:protocol",
    "metadata": "urn:oasis:names:tc:SAML:2.0:metadata",
    "signature": "http://www.w3.org/2000/09/xmldsig#",
}
POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"


class DocumentError(ValueError):
    """What is wrong with a document: what was expected, and what came."""


def parsed(document: bytes, size_max: int = SIZE_MAX) -> etree._Element:
    """The root. Raises DocumentError."""
    if len(document) > size_max:
        raise DocumentError(f"the XML must have at most {size_max:,} bytes, but it has {len(document):,}")
    # The parser is told the encoding, so that what is looked for here is what it reads.
    if b"<!DOCTYPE" in document:
        raise DocumentError("the XML must not have a DOCTYPE")
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DocumentError(f"the XML can't be read: {str(error)[:200]}") from None
    info = root.getroottree().docinfo
    if info.internalDTD is not None or info.externalDTD is not None:
        raise DocumentError("the XML must not have a DOCTYPE")
    return root


def tag(name: str) -> str:
    """`protocol:Response` as lxml writes it."""
    space, _, local = name.partition(":")
    return f"{{{NAMES[space]}}}{local}"


def text(element: etree._Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""
