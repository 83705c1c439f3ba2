"""The one HTTP client: what it reaches, what it reads, what it keeps to itself."""

from __future__ import annotations

import asyncio
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from django.test import override_settings

from core import certificates, http, outbound
from core.outbound import AddressRefusedError, AnswerError, OutboundError, TimedOutError, TlsError, UnreachedError
from tests import peers


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await http.close()


def answering(text: str = "hello", status: int = 200, headers: dict[str, str] | None = None) -> peers.Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers)

    return handler


class Seen:
    """Keeps the requests, and answers each path as it is told."""

    def __init__(self, **redirects: tuple[int, str]) -> None:
        self.redirects = redirects
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path, dict(request.headers), body))
        status, location = self.redirects.get(request.path.strip("/"), (200, ""))
        return web.Response(text="ok", status=status, headers={"Location": location} if location else None)


# --- Answers -------------------------------------------------------------------------------------------------------


async def test_an_answer_is_read_whatever_its_status() -> None:
    async with peers.http_server(answering("broken", 503, {"X-Why": "database"})) as url:
        answer = await http.fetch(f"{url}/health?full=1")

    assert (answer.status, answer.body, answer.cut) == (503, b"broken", False)
    assert answer.headers["x-why"] == "database"
    assert answer.url == f"{url}/health?full=1"


async def test_a_request_is_sent_as_it_is_given() -> None:
    seen = Seen()
    async with peers.http_server(seen) as url:
        await http.fetch(url, method="POST", headers={"X-One": "1"}, secret_headers={"X-Two": "2"}, body=b"{}")

    method, path, headers, body = seen.requests[0]
    assert (method, path, body) == ("POST", "/", b"{}")
    assert (headers["X-One"], headers["X-Two"]) == ("1", "2")


async def test_connections_are_used_again() -> None:
    ports: set[int] = set()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(text="ok")

    async with peers.http_server(handler) as url:
        for _ in range(5):
            await http.fetch(url)

    assert len(ports) == 1


async def test_no_cookie_is_kept() -> None:
    seen = Seen()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await seen(request)
        response.headers["Set-Cookie"] = "session=1"
        return response

    async with peers.http_server(handler) as url:
        await http.fetch(url)
        await http.fetch(url)

    assert "Cookie" not in seen.requests[1][2]


# --- Sizes and times -----------------------------------------------------------------------------------------------


async def test_a_body_that_is_too_long_is_cut() -> None:
    async with peers.http_server(answering("x" * 5_000)) as url:
        answer = await http.fetch(url, body_max=1_000)

    assert answer.cut
    assert answer.body == b"x" * 1_000


async def test_a_body_that_just_fits_is_not_cut() -> None:
    async with peers.http_server(answering("x" * 1_000)) as url:
        answer = await http.fetch(url, body_max=1_000)

    assert (len(answer.body), answer.cut) == (1_000, False)


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_packed_body_is_unpacked(name: str, pack: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=pack(b"hello"), headers={"Content-Encoding": name})

    async with peers.http_server(handler) as url:
        assert (await http.fetch(url)).body == b"hello"


async def test_a_body_that_is_not_packed_as_it_says() -> None:
    async with peers.http_server(answering("plain", headers={"Content-Encoding": "gzip"})) as url:
        with pytest.raises(AnswerError, match="can't be read"):
            await http.fetch(url)


async def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(200 << 20))

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with peers.http_server(handler) as url:
        tracemalloc.start()
        try:
            answer = await http.fetch(url)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert (len(answer.body), answer.cut) == (http.BODY_MAX, True)
    assert peak < 10 << 20


async def test_an_endless_body_is_cut() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async with peers.tcp_server(endless) as port:
        answer = await http.fetch(f"http://127.0.0.1:{port}")

    assert (len(answer.body), answer.cut) == (http.BODY_MAX, True)


async def test_a_body_that_drips_ends_with_the_time() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async with peers.tcp_server(drip) as port:
        with pytest.raises(TimedOutError, match=r"^no answer within 0\.1 s$"):
            await http.fetch(f"http://127.0.0.1:{port}", timeout=0.1)


async def test_nobody_answers() -> None:
    async with peers.tcp_server(peers.silence) as port:
        with pytest.raises(TimedOutError):
            await http.fetch(f"http://127.0.0.1:{port}", timeout=0.1)


