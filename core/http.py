"""The one HTTP client that everything outgoing goes through. It is strict: see `core.outbound` for what it may reach.

It costs a megabyte or three to import: whoever uses it imports it where it is needed.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from core import outbound
from core.outbound import AnswerError, OutboundError, TimedOutError

BODY_MAX: Final = 1 << 20  # bytes of an answer that are read, after decompression
REDIRECTS_MAX: Final = 5
CONNECTIONS_MAX: Final = 1_024
# A host that hangs holds so many connections, and no more; the others go on.
CONNECTIONS_PER_HOST_MAX: Final = 256
KEEP_ALIVE: Final = 35.0  # seconds: longer than most intervals
DNS_TTL: Final = 30  # seconds
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Not sent to another origin, whoever set them.
PERSONAL: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


class Answer(msgspec.Struct, frozen=True):
    status: int
    reason: str
    headers: Mapping[str, str]  # asked for in any case
    body: bytes
    cut: bool  # there was more of it than was read
    url: str  # the last one, after redirects; without a password
    certificate: bytes | None = None  # of the last one, as DER


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    secret_headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = 5.0,  # noqa: ASYNC109 - all told, over redirects
    redirects: int = REDIRECTS_MAX,
    verify: bool = True,
    ca: str = "",
    body_max: int = BODY_MAX,
) -> Answer:
    """The answer, whatever its status. `redirects` are followed at most; 0: a redirect is an answer like others.

    `secret_headers` go to the origin of `url` only, and so does a body. Raises OutboundError.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _follow(
                _parsed(url), method, dict(headers or {}), dict(secret_headers or {}), body, redirects,
                _tls(verify, ca), body_max,
            )  # fmt: skip
    except TimeoutError:
        _forget(url)
        raise TimedOutError(f"no answer within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
        _forget(url)
        raise _explained(error) from None


async def close() -> None:
    """Closes the connections of the running loop. For whoever ends a loop."""
    if session := _sessions.pop(asyncio.get_running_loop(), None):
        await session.close()


async def _follow(
    url: URL, method: str, headers: dict[str, str], secret: dict[str, str], body: bytes, redirects: int,
    tls: Any, body_max: int,
) -> Answer:  # fmt: skip
    for _ in range(redirects + 1):
        answer = await _ask(url, method, headers | secret, body, tls, body_max)
        location = answer.headers.get("Location")
        if not redirects or answer.status not in REDIRECTS or not location:
            return answer
        there = _joined(url, location)
        if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), b""
        if there.origin() != url.origin():
            if body:
                raise AnswerError("the answer is a redirect that would send the body to another origin")
            headers = {name: value for name, value in headers.items() if name.lower() not in PERSONAL}
            secret = {}
        url = there
    raise AnswerError(f"more than {redirects} redirects")


async def _ask(url: URL, method: str, headers: Mapping[str, str], body: bytes, tls: Any, body_max: int) -> Answer:
    async with _session().request(
        method, url, headers=headers, data=body or None, ssl=tls, allow_redirects=False
    ) as response:
        assert isinstance(response, _Response)
        read, cut = await _read(response, body_max)
        return Answer(
            response.status, response.reason or "", response.headers, read, cut, str(response.url), response.certificate
        )


async def _read(response: aiohttp.ClientResponse, size_max: int) -> tuple[bytes, bool]:
    """The body, unpacked, and whether it was cut. A connection with a body that is too long isn't used again."""
    packed = response.headers.get("Content-Encoding", "").lower() in ("gzip", "deflate", "x-gzip")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None
    read = bytearray()
    while len(read) <= size_max:
        chunk = await response.content.readany()
        if not chunk:
            return bytes(read), False
        # One byte more than is wanted: so it shows that there was more.
        read += unpacker.decompress(chunk, size_max + 1 - len(read)) if unpacker else chunk
    response.close()
    return bytes(read[:size_max]), True


