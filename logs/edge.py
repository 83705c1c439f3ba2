"""The edge: where programs send logs over HTTP. An ASGI application of its own, before Django's middleware.

A session, a CSRF token and a page's headers mean nothing to a program, and each would cost every body a trip through
threads (docs/adr/0006-edge.md has the figures). What the edge does: check the key, bound and unpack the body, parse it
once, put it into the log stream, and answer. 202 means: in Redis, will be stored.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from accounts import keys
from accounts.models import Scope
from core import clock
from logs import context, stream
from logs.sources import json_lines, streams

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

log = logging.getLogger(__name__)

REJECTED_MAX: Final = 100  # reasons in an answer
IN_A_THREAD: Final = 64 << 10  # bytes: longer bodies are parsed beside the event loop
BACKLOG_EVERY: Final = 1.0  # seconds between two looks at the backlog
CONTENT_TYPES: Final = frozenset(
    {"", "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain",
     "application/x-www-form-urlencoded", "application/stream+json", "text/json", "application/json-seq"}
)  # fmt: skip
# curl's --data says x-www-form-urlencoded if it isn't told otherwise: the body decides.

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Refused(Exception):  # noqa: N818 - an answer
    """An answer other than 202."""

    def __init__(self, status: int, error: str, retry_after: int = 0, **more: object) -> None:
        super().__init__(error)
        self.status, self.retry_after = status, retry_after
        self.body = {"error": error, **more}


class Edge:
    """`POST /api/logs`."""

    def __init__(self) -> None:
        self._redis: redis.asyncio.Redis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._backlog = 0
        self._backlog_at = 0.0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = context.adopt(headers)
        try:
            await self._authorize(headers)
            body = await _body(headers, receive)
            status, answer, retry_after = 202, await self._take(body), 0
        except Refused as refused:
            status, answer, retry_after = refused.status, refused.body, refused.retry_after
        await _answer(send, status, answer, request_id, retry_after)

    async def _authorize(self, headers: Mapping[str, str]) -> None:
        plain = keys.given(headers.get("authorization", ""), headers)
        if not plain:
            raise Refused(401, "expected an API key with the scope ingest: Authorization: Bearer <key>")
        is_known, access = keys.known(plain)
        if not is_known:
            try:
                access = await sync_to_async(_find, thread_sensitive=False)(plain)
            except DatabaseError:
                raise Refused(
                    503, "the database is away and this key can't be checked; send the lines again", 5
                ) from None
        if access is None:
            raise Refused(401, "the API key is unknown or revoked")
        if not access.allows(Scope.INGEST):
            raise Refused(403, f"the key {access.name!r} lacks the scope ingest")

    async def _take(self, body: bytes) -> dict[str, object]:
        received = clock.now()
        if len(body) > IN_A_THREAD:
            parsed, entries = await asyncio.to_thread(_parse, body, received)
        else:
            parsed, entries = _parse(body, received)
        rejected = [{"line": line, "error": error} for line, error in parsed.rejected[:REJECTED_MAX]]
        if not parsed.records:
            if not rejected:
                raise Refused(
                    400, "expected a JSON object, an array of objects or an object per line, got an empty body"
                )
            raise Refused(400, rejected[0]["error"], accepted=0, rejected=rejected)  # type: ignore[arg-type]
        await self._add(entries)
        return {"accepted": len(parsed.records), "rejected": rejected}

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


def _find(plain: str) -> keys.Access | None:
    close_old_connections()
    return keys.find(plain)


def _parse(body: bytes, received: int) -> tuple[json_lines.Parsed, list[dict[bytes, bytes]]]:
    parsed = json_lines.parse(body, received)
    return parsed, stream.chunks(parsed.records)


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in CONTENT_TYPES:
        raise Refused(415, f"expected Content-Type application/json or application/x-ndjson, got {content_type!r}")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", *_UNPACK):
        raise Refused(415, f"expected Content-Encoding gzip, deflate or zstd, got {encoding!r}")
    longest = settings.LOG_BODY_MAX
    if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > longest:
        raise _too_long(longest)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body ended early")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > longest:
            raise _too_long(longest)
        if not message.get("more_body"):
            break
    body = b"".join(parts)
    return body if encoding == "identity" else _unpacked(body, encoding, longest)


def _too_long(longest: int) -> Refused:
    return Refused(
        413, f"expected at most {longest:,} bytes (PHAROS_LOG_BODY_MAX_BYTES), unpacked; send smaller bodies"
    )


def _unpacked(body: bytes, encoding: str, longest: int) -> bytes:
    try:
        unpacked = _UNPACK[encoding](body, longest + 1)
    except (zlib.error, EOFError, OSError, zstd.ZstdError) as error:
        raise Refused(400, f"the body is no {encoding}: {error}") from None
    if len(unpacked) > longest:
        raise _too_long(longest)
    return unpacked


def _inflate(body: bytes, longest: int) -> bytes:
    # "deflate" means zlib's format (RFC 9110), but some clients send the bare stream.
    inflater = zlib.decompressobj() if body[:1] and body[0] & 0x0F == 8 else zlib.decompressobj(-zlib.MAX_WBITS)
    return _whole(inflater.decompress(body, longest), inflater.eof, longest)


def _gunzip(body: bytes, longest: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        return file.read(longest)


def _unzstd(body: bytes, longest: int) -> bytes:
    with zstd.ZstdFile(io.BytesIO(body)) as file:
        return file.read(longest)


def _whole(data: bytes, ended: bool, longest: int) -> bytes:
    if not ended and len(data) < longest:
        raise EOFError("it ends early")
    return data


_UNPACK: Final = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _inflate, "zstd": _unzstd}


async def _answer(send: Send, status: int, answer: Mapping[str, object], request_id: str, retry_after: int) -> None:
    body = msgspec.json.encode(answer)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    if retry_after:
        headers.append((b"retry-after", str(retry_after).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="Pharos"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