async def test_time_counts_over_redirects() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return web.Response(status=302, headers={"Location": "/again"})

    async with peers.http_server(slow) as url:
        with pytest.raises(TimedOutError):
            await http.fetch(url, timeout=0.12)


# --- What goes wrong -----------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    with pytest.raises(UnreachedError, match=r"^connection refused$"):
        await http.fetch(f"http://user:secret@127.0.0.1:{peers.closed_port()}/?token=secret")


@pytest.mark.parametrize(
    ("said", "kind", "sentence"),
    [
        (b"", UnreachedError, "the connection was closed without an answer"),
        (b"220 mail.example.org ESMTP\r\n\r\n", AnswerError, "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", UnreachedError, "the answer broke off"),
    ],
)
async def test_an_answer_that_is_not_one(said: bytes, kind: type[OutboundError], sentence: str) -> None:
    async with peers.tcp_server(peers.saying(said)) as port:
        with pytest.raises(kind, match=f"^{sentence}$"):
            await http.fetch(f"http://127.0.0.1:{port}")


async def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(outbound.UnresolvedError, match=r"^the name nowhere\.invalid can't be resolved$"):
        await http.fetch("http://nowhere.invalid/")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", "http://", "http://[::1/"])
async def test_what_is_not_a_url_of_the_web(url: str) -> None:
    with pytest.raises(AnswerError):
        await http.fetch(url)


# --- Addresses -----------------------------------------------------------------------------------------------------

METADATA = [
    "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://[fe80::1]/",
    "http://[fd00:ec2::254]/", "http://100.100.100.200/", "http://0.0.0.0/", "http://[64:ff9b::a9fe:a9fe]/",
]  # fmt: skip


@pytest.mark.parametrize("url", METADATA)
async def test_metadata_is_refused(url: str) -> None:
    with pytest.raises(AddressRefusedError, match="is refused"):
        await http.fetch(url)


@pytest.mark.parametrize("url", ["http://2852039166/", "http://0xa9fea9fe/", "http://169.16689662/"])
async def test_metadata_is_refused_in_odd_spellings(url: str) -> None:
    with pytest.raises(OutboundError) as caught:
        await http.fetch(url, timeout=2)
    assert not isinstance(caught.value, (TimedOutError, UnreachedError))


@pytest.mark.parametrize("url", METADATA)
async def test_a_redirect_to_metadata_is_refused(url: str) -> None:
    async with peers.http_server(answering(status=302, headers={"Location": url})) as there:
        with pytest.raises(AddressRefusedError, match="is refused"):
            await http.fetch(there)


async def test_a_name_that_points_elsewhere_a_moment_later_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = iter(["127.0.0.1", "169.254.169.254"])

    def lookup(host: str, port: int, family: int) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(addresses), port))]

    monkeypatch.setattr(outbound, "_lookup", lookup)
    async with peers.http_server(answering(headers={"Connection": "close"})) as url:
        url = url.replace("127.0.0.1", "rebound.example")
        assert (await http.fetch(url)).status == 200
        # As when the DNS cache's time is over.
        http._session().connector.clear_dns_cache()  # type: ignore[union-attr]
        with pytest.raises(AddressRefusedError, match=r"169\.254\.169\.254"):
            await http.fetch(url)


async def test_a_host_that_moved_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = iter(["127.0.0.2", "127.0.0.1"])

    def lookup(host: str, port: int, family: int) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(addresses), port))]

    monkeypatch.setattr(outbound, "_lookup", lookup)
    async with peers.http_server(answering()) as url:
        url = url.replace("127.0.0.1", "moving.example")
        with pytest.raises(UnreachedError):
            await http.fetch(url)
        assert (await http.fetch(url)).status == 200


async def test_private_addresses_are_refused_if_the_setting_says_so() -> None:
    async with peers.http_server(answering()) as url:
        with override_settings(OUTBOUND_PRIVATE=False), pytest.raises(AddressRefusedError, match="private"):
            await http.fetch(url)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{peers.closed_port()}")
    async with peers.http_server(answering()) as url:
        assert (await http.fetch(url)).status == 200


# --- Redirects -----------------------------------------------------------------------------------------------------


async def test_redirects_are_followed() -> None:
    seen = Seen(a=(302, "/b"), b=(301, "c?x=1"))
    async with peers.http_server(seen) as url:
        answer = await http.fetch(f"{url}/a")

    assert (answer.status, answer.url) == (200, f"{url}/c?x=1")


