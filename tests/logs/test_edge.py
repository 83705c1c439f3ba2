"""Sending logs over HTTP: what is taken, what is refused, and with which sentence."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import redis
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import override_settings
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from accounts import keys
from accounts.models import Scope
from logs import edge
from logs.edge import Edge
from logs.sources.ways import Body, Parsed
from logs.store import codec
from monitor import valkey
from tests import servers
from tests.logs.corpus import in_stream
from tests.logs.ways import JSON, PROTOBUF, loki_push, loki_stream, otlp

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

LINE = b'{"message": "hello", "level": "warn", "service": "api"}'


@pytest.fixture
async def key() -> str:
    keys._known.clear()
    _, plain = await sync_to_async(keys.create)("checkout", [Scope.INGEST])
    return plain


@pytest.fixture
async def http(redis_client: redis.Redis, key: str) -> AsyncIterator[httpx.AsyncClient]:
    application = Edge()
    headers = {"authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app=application)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://pharos", headers=headers) as client:
        yield client
    await application.close()


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


# --- Keys for some services ----------------------------------------------------------------------------------------


@pytest.fixture
async def limited(http: httpx.AsyncClient) -> httpx.AsyncClient:
    """The client, with a key for the services shop and shop-*."""
    _, plain = await sync_to_async(keys.create)("shop", [Scope.INGEST], services=["shop", "shop-*"])
    http.headers["authorization"] = f"Bearer {plain}"
    return http


async def test_lines_of_other_services_are_refused_and_the_key_s_own_taken(
    limited: httpx.AsyncClient, redis_client: redis.Redis
) -> None:
    body = b'{"message": "a", "service": "Shop-web"}\n{"message": "b", "service": "billing"}\n{"message": "c"}\nno'
    answer = (await limited.post("/api/logs", content=body)).json()
    assert answer["accepted"] == 1
    assert [bad["line"] for bad in answer["rejected"]] == [2, 3, 4]
    assert answer["rejected"][0]["error"] == "the key 'shop' may send lines of shop, shop-* only, not of 'billing'"
    assert waiting(redis_client) == ["a"]


async def test_a_body_of_other_services_is_a_403(limited: httpx.AsyncClient, redis_client: redis.Redis) -> None:
    answer = await limited.post("/api/logs", content=LINE)
    assert answer.status_code == 403
    assert "not of 'api'" in answer.json()["error"]
    assert waiting(redis_client) == []


async def test_loki_clients_are_told_how_many_lines_were_refused(
    limited: httpx.AsyncClient, redis_client: redis.Redis
) -> None:
    now = time.time_ns()
    streams = [loki_stream(b'{app="shop"}', (now, b"a", {})), loki_stream(b'{app="billing"}', (now, b"b", {}))]
    answer = await limited.post("/loki/api/v1/push", content=loki_push(*streams))
    assert (answer.status_code, answer.text) == (
        400, "1 lines: the key 'shop' may send lines of shop, shop-* only, not of 'billing'\n",
    )  # fmt: skip
    assert waiting(redis_client) == ["a"]


async def test_a_line_without_a_service_gets_the_only_one_of_its_key(
    http: httpx.AsyncClient, redis_client: redis.Redis
) -> None:
    _, plain = await sync_to_async(keys.create)("shop", [Scope.INGEST], services=["Shop"])
    body = b'{"message": "a"}\n{"message": "b", "logger": "app.db"}\n{"message": "c", "service": "billing"}'
    answer = await http.post("/api/logs", content=body, headers={"authorization": f"Bearer {plain}"})
    assert answer.json()["accepted"] == 2
    assert [record.service for record in in_stream(redis_client)] == ["Shop", "Shop"]


# --- What is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b"hello", b"{", b'"text"', b"[1, 2]", b"{}", b"[" * 5_000])
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
    def away(plain: str, client: str) -> None:
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


# --- Other ways in -------------------------------------------------------------------------------------------------

LOKI = json.dumps({"streams": [{"stream": {"app": "shop"}, "values": [["1790000000000000000", "hello"]]}]}).encode()
OTLP = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}}]}]}]}).encode()
LOKI_PROTOBUF = loki_push(loki_stream(b'{app="shop"}', (1_790_000_000_000_000_000, b"hello", {})))
OTLP_PROTOBUF = otlp(body=AnyValue(string_value="hello"))
WAYS_IN = [
    ("/loki/api/v1/push", JSON, LOKI, 204),
    ("/loki/api/v1/push", PROTOBUF, LOKI_PROTOBUF, 204),
    ("/loki/api/v1/push", "", LOKI_PROTOBUF, 204),
    ("/api/prom/push/", JSON + "; charset=utf-8", LOKI, 204),
    ("/v1/logs", JSON, OTLP, 200),
    ("/v1/logs", PROTOBUF, OTLP_PROTOBUF, 200),
    ("/otlp/v1/logs", PROTOBUF, OTLP_PROTOBUF, 200),
]


def reason(answer: httpx.Response) -> str:
    """Whatever form the protocol gives it."""
    kind = answer.headers["content-type"]
    if kind == PROTOBUF:
        return str(Status.FromString(answer.content).message)
    if kind == JSON:
        return str(answer.json()["message"])
    assert kind == "text/plain; charset=utf-8"
    return answer.text.strip()


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
@pytest.mark.parametrize(("path", "kind", "body", "status"), WAYS_IN)
async def test_each_way_in_is_taken_packed_or_not(
    http: httpx.AsyncClient,
    redis_client: redis.Redis,
    path: str,
    kind: str,
    body: bytes,
    status: int,
    encoding: str,
) -> None:
    pack: dict[str, Any] = {"": bytes, "gzip": gzip.compress, "zstd": codec.compress}
    packed = pack[encoding](body)
    answer = await http.post(path, content=packed, headers={"content-type": kind, "content-encoding": encoding})
    assert answer.status_code == status
    assert ("content-length" in answer.headers) == (status != 204)
    assert answer.headers.get("content-type") == (kind if status == 200 else None)
    assert waiting(redis_client) == ["hello"]


async def test_a_body_of_many_lines_is_read_beside_the_event_loop(
    http: httpx.AsyncClient, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    way = edge.WAYS["/loki/api/v1/push"]
    parse = way.parse

    def watched(body: Body) -> Parsed:
        threads.append(threading.current_thread())
        return parse(body)

    monkeypatch.setattr(way, "parse", watched)
    entries = [(1_790_000_000_000_000_000 + n, b"%06d" % (n * 7_919), dict[bytes, bytes]()) for n in range(3_000)]
    body = loki_push(loki_stream(b"{}", *entries))
    for packed, encoding in ((body, "snappy"), (gzip.compress(body), "gzip")):
        answer = await http.post("/loki/api/v1/push", content=packed, headers={"content-encoding": encoding})
        assert answer.status_code == 204
    assert len(threads) == 2
    assert threading.main_thread() not in threads
    assert len(waiting(redis_client)) == 6_000


@pytest.mark.parametrize(("path", "kind", "body", "status"), WAYS_IN)
@pytest.mark.parametrize(
    ("headers", "refused", "error"),
    [
        ({"authorization": ""}, 401, "expected an API key"),
        ({"authorization": "Bearer pharos_wrong"}, 401, "unknown or revoked"),
        ({"content-encoding": "br"}, 415, "expected Content-Encoding"),
        ({"content-encoding": "gzip"}, 400, "the body is no gzip"),
    ],
)
async def test_each_way_in_refuses_in_its_own_form(
    http: httpx.AsyncClient,
    path: str,
    kind: str,
    body: bytes,
    status: int,
    headers: dict[str, str],
    refused: int,
    error: str,
) -> None:
    answer = await http.post(path, content=body, headers={"content-type": kind.partition(";")[0], **headers})
    assert answer.status_code == refused
    assert error in reason(answer)
    assert ("www-authenticate" in answer.headers) == (refused == 401)


@pytest.mark.parametrize(("path", "expected"), [("/loki/api/v1/push", "application/x-protobuf"), ("/v1/logs", JSON)])
async def test_another_type_is_a_415_that_names_the_usual_ones(
    http: httpx.AsyncClient, path: str, expected: str
) -> None:
    answer = await http.post(path, content=LINE, headers={"content-type": "text/csv"})
    assert answer.status_code == 415
    assert expected in reason(answer)
    assert "'text/csv'" in reason(answer)


@override_settings(LOG_BODY_MAX=1_000)
@pytest.mark.parametrize(("path", "kind"), [(path, kind) for path, kind, _, _ in WAYS_IN[:6]])
async def test_a_bomb_is_a_413_on_each_way_in(http: httpx.AsyncClient, path: str, kind: str) -> None:
    headers = {"content-type": kind, "content-encoding": "gzip"}
    answer = await http.post(path, content=gzip.compress(b" " * 500_000), headers=headers)
    assert answer.status_code == 413
    assert "PHAROS_LOG_BODY_MAX_BYTES" in reason(answer)


@pytest.mark.parametrize(
    "authorize",
    [
        lambda key: {"authorization": "Basic " + base64.b64encode(f"any:{key}".encode()).decode()},
        lambda key: {"authorization": "", "x-api-key": key},
    ],
)
async def test_the_key_is_taken_as_clients_of_loki_send_it(
    http: httpx.AsyncClient, key: str, authorize: Callable[[str], dict[str, str]]
) -> None:
    headers = {"content-type": JSON, "x-scope-orgid": "tenant-1", **authorize(key)}
    assert (await http.post("/loki/api/v1/push", content=LOKI, headers=headers)).status_code == 204


async def test_only_writing_to_an_address_of_a_way_in_is_for_the_edge() -> None:
    assert edge.serves({"method": "POST", "path": "/v1/logs"})
    assert edge.serves({"method": "POST", "path": "/loki/api/v1/push/"})
    assert not edge.serves({"method": "GET", "path": "/api/logs"})
    assert not edge.serves({"method": "POST", "path": "/v1/traces"})


# --- Overload ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "kind", "body", "status"), [("/api/logs", JSON, LINE, 202), *WAYS_IN])
async def test_a_long_backlog_is_a_429_with_retry_after(
    http: httpx.AsyncClient, redis_client: redis.Redis, path: str, kind: str, body: bytes, status: int
) -> None:
    for n in range(200):
        redis_client.xadd("pharos:logs", {"message": "x" * 2_000 + str(n)})
    with override_settings(LOG_BACKLOG_MAX=100 << 10):
        answer = await http.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert redis_client.xlen("pharos:logs") == 200


async def test_redis_away_is_a_503_with_retry_after_and_passes(key: str) -> None:
    application = Edge()
    transport = httpx.ASGITransport(app=application)  # type: ignore[arg-type]
    headers = {"authorization": f"Bearer {key}"}
    with servers.valkey_server() as (url, first), override_settings(REDIS_URL=url):
        async with httpx.AsyncClient(transport=transport, base_url="http://pharos", headers=headers) as http:
            assert (await http.post("/api/logs", content=LINE)).status_code == 202
            first.process.terminate()
            first.process.wait()
            for path, kind, body in (("/api/logs", JSON, LINE), *(way[:3] for way in WAYS_IN)):
                answer = await http.post(path, content=body, headers={"content-type": kind})
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) > 0
            second = servers.start_valkey(first.directory, first.directory / "valkey.sock", valkey.free_port())
            assert (await http.post("/api/logs", content=LINE)).status_code == 202
            await application.close()
        second.process.terminate()
        second.process.wait()
