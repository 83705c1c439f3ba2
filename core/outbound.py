"""Connections to the outside: which addresses may be reached, and what is said when one can't be.

Every address is checked when it is connected to, not when its name is entered: a name may mean another address a moment
later (DNS rebinding), and a redirect may lead anywhere.

OutboundError               the text is safe to show: no password, no header, no URL
├── AddressRefusedError     the address must not be reached from here
├── UnresolvedError         no address has this name
├── UnreachedError          nobody takes the connection, or it broke
├── TimedOutError           no answer in time
├── TlsError                no encrypted connection
│   └── CertificateError    somebody answered, with a certificate that isn't trusted
└── AnswerError             somebody answered, and not as the protocol wants it, or with too many redirects
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from django.conf import settings


class OutboundError(Exception):
    pass


# An OSError, too: that is what those who try several addresses expect of one that fails.
class AddressRefusedError(OutboundError, OSError):
    pass


class UnresolvedError(OutboundError):
    pass


class UnreachedError(OutboundError):
    pass


class TimedOutError(OutboundError):
    pass


class TlsError(OutboundError):
    pass


class CertificateError(TlsError):
    pass


class AnswerError(OutboundError):
    pass


# --- Addresses -----------------------------------------------------------------------------------------------------

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Whoever reaches these can take over the machine or its cloud account, and nobody watches a service there.
NEVER: Final[dict[Network, str]] = {
    ip_network(network): reason
    for reason, networks in {
        "link-local, where clouds keep their metadata": ("169.254.0.0/16", "fe80::/10"),
        "a cloud's metadata": (
            "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
            "fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128", "fd00:c1::a9fe:a9fe/128",
        ),
        "not an address of a host": ("0.0.0.0/8", "::/128", "255.255.255.255/32"),
        "multicast": ("224.0.0.0/4", "ff00::/8"),
    }.items()
    for network in networks
}  # fmt: skip

# IPv6 addresses that carry an IPv4 address, and the bits to the right of it.
CARRIERS: Final[dict[IPv6Network, int]] = {
    IPv6Network("::ffff:0:0/96"): 0,  # mapped
    IPv6Network("::ffff:0:0:0/96"): 0,  # translated (RFC 2765)
    IPv6Network("::/96"): 0,  # compatible
    IPv6Network("64:ff9b::/96"): 0,  # NAT64
    IPv6Network("64:ff9b:1::/48"): 0,  # NAT64 of a network's own (RFC 8215), with a prefix of 96 bits
    IPv6Network("2002::/16"): 80,  # 6to4
}
TEREDO: Final = IPv6Network("2001::/32")
ISATAP: Final = 0x5EFE  # in the bits 32 to 47; those above it may have the bit "universal"


def check(address: str) -> None:
    """Raises AddressRefusedError, with what is wrong with `address` (IPv4 or IPv6, perhaps with a %scope)."""
    if reason := _wrong(address, settings.OUTBOUND_PRIVATE):
        raise AddressRefusedError(f"the address {address} is refused: {reason}")


@lru_cache(4096)
def _wrong(text: str, private: bool) -> str:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "not an address"
    for each in _meant(address):
        for network, reason in NEVER.items():
            if each.version == network.version and each in network:
                return reason
        if not private and not each.is_global:
            return "private, and PHAROS_OUTBOUND_PRIVATE is off"
    return ""


def _meant(address: Address) -> Iterator[Address]:
    """The address, or those that it carries: they are where it leads."""
    if isinstance(address, IPv4Address) or address in (IPv6Address("::"), IPv6Address("::1")):
        yield address
        return
    bits, carried = int(address), False
    for network, right in CARRIERS.items():
        if address in network:
            carried = True
            yield IPv4Address(bits >> right & 0xFFFF_FFFF)
    if address in TEREDO:
        # The server, and the client with its bits turned around.
        carried = True
        yield IPv4Address(bits >> 64 & 0xFFFF_FFFF)
        yield IPv4Address(~bits & 0xFFFF_FFFF)
    if bits >> 32 & 0xFDFF_FFFF == ISATAP:
        yield IPv4Address(bits & 0xFFFF_FFFF)
    if not carried:
        yield address


# --- Names ---------------------------------------------------------------------------------------------------------

# Not asyncio's own threads: there are few of them, and a name server that is away would hold them all.
_resolvers: Final = ThreadPoolExecutor(16, thread_name_prefix="resolver")

Found = tuple[socket.AddressFamily, str]


async def resolve(host: str, port: int, family: int = socket.AF_UNSPEC) -> list[Found]:
    """The addresses of `host` that may be reached, one at least.

    Raises AddressRefusedError if there are others only, and UnresolvedError.
    """
    loop = asyncio.get_running_loop()
    try:
        # Not the loop's own getaddrinfo: see above.
        infos = await loop.run_in_executor(_resolvers, _lookup, host, port, family)
    except (OSError, UnicodeError):
        raise UnresolvedError(f"the name {host} can't be resolved") from None
    return permitted([(info[0], info[4][0]) for info in infos])


def permitted(found: Sequence[Found]) -> list[Found]:
    """Those that may be reached. Raises the AddressRefusedError of the first if there is none."""
    good, refused = [], None
    for family, address in found:
        try:
            check(address)
        except AddressRefusedError as error:
            refused = refused or error
        else:
            good.append((family, address))
    if not good:
        raise refused or UnresolvedError("the name has no address")
    return good


def _lookup(host: str, port: int, family: int) -> list[Any]:
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)


# --- Connections ---------------------------------------------------------------------------------------------------


class Stream:
    """A connection, to be used as `async with`. It is dropped at the end, without waiting for the other side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    @property
    def certificate(self) -> bytes | None:
        """The one that the other side showed, as DER."""
        encrypted = self.writer.get_extra_info("ssl_object")
        return None if encrypted is None else encrypted.getpeercert(binary_form=True)


