"""What is read from a TLS certificate."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


# The same few are shown again and again.
@lru_cache(1024)
def expires_at(der: bytes) -> datetime:
    return parse(der).not_valid_after_utc


def parse(der: bytes) -> Certificate:
    """Raises ValueError."""
    from cryptography.x509 import load_der_x509_certificate

    return load_der_x509_certificate(der)


def described(der: bytes) -> str:
    """For people: whose it is, who signed it, for which names and for how long."""
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName

    certificate = parse(der)
    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
        known = [*names.get_values_for_type(DNSName), *map(str, names.get_values_for_type(IPAddress))]
    except ExtensionNotFound:
        known = []
    return "\n".join(
        [
            f"subject: {certificate.subject.rfc4514_string()}",
            f"issuer: {certificate.issuer.rfc4514_string()}",
            f"names: {', '.join(known)}",
            f"valid from: {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            f"valid until: {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
        ]
    )
