"""Loki's push: what becomes of streams, labels and lines, and what is answered to what can't be read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import cramjam
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs.records import LINE_MAX, Level, LogRecord
from logs.sources.loki import Loki, parse_labels
from logs.sources.ways import Refused
from tests.logs.ways import JSON, LONGEST, NOW, PROTOBUF, body, field, loki_push, loki_stream, only

NS = NOW * 1_000
loki = Loki()


def pushed(labels: Any, *values: list[Any]) -> bytes:
    return json.dumps({"streams": [{"stream": labels, "values": values or [[str(NS), "hello"]]}]}).encode()


def of_json(labels: dict[str, Any], *value: Any) -> LogRecord:
    record: LogRecord = only(loki, pushed(labels, *([list(value)] if value else [])), JSON)
    return record


def metadata(record: LogRecord) -> Any:
    return msgspec.json.decode(record.metadata)


def refused(data: bytes, content_type: str = JSON, longest: int = LONGEST) -> Refused:
    with pytest.raises(Refused) as caught:
        loki.parse(body(data, content_type, longest))
    return caught.value


# --- Streams and their lines -----------------------------------------------------------------------------------------


def test_the_example_of_lokis_documentation() -> None:
    data = b"""{"streams": [{"stream": {"foo": "bar2"}, "values": [
        ["1790000000000000000", "fizzbuzz"],
        ["1790000000123456789", "second", {"trace_id": "0242ac120002", "user_id": "superUser123"}]]}]}"""
    first, second = loki.parse(body(data, JSON)).records
    assert (first.timestamp, first.message, first.service) == (NOW, "fizzbuzz", "unknown")
    assert metadata(first) == {"foo": "bar2"}
    assert (second.timestamp, second.trace_id) == (NOW + 123_456, "0242ac120002")
    assert metadata(second) == {"foo": "bar2", "user_id": "superUser123"}


def test_protobuf_says_the_same() -> None:
    labels = rb'{service_name="shop", level="warn", path="C:\\temp", note="a \"b\"", tenant="t-1"}'
    stream = loki_stream(labels, (NS + 5_999, b"low stock", {b"request_id": b"r-1", b"user": b"7"}))
    record = only(loki, loki_push(stream), PROTOBUF)
    assert (record.service, record.level, record.message) == ("shop", Level.WARN, "low stock")
    assert (record.timestamp, record.request_id) == (NOW + 5, "r-1")
    assert metadata(record) == {"path": r"C:\temp", "note": 'a "b"', "tenant": "t-1", "user": "7"}


@pytest.mark.parametrize(
    ("labels", "service", "rest"),
    [
        ({"service_name": "a", "app": "b", "job": "c"}, "a", {"app": "b", "job": "c"}),
        ({"app": "b", "container": "c"}, "b", {"container": "c"}),
        ({"job": "varlogs", "container": "nginx"}, "nginx", {"job": "varlogs", "container": "nginx"}),
        ({"job": "varlogs", "filename": "/var/log/x"}, "varlogs", {"job": "varlogs", "filename": "/var/log/x"}),
        ({"source": "stderr", "service": ""}, "unknown", {"source": "stderr", "service": ""}),
        ({"app": "x" * 201}, "x" * 200, {"app": "x" * 201}),
    ],
)
def test_the_service_is_what_loki_would_call_it(labels: dict[str, str], service: str, rest: dict[str, str]) -> None:
    record = of_json(labels)
    assert (record.service, metadata(record)) == (service, rest)


@pytest.mark.parametrize(
    ("labels", "level", "rest"),
    [
        ({"level": "ERROR"}, Level.ERROR, {}),
        ({"severity": "critical"}, Level.FATAL, {}),
        ({"detected_level": "warn"}, Level.WARN, {}),
        ({"detected_level": "unknown"}, Level.INFO, {"detected_level": "unknown"}),
    ],
)
def test_levels_come_from_labels(labels: dict[str, str], level: Level, rest: dict[str, str]) -> None:
    record = of_json(labels)
    assert (record.level, metadata(record)) == (level, rest)


def test_what_an_entry_says_goes_before_what_its_stream_says() -> None:
    more = {"level": "error", "k": "2", "logger": "db", "name": "Ann"}
    record = of_json({"app": "a", "level": "info", "k": "1"}, str(NS), "x", more)
    assert (record.service, record.level, record.logger) == ("a", Level.ERROR, "db")
    assert metadata(record) == {"k": "2", "name": "Ann"}
    assert of_json({"app": "a"}, str(NS), "x", {"service_name": "b"}).service == "b"


def test_a_line_of_json_or_logfmt_is_read() -> None:
    line = json.dumps({"level": 50, "time": NOW // 1_000 + 7, "msg": "failed", "user": 7})
    record = of_json({"app": "shop"}, str(NS), line)
    assert (record.message, record.level, record.service) == ("failed", Level.ERROR, "shop")
    assert record.timestamp == NOW + 7_000
    assert metadata(record) == {"user": 7}
    assert of_json({}, str(NS), 'level=warn msg="slow query" ms=45').message == "slow query"


def test_the_old_form_of_json_is_taken() -> None:
    stream = {"labels": '{app="old"}', "entries": [{"ts": "2026-09-21T14:13:20.000001234Z", "line": "hello"}]}
    record = only(loki, json.dumps({"streams": [stream]}).encode(), JSON)
    assert (record.service, record.timestamp % 1_000_000, record.message) == ("old", 1, "hello")


def test_nothing_to_take_is_fine() -> None:
    for data, content_type in ((b'{"streams": []}', JSON), (loki_push(), PROTOBUF), (pushed({}, *[]), JSON)):
        assert loki.parse(body(data, content_type)).rejected == []


# --- Unusual lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ns", [0, -5, 1, NS + 200_000 * 10**9, 10**25])
def test_an_impossible_time_is_kept_beside_the_time_of_receipt(ns: int) -> None:
    record = of_json({}, str(ns), "hello")
    assert record.timestamp == NOW
    assert "timestamp" in metadata(record)


def test_times_of_protobuf_have_no_bounds() -> None:
    stream = field(1, b"{}") + field(2, field(1, field(1, (1 << 63) - 1) + field(2, -1)) + field(2, b"x"))
    assert only(loki, loki_push(stream), PROTOBUF).timestamp == NOW


def test_a_line_too_long_is_cut_and_says_so() -> None:
    data = pushed({}, [str(NS), "ü" * LINE_MAX], [str(NS), "next"])
    long, following = loki.parse(body(data, JSON, 32 << 20)).records
    assert len(long.message.encode()) == LINE_MAX
    assert metadata(long) == {"cut_from_bytes": str(2 * LINE_MAX)}
    assert following.message == "next"


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("{}", {}),
        ("", {}),
        ('{a="1"}', {"a": "1"}),
        ('{ a = "1" , b="2", }', {"a": "1", "b": "2"}),
        (r'{a="\n\t\\\"", b="\u00fc\U0001F680\x41\101"}', {"a": '\n\t\\"', "b": "ü🚀AA"}),
        (r'{a="\ud800\xff\U00110000\q"}', {"a": "\ufffd\ufffd\ufffdq"}),
        ('{a=`C:\\x "y"`}', {"a": 'C:\\x "y"'}),
        ('{a="x}", b=","}', {"a": "x}", "b": ","}),
        ('{service.name="1", ü="2"}', {"service.name": "1", "ü": "2"}),
        ('{a="b"c"}', {"labels": '{a="b"c"}'}),
        ('{a="1"', {"labels": '{a="1"'}),
        ('a="1"', {"labels": 'a="1"'}),
    ],
)
def test_labels_as_text(labels: str, found: dict[str, str]) -> None:
    assert parse_labels(labels) == found


def test_ten_thousand_labels_are_taken() -> None:
    labels = {f"label_{n}": "x" for n in range(10_000)}
    assert metadata(of_json(labels)) == labels
    text = "{" + ",".join(f'{name}="x"' for name in labels) + "}"
    assert metadata(only(loki, loki_push(loki_stream(text.encode(), (NS, b"x", {}))), PROTOBUF)) == labels


def test_labels_count_for_each_of_their_lines() -> None:
    data = pushed({"a": "x" * 10_000}, *[[str(NS), ""]] * 1_000)
    assert len(data) < LONGEST
    assert refused(data).status == 413
    assert len(loki.parse(body(data, JSON, 16 << 20)).records) == 1_000


def test_lone_surrogates_nul_and_bytes_that_are_no_utf_8() -> None:
    data = rb'{"streams":[{"stream":{"k":"\ud800"},"values":[["1790000000000000000","a\udfffb"]]}]}'
    record = only(loki, data, JSON)
    assert (record.message, metadata(record)) == ("a?b", {"k": "?"})
    assert only(loki, pushed({"k": "\0"}, [str(NS), "a\0b"]), JSON).message == "ab"
    record = only(loki, loki_push(loki_stream(b'{k="\xfc"}', (NS, b"Gr\xfc\xdfe", {b"\xff": b"\xfe"}))), PROTOBUF)
    assert (record.message, metadata(record)) == ("Gr\ufffd\ufffde", {"k": "\ufffd", "\ufffd": "\ufffd"})


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"hello", b"{}", b'{"streams": {}}', b'{"streams": [1]}', b'{"streams": [{"stream": []}]}',
        b'{"streams": [{"values": [["soon", "x"]]}]}', b'{"streams": [{"values": [["1"]]}]}',
        b'{"streams": [{"values": [["1", 2]]}]}', b'{"streams": [{"values": [["1", "x", "y"]]}]}',
        b'{"streams": [{"values": [[1.5, "x"]]}]}', b'{"streams": [{"values": "x"}]}', b'{"streams": [{"labels": 1}]}',
        b'{"streams": [{"entries": [{"ts": "soon", "line": "x"}]}]}', b"[" * 100_000, b'{"streams":' * 50_000,
        b'{"streams": [{"stream": {"a": ' + b"[" * 50_000,
    ],
)  # fmt: skip
def test_json_that_is_no_push_is_refused_with_the_reason(data: bytes) -> None:
    found = refused(data)
    assert found.status == 400
    assert found.error.startswith('expected {"streams": ')


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "snappy"),
        (b"no snappy", "snappy"),
        (loki_push(loki_stream(b"{}", (NS, b"x" * 500, {})))[:-9], "snappy"),
        (bytes(cramjam.snappy.compress_raw(b"no protobuf")), "PushRequest"),
        (bytes(cramjam.snappy.compress_raw(field(1, loki_stream(b"{}", (NS, b"x", {})))[:-2])), "PushRequest"),
    ],
)
def test_protobuf_that_is_no_push_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    found = refused(data, PROTOBUF)
    assert found.status == 400
    assert reason in found.error


def test_empty_messages_count_as_lines_do() -> None:
    for data in (field(1, b"") * 20_000, field(1, field(2, b"") * 20_000)):
        assert refused(bytes(cramjam.snappy.compress_raw(data)), PROTOBUF).status == 413


def test_a_snappy_bomb_is_never_unpacked() -> None:
    assert refused(b"\xff\xff\xff\xff\x0f" + b"\xfe\x01\x00" * 1_000, PROTOBUF).status == 413
    assert refused(bytes(cramjam.snappy.compress_raw(b"\n" * (LONGEST + 1))), PROTOBUF).status == 413


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for sent, content_type in ((data, JSON), (data, PROTOBUF), (bytes(cramjam.snappy.compress_raw(data)), PROTOBUF)):
        try:
            parsed = loki.parse(body(sent, content_type))
        except Refused:
            continue
        assert all(msgspec.json.decode(found) is not None for found in parsed.records.metadata)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["stream", "values", "labels", "entries", "ts", "line", "level", "x"]), inner)
    ),
    max_leaves=12,
)


@given(st.lists(_json, max_size=3))
def test_any_json_is_read_or_refused(streams: list[Any]) -> None:
    data = json.dumps({"streams": streams}).encode()
    with suppress(Refused):
        loki.parse(body(data, JSON))


@given(st.text(alphabet='{}=",\\`abux0 \n', max_size=60))
def test_any_labels_are_read(text: str) -> None:
    assert all(isinstance(value, str) for value in parse_labels(text).values())
