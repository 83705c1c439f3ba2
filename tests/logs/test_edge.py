"""Sending logs over HTTP: what is taken, what is refused, and with which sentence."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import override_settings

from accounts import keys
from accounts.models import Scope
from logs.edge import Edge
from logs.store import codec
from monitor import valkey
from tests import servers
from tests.logs.corpus import in_stream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

LINE = b'{"message": "hello", "level": "warn", "service": "api"}'


@pytest.fixture
async def key() -> str:
    keys._known.clear()
    _, plain = await sync_to_async(keys.create)("checkout", [Scope.INGEST])
    return plain


@pytest.fixture
async def http(redis_client: redis.Redis, key: str) -> AsyncIterator[httpx.AsyncClient]:
    edge = Edge()
    headers = {"authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app=edge)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://pharos", headers=headers) as client:
        yield client
    await edge.close()


def waiting(client: redis.Redis) -> list[str]:
    """The messages that are in the stream."""
    return [record.message for record in in_stream(client)]


# --- What is taken -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b'{"message": "a"}', ["a"]),
        (b'[{"message": "a"}, {"message": "b"}]', ["a", "b"]),
        (b'{"message": "a"}\n{"message": "b"}\n', ["a", "b"]),
        (b'{"message": "a"}\r\n\r\n{"message": "b"}', ["a", "b"]),
        (b'{\n  "message": "a",\n  "metadata": {\n    "n": 1\n  }\n}\n', ["a"]),
        ('{"message": "Grüße"}'.encode("latin-1"), ["Gr\ufffd\ufffde"]),
    ],
)
async def test_an_object_an_array_or_lines_are_taken(
    http: httpx.AsyncClient, redis_client: redis.Redis, body: bytes, messages: list[str]
) -> None:
    answer = await http.post("/api/logs", content=body)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": len(messages), "rejected": []}
    assert waiting(redis_client) == messages


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("zstd", codec.compress),
        ("identity", bytes),
    ],
)
async def test_packed_bodies_are_taken(
    http: httpx.AsyncClient, redis_client: redis.Redis, encoding: str, pack: Any
) -> None:
    body = b"\n".join([LINE] * 1_000)
    answer = await http.post("/api/logs", content=pack(body), headers={"content-encoding": encoding})
    assert answer.json() == {"accepted": 1_000, "rejected": []}
    assert len(waiting(redis_client)) == 1_000


async def test_bad_lines_are_named_and_the_others_taken(http: httpx.AsyncClient, redis_client: redis.Redis) -> None:
    body = b'{"message": "a"}\nnot json\n{"message": "b", "timestamp": "soon"}\n{"message": "c"}'
    answer = await http.post("/api/logs", content=body)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [bad["line"] for bad in answer.json()["rejected"]] == [2, 3]
    assert "expected JSON, got 'not json'" in answer.json()["rejected"][0]["error"]
    assert waiting(redis_client) == ["a", "c"]


# --- What is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b"hello", b"{", b'"text"', b"[1, 2]", b"{}"])
async def test_a_body_without_any_line_is_a_400_that_says_why(
    http: httpx.AsyncClient, redis_client: redis.Redis, body: bytes
) -> None:
    answer = await http.post("/api/logs", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("expected")
    assert waiting(redis_client) == []


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"authorization": ""}, 401, "expected an API key"),
        ({"authorization": "Bearer pharos_wrong"}, 401, "unknown or revoked"),
        ({"content-type": "image/png"}, 415, "image/png"),
        ({"content-encoding": "br"}, 415, "expected Content-Encoding gzip, deflate or zstd, got 'br'"),
        ({"content-encoding": "gzip"}, 400, "the body is no gzip"),
        ({"content-encoding": "zstd"}, 400, "the body is no zstd"),
        ({"content-encoding": "deflate"}, 400, "the body is no deflate"),
    ],
)
async def test_refusals_say_what_was_expected(
    http: httpx.AsyncClient, redis_client: redis.Redis, headers: dict[str, str], status: int, error: str
) -> None:
    answer = await http.post("/api/logs", content=LINE, headers=headers)
    assert answer.status_code == status
    assert error in answer.json()["error"]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert redis_client.xlen("pharos:logs") == 0


async def test_a_key_that_cannot_be_checked_is_a_503(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(plain: str) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(keys, "find", away)
    answer = await http.post("/api/logs", content=LINE, headers={"authorization": "Bearer pharos_never-seen"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_the_answer_carries_the_requests_id(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/logs", content=LINE, headers={"x-request-id": "r-42"})
    assert answer.headers["x-request-id"] == "r-42"
    assert len((await http.post("/api/logs", content=LINE)).headers["x-request-id"]) == 16


async def test_a_truncated_gzip_is_refused(http: httpx.AsyncClient) -> None:
    for encoding, packed in (("gzip", gzip.compress(LINE * 50)), ("zstd", codec.compress(LINE * 50)),
                             ("deflate", zlib.compress(LINE * 50))):  # fmt: skip
        answer = await http.post("/api/logs", content=packed[:-5], headers={"content-encoding": encoding})
        assert answer.status_code == 400, encoding


async def test_a_key_without_the_scope_is_a_403(http: httpx.AsyncClient) -> None:
    _, plain = await sync_to_async(keys.create)("reader", [Scope.READ])
    answer = await http.post("/api/logs", content=LINE, headers={"authorization": f"Bearer {plain}"})
    assert answer.status_code == 403
    assert answer.json()["error"] == "the key 'reader' lacks the scope ingest"


@override_settings(LOG_BODY_MAX=1_000)
@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate", "zstd"])
async def test_a_body_too_long_packed_or_unpacked_is_a_413(http: httpx.AsyncClient, encoding: str) -> None:
    pack: dict[str, Any] = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "zstd": codec.compress}
    bomb = pack[encoding](b'{"message": "' + b"x" * 200_000 + b'"}')
    answer = await http.post("/api/logs", content=bomb, headers={"content-encoding": encoding})
    assert answer.status_code == 413
    assert "PHAROS_LOG_BODY_MAX_BYTES" in answer.json()["error"]


@override_settings(LOG_BODY_MAX=1_000)
async def test_a_body_of_unknown_length_is_bounded_as_well(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    assert (await http.post("/api/logs", content=endless())).status_code == 413


# --- Overload ------------------------------------------------------------------------------------------------------


async def test_a_long_backlog_is_a_429_with_retry_after(http: httpx.AsyncClient, redis_client: redis.Redis) -> None:
    for n in range(2_000):
        redis_client.xadd("pharos:logs", {"message": "x" * 2_000 + str(n)})
    with override_settings(LOG_BACKLOG_MAX=1 << 20):
        answer = await http.post("/api/logs", content=LINE)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert redis_client.xlen("pharos:logs") == 2_000


async def test_redis_away_is_a_503_with_retry_after_and_passes(key: str) -> None:
    edge = Edge()
    transport = httpx.ASGITransport(app=edge)  # type: ignore[arg-type]
    headers = {"authorization": f"Bearer {key}"}
    with servers.valkey_server() as (url, first), override_settings(REDIS_URL=url):
        async with httpx.AsyncClient(transport=transport, base_url="http://pharos", headers=headers) as http:
            assert (await http.post("/api/logs", content=LINE)).status_code == 202
            first.process.terminate()
            first.process.wait()
            answer = await http.post("/api/logs", content=LINE)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            second = servers.start_valkey(first.directory, first.directory / "valkey.sock", valkey.free_port())
            assert (await http.post("/api/logs", content=LINE)).status_code == 202
            await edge.close()
        second.process.terminate()
        second.process.wait()