async def connect(host: str, port: int, *, tls: ssl.SSLContext | None = None, name: str = "") -> Stream:
    """To the first of the host's addresses that answers. `name`: what the certificate must be for, if not `host`.

    Raises OutboundError. Whoever calls it sets the time limit.
    """
    failure: OutboundError | None = None
    for family, address in await resolve(host, port):
        try:
            reader, writer = await asyncio.open_connection(
                address, port, family=family, ssl=tls, server_hostname=(name or host) if tls else None
            )
        except (OSError, EOFError) as error:
            failure = explained(error)
        else:
            return Stream(reader, writer)
    assert failure
    raise failure


def explained(error: Exception) -> OutboundError:
    """What went wrong with a connection, in words that are safe to show and the same each time."""
    if isinstance(error, OutboundError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(CERTIFICATES.get(error.verify_code) or f"certificate: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return TlsError(f"no TLS connection: {(error.reason or 'handshake failed').replace('_', ' ').lower()}")
    if isinstance(error, socket.gaierror):
        return UnresolvedError("the name can't be resolved")
    if isinstance(error, (ConnectionError, EOFError)) and not isinstance(error, ConnectionRefusedError):
        return UnreachedError("the connection was closed")
    if isinstance(error, OSError) and error.errno:
        return UnreachedError(REASONS.get(error.errno) or f"no connection: {os.strerror(error.errno).lower()}")
    return UnreachedError("no connection")


REASONS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.ETIMEDOUT: "no answer to the connection",
}
# OpenSSL's codes (X509_V_ERR_…).
CERTIFICATES: Final = {
    9: "certificate is not valid yet",
    10: "certificate has expired",
    18: "certificate is self-signed",
    19: "certificate is of an authority that isn't trusted",
    20: "certificate is of an authority that isn't trusted",
    21: "certificate is of an authority that isn't trusted",
    62: "certificate is for another name",
    64: "certificate is for another address",
}


# --- TLS -----------------------------------------------------------------------------------------------------------


@lru_cache(64)
def tls_context(*, verify: bool = True, ca: str = "") -> ssl.SSLContext:
    """`ca`: certificates in PEM, trusted instead of the system's. Raises ValueError if they can't be read."""
    try:
        context = ssl.create_default_context(cadata=ca or None)
    except ssl.SSLError as error:
        raise ValueError("expected certificates in PEM, which begin with -----BEGIN CERTIFICATE-----") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