async def test_or_not() -> None:
    async with peers.http_server(Seen(a=(302, "/b"))) as url:
        assert (await http.fetch(f"{url}/a", redirects=0)).status == 302


async def test_not_for_ever() -> None:
    seen = Seen(a=(302, "/a"))
    async with peers.http_server(seen) as url:
        with pytest.raises(AnswerError, match=r"^more than 5 redirects$"):
            await http.fetch(f"{url}/a")

    assert len(seen.requests) == 6


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", "http://[::1"])
async def test_not_out_of_the_web(location: str) -> None:
    async with peers.http_server(Seen(a=(302, location))) as url:
        with pytest.raises(AnswerError, match="redirect"):
            await http.fetch(f"{url}/a")


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(303, "POST", "GET"), (302, "POST", "GET"), (301, "POST", "GET"), (307, "POST", "POST"), (308, "PUT", "PUT")],
)
async def test_the_method_after_a_redirect(status: int, method: str, then: str) -> None:
    seen = Seen(a=(status, "/b"))
    async with peers.http_server(seen) as url:
        await http.fetch(f"{url}/a", method=method, body=b"body")

    assert seen.requests[1][0] == then
    assert seen.requests[1][3] == (b"" if then == "GET" else b"body")


SECRETS = {"X-Secret": "s3cret", "Authorization": "Bearer s3cret"}


async def test_secret_headers_stay_with_their_origin() -> None:
    there = Seen()
    async with peers.http_server(there) as other:
        here = Seen(a=(302, "/b"), b=(302, f"{other}/c"))
        async with peers.http_server(here) as url:
            await http.fetch(f"{url}/a", headers={"X-Plain": "1", "Cookie": "s3cret"}, secret_headers=SECRETS)

    assert all(request[2]["X-Secret"] == "s3cret" for request in here.requests)
    headers = there.requests[0][2]
    assert headers["X-Plain"] == "1"
    assert "s3cret" not in str(headers)


async def test_credentials_of_a_url_stay_with_their_origin() -> None:
    there = Seen()
    async with peers.http_server(there) as other:
        here = Seen(a=(302, f"{other}/c".replace("://", "://eve:evil@")))
        async with peers.http_server(here) as url:
            answer = await http.fetch(f"{url}/a".replace("://", "://bob:s3cret@"))

    assert here.requests[0][2]["Authorization"].startswith("Basic ")
    assert "Authorization" not in there.requests[0][2]
    assert answer.url == f"{other}/c"


async def test_a_body_stays_with_its_origin() -> None:
    there = Seen()
    async with peers.http_server(there) as other, peers.http_server(Seen(a=(307, f"{other}/c"))) as url:
        with pytest.raises(AnswerError, match="another origin"):
            await http.fetch(f"{url}/a", method="POST", body=b"password=s3cret")

    assert there.requests == []


# --- TLS -----------------------------------------------------------------------------------------------------------


async def test_the_certificate_comes_with_the_answer() -> None:
    made = peers.certificate()
    async with peers.http_server(answering(), made.server) as url:
        first, second = [await http.fetch(url, ca=made.pem) for _ in range(2)]

    assert first.certificate
    assert certificates.expires_at(first.certificate) == made.expires_at
    assert second.certificate == first.certificate


async def test_a_certificate_that_is_not_trusted() -> None:
    async with peers.http_server(answering(), peers.certificate().server) as url:
        with pytest.raises(TlsError, match=r"^certificate is self-signed$"):
            await http.fetch(url)


async def test_or_is_not_looked_at() -> None:
    async with peers.http_server(answering(), peers.certificate(days=-3).server) as url:
        answer = await http.fetch(url, verify=False)

    assert answer.status == 200
    assert answer.certificate


async def test_a_connection_that_was_not_verified_is_not_used_for_one_that_is() -> None:
    async with peers.http_server(answering(), peers.certificate().server) as url:
        await http.fetch(url, verify=False)
        with pytest.raises(TlsError):
            await http.fetch(url)


async def test_no_tls_where_https_is_wanted() -> None:
    async with peers.http_server(answering()) as url:
        with pytest.raises(TlsError, match=r"^no TLS connection: "):
            await http.fetch(url.replace("http:", "https:"))
