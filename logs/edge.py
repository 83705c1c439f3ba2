"""The edge: where programs send logs over HTTP. An ASGI application of its own, before Django's middleware.

A session, a CSRF token and a page's headers mean nothing to a program, and each would cost every body a trip through
threads (docs/adr/0006-edge.md has the figures). What the edge does: check the key, bound and unpack the body, parse it
once, put it into the log stream, and answer. Success means: in Redis, will be stored. How a body is read and how an
answer looks is for the ways in to say (`logs/sources/ways.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from accounts import acting, key_use, keys
from accounts.models import Scope
from core import clock
from logs import allowed, context, intake, meters, stream
from logs.packed import ENCODINGS, PackedError, TooLongError, unpack
from logs.sources import streams
from logs.sources.json_lines import REJECTED_MAX, JsonLines
from logs.sources.loki import Loki
from logs.sources.otlp import Otlp
from logs.sources.ways import Answer, Body, Parsed, Refused, Way, too_long

log = logging.getLogger(__name__)

IN_A_THREAD: Final = 64 << 10  # bytes: longer bodies are parsed beside the event loop
PACKED: Final = 8  # how much longer a packed body may get, by the rule of thumb
EDGE: Final = "edge"  # what its requests are counted under
BACKLOG_EVERY: Final = 1.0  # seconds between two looks at the backlog

_loki: Final = Loki()
_otlp: Final = Otlp()
WAYS: Final[Mapping[str, Way]] = {
    "/api/logs": JsonLines(),
    "/loki/api/v1/push": _loki,
    "/api/prom/push": _loki,  # Loki's address until 2019
    "/v1/logs": _otlp,
    "/otlp/v1/logs": _otlp,
}
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


def serves(scope: Mapping[str, Any]) -> bool:
    """Whether the request is for the edge: writing, to an address of a way in."""
    return scope["method"] == "POST" and _path(scope) in WAYS


def _path(scope: Mapping[str, Any]) -> str:
    path: str = scope["path"]
    return path.rstrip("/")


class Edge:
    """The requests that `serves` says."""

    def __init__(self) -> None:
        self._redis: redis.asyncio.Redis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._backlog = 0
        self._backlog_at = 0.0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        way = WAYS[_path(scope)]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        more = {"x-request-id": context.adopt(headers)}
        try:
            access = await self._authorize(headers, _client(scope))
            packed = await _body(way, headers, content_type, receive)
            answer = way.taken(await self._take(way, packed, content_type, access), content_type)
        except Refused as refused:
            answer = way.refused(refused, content_type)
            if refused.retry_after:
                more["retry-after"] = str(refused.retry_after)
            if refused.status == 401:
                more["www-authenticate"] = 'Bearer realm="Pharos"'
        meters.count_request(EDGE, answer.status, time.perf_counter() - began)
        await _send(send, answer, more)

    async def _authorize(self, headers: Mapping[str, str], client: str) -> keys.Access:
        plain = keys.given(headers.get("authorization", ""), headers)
        if not plain:
            raise Refused(401, "expected an API key with the scope ingest: Authorization: Bearer <key>")
        is_known, access = keys.known(plain)
        if not is_known:
            try:
                access = await sync_to_async(_find, thread_sensitive=False)(plain, client)
            except DatabaseError:
                raise Refused(
                    503, "the database is away and this key can't be checked; send the lines again", 5
                ) from None
        address = acting.known_address(client)
        if access is None:
            await _note_refusal(plain, address)
            raise Refused(401, keys.why_refused(plain))
        if not key_use.is_known(access.key_id, address):
            await sync_to_async(_note_use, thread_sensitive=False)(access, address)
        if not access.allows(Scope.INGEST):
            await _note_refusal(plain, address, "lacks the scope ingest")
            raise Refused(403, f"the key {access.name!r} lacks the scope ingest")
        return access

    async def _take(self, way: Way, packed: _Packed, content_type: str, access: keys.Access) -> Parsed:
        if not intake.is_ready():
            await asyncio.to_thread(intake.begin)
        if len(packed.data) > packed.in_a_thread:
            parsed, entries = await asyncio.to_thread(_parse, way, packed, content_type, access)
        else:
            parsed, entries = _parse(way, packed, content_type, access)
        if entries:
            await self._add(entries)
        return parsed

    async def _add(self, entries: list[dict[bytes, bytes]]) -> None:
        try:
            if await self._backlog_bytes() > settings.LOG_BACKLOG_MAX:
                raise Refused(429, "more lines wait to be stored than PHAROS_LOG_BACKLOG_MAX_BYTES allows", 5)
            pipe = self._client().pipeline(transaction=False)
            for entry in entries:
                pipe.xadd(settings.LOG_STREAMS[0], entry)  # type: ignore[arg-type]
            await pipe.execute()
        except redis.exceptions.OutOfMemoryError:
            raise Refused(429, "Redis has no memory left for more lines", 5) from None
        except (redis.RedisError, OSError) as error:
            log.debug("XADD failed: %s", error)
            raise Refused(503, "Redis is away; send the lines again", 5) from None

    def _client(self) -> redis.asyncio.Redis:
        loop = asyncio.get_running_loop()
        if self._redis is None or self._loop is not loop:
            self._redis, self._loop = stream.connect_async(), loop
        return self._redis

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    async def _backlog_bytes(self) -> int:
        if time.monotonic() - self._backlog_at > BACKLOG_EVERY:
            self._backlog_at = time.monotonic()
            names = streams.active(await self._client().get(streams.REPORT))
            self._backlog = await stream.backlog_bytes(self._client(), names)
        return self._backlog


def _find(plain: str, client: str) -> keys.Access | None:
    close_old_connections()
    return keys.find(plain, client)


def _client(scope: Mapping[str, Any]) -> str:
    return str((scope.get("client") or [""])[0])


def _note_use(access: keys.Access, address: str) -> None:
    close_old_connections()
    key_use.used(access.key_id, access.name, address)


async def _note_refusal(plain: str, address: str, why: str = "") -> None:
    if not key_use.is_refused_again(plain, address, why):
        await sync_to_async(key_use.refused, thread_sensitive=False)(plain, address, why)


class _Packed(NamedTuple):
    """A body as it came."""

    data: bytes
    encoding: str
    received: int  # µs

    @property
    def in_a_thread(self) -> int:
        """The length from which on it is."""
        return IN_A_THREAD if self.encoding == "identity" else IN_A_THREAD // PACKED


def _parse(
    way: Way, packed: _Packed, content_type: str, access: keys.Access
) -> tuple[Parsed, list[dict[bytes, bytes]]]:
    longest = settings.LOG_BODY_MAX
    data = _unpacked(packed.data, packed.encoding, longest) if packed.encoding in ENCODINGS else packed.data
    # Many a program logs our answer, and what it quotes of the body with it.
    try:
        parsed = way.parse(Body(data, content_type, packed.received, longest))
        if access.services:
            allowed.keep(parsed, access)
    except Refused as refused:
        refused.error = intake.without_secrets(refused.error)
        refused.rejected = refused.rejected and _without_secrets(refused.rejected)
        raise
    meters.count_arrival(way.name, len(parsed.records), len(data), len(parsed.rejected))
    parsed.rejected = _without_secrets(parsed.rejected)
    return parsed, stream.chunks(parsed.records)


def _without_secrets(rejected: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """No more reasons than these are in any answer."""
    shown = [(line, intake.without_secrets(reason)) for line, reason in rejected[:REJECTED_MAX]]
    return [*shown, *rejected[REJECTED_MAX:]]


async def _body(way: Way, headers: Mapping[str, str], content_type: str, receive: Receive) -> _Packed:
    if content_type not in way.content_types:
        raise Refused(415, f"expected Content-Type {way.expected}, got {content_type!r}")
    encoding = headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in ("identity", *ENCODINGS, *way.unpacked_by_parse):
        raise Refused(415, f"expected Content-Encoding gzip, deflate or zstd, got {encoding!r}")
    longest = settings.LOG_BODY_MAX
    if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > longest:
        raise too_long(longest)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body ended early")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > longest:
            raise too_long(longest)
        if not message.get("more_body"):
            break
    return _Packed(b"".join(parts), encoding, clock.now())


def _unpacked(body: bytes, encoding: str, longest: int) -> bytes:
    try:
        return unpack(body, encoding, longest)
    except TooLongError:
        raise too_long(longest) from None
    except PackedError as error:
        raise Refused(400, f"the body is no {encoding}: {error}") from None


async def _send(send: Send, answer: Answer, more: Mapping[str, str]) -> None:
    headers = {**more, "x-content-type-options": "nosniff"}
    if answer.status != 204:  # which has no body, and no length of it (RFC 9110, 8.6)
        headers |= {"content-type": answer.content_type, "content-length": str(len(answer.body))}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.body})
