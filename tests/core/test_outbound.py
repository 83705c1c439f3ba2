"""Which addresses may be reached, and what is said when one can't be."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from django.test import override_settings

from core import outbound
from core.outbound import AddressRefusedError, CertificateError, TlsError, UnreachedError, UnresolvedError
from tests import peers

NEVER = [
    "169.254.169.254", "169.254.170.2", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "255.255.255.255",
    "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "::", "ff02::1",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:0:169.254.169.254", "::169.254.169.254",
    "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",  # 6to4
    "2001:0:a9fe:a9fe::1",  # Teredo, the server
    "2001:0:4136:e378:8000:63bf:5601:5601",  # Teredo, the client
    "fd00::5efe:169.254.169.254", "2001:db8::200:5efe:169.254.169.254",  # ISATAP
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "240.0.0.1",
    "::1", "fd12:3456::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_what_is_no_host_is_never_reached(address: str, private: bool) -> None:
    with override_settings(OUTBOUND_PRIVATE=private), pytest.raises(AddressRefusedError, match="is refused"):
        outbound.check(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_reached_if_the_setting_says_so(address: str) -> None:
    with override_settings(OUTBOUND_PRIVATE=True):
        outbound.check(address)
    with override_settings(OUTBOUND_PRIVATE=False), pytest.raises(AddressRefusedError, match="PHAROS_OUTBOUND_PRIVATE"):
        outbound.check(address)


@pytest.mark.parametrize("address", PUBLIC)
@override_settings(OUTBOUND_PRIVATE=False)
def test_public_addresses_are_always_reached(address: str) -> None:
    outbound.check(address)


def test_what_is_not_an_address_is_refused() -> None:
    with pytest.raises(AddressRefusedError, match="not an address"):
        outbound.check("localhost")


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these."""

    def lookup(host: str, port: int, family: int) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    monkeypatch.setattr(outbound, "_lookup", lookup)


async def test_of_several_addresses_the_refused_ones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "169.254.169.254", "127.0.0.1", "fe80::1")

    assert await outbound.resolve("rebound.example", 80) == [(socket.AF_INET, "127.0.0.1")]


async def test_a_name_with_refused_addresses_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "169.254.169.254")

    with pytest.raises(AddressRefusedError, match=r"169\.254\.169\.254 is refused: link-local"):
        await outbound.connect("rebound.example", 80)


@pytest.mark.parametrize("written", ["169.254.169.254", "0xa9fea9fe", "2852039166", "::ffff:169.254.169.254"])
async def test_an_address_is_refused_however_it_is_written(written: str) -> None:
    with pytest.raises((AddressRefusedError, UnresolvedError)) as caught:
        await outbound.connect(written, 80)
    if isinstance(caught.value, AddressRefusedError):
        assert "is refused" in str(caught.value)


async def test_a_name_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnresolvedError, match=r"^the name nowhere\.invalid can't be resolved$"):
        await outbound.resolve("nowhere.invalid", 80)


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "127.0.0.2", "127.0.0.1")
    async with peers.tcp_server(peers.silence) as port, await outbound.connect("two.example", port) as stream:
        assert stream.writer.get_extra_info("peername")[0] == "127.0.0.1"


async def test_nobody_listens() -> None:
    with pytest.raises(UnreachedError, match=r"^connection refused$"):
        await outbound.connect("127.0.0.1", peers.closed_port())


async def test_no_tls_where_it_is_wanted() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()

    async with peers.tcp_server(plain) as port:
        with pytest.raises(TlsError, match=r"^no TLS connection: "):
            await outbound.connect("127.0.0.1", port, tls=outbound.tls_context())


async def test_a_certificate_that_is_trusted_is_read() -> None:
    made = peers.certificate()
    trusting = outbound.tls_context(ca=made.pem)
    async with (
        peers.tcp_server(peers.silence, made.server) as port,
        await outbound.connect("localhost", port, tls=trusting) as stream,
    ):
        assert stream.certificate


@pytest.mark.parametrize(
    ("certificate", "sentence"),
    [
        (peers.certificate(days=-1), "certificate has expired"),
        (peers.certificate(["other.example"]), "certificate is for another name"),
        (peers.certificate(began=5, days=9), "certificate is not valid yet"),
    ],
)
async def test_a_certificate_that_is_wrong_is_explained(certificate: peers.Certificate, sentence: str) -> None:
    async with peers.tcp_server(peers.silence, certificate.server) as port:
        with pytest.raises(CertificateError, match=f"^{sentence}$"):
            await outbound.connect("localhost", port, tls=outbound.tls_context(ca=certificate.pem))


async def test_a_certificate_of_nobody_we_know_is_explained() -> None:
    async with peers.tcp_server(peers.silence, peers.certificate().server) as port:
        with pytest.raises(CertificateError, match=r"^certificate is self-signed$"):
            await outbound.connect("localhost", port, tls=outbound.tls_context())


def test_what_is_not_pem_is_refused() -> None:
    with pytest.raises(ValueError, match="BEGIN CERTIFICATE"):
        outbound.tls_context(ca="-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