# --- Connections ---------------------------------------------------------------------------------------------------


class _Response(aiohttp.ClientResponse):
    certificate: bytes | None = None

    async def start(self, connection: Any) -> _Response:
        # The connection is given back when the body is at its end, which may be at once.
        encrypted = connection.transport and connection.transport.get_extra_info("ssl_object")
        if encrypted is not None:
            self.certificate = encrypted.getpeercert(binary_form=True)
        await super().start(connection)
        return self


class _Resolver(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            found = await outbound.resolve(host, port, family)
        except outbound.UnresolvedError as error:
            # What aiohttp expects; `_explained` takes it out again.
            raise _ResolveError(str(error)) from None
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for family, address in found
        ]

    async def close(self) -> None:
        pass


class _ResolveError(outbound.UnresolvedError, OSError):
    pass


def _checked_socket(info: Any) -> socket.socket:
    """For the very address that is connected to, wherever it came from: DNS, its cache, or a URL."""
    family, kind, protocol, _, address = info
    outbound.check(address[0])
    return socket.socket(family, kind, protocol)


# One for each event loop: connections are kept alive, and can't be used in another.
_sessions: Final[dict[asyncio.AbstractEventLoop, aiohttp.ClientSession]] = {}
_NO_LIMITS: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)  # `fetch` keeps the time


def _session() -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    if (session := _sessions.get(loop)) is None or session.closed:
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(), socket_factory=_checked_socket, ttl_dns_cache=DNS_TTL, limit=CONNECTIONS_MAX,
            limit_per_host=CONNECTIONS_PER_HOST_MAX, keepalive_timeout=KEEP_ALIVE,
        )  # fmt: skip
        session = _sessions[loop] = aiohttp.ClientSession(
            connector=connector, timeout=_NO_LIMITS, response_class=_Response, cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False, trust_env=False, headers={"User-Agent": "Pharos", "Accept-Encoding": "identity"},
        )  # fmt: skip
    return session


def _forget(url: str) -> None:
    """The addresses of a host that doesn't answer: a container that was made anew has another."""
    host, port = _parsed(url).raw_host, _parsed(url).port
    session = _sessions.get(asyncio.get_running_loop())
    if session and isinstance(session.connector, aiohttp.TCPConnector) and host and port:
        session.connector.clear_dns_cache(host, port)


def _tls(verify: bool, ca: str) -> Any:
    if verify and not ca:
        return True
    return outbound.tls_context(verify=verify, ca=ca)


# --- URLs and errors -----------------------------------------------------------------------------------------------


@lru_cache(4096)
def _parsed(url: str) -> URL:
    try:
        parsed = URL(url)
    except ValueError:
        raise AnswerError("the URL can't be read") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise AnswerError("expected a URL that begins with http:// or https://")
    return parsed


def _joined(url: URL, location: str) -> URL:
    try:
        there = url.join(URL(location, encoded=True)).with_fragment(None)
        if there.scheme in ("http", "https") and there.host:
            return there.with_user(None)
    except ValueError:
        pass
    raise AnswerError("the answer is a redirect to something that isn't http:// or https://")


def _explained(error: Exception) -> OutboundError:
    """aiohttp's texts have addresses and URLs in them."""
    if isinstance(error, OutboundError):
        return error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return outbound.explained(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        # TLS that failed is one of them, whose os_error is what ssl raised.
        return outbound.explained(error.os_error)
    if isinstance(error, aiohttp.ClientOSError):
        return outbound.explained(error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return outbound.UnreachedError("the connection was closed without an answer")
    if isinstance(error, aiohttp.ClientPayloadError):
        return outbound.UnreachedError("the answer broke off")
    if isinstance(error, aiohttp.InvalidURL):
        return AnswerError("the URL can't be read")
    if isinstance(error, aiohttp.ClientResponseError):
        return AnswerError("the answer is not HTTP")
    return AnswerError("the answer can't be read")
