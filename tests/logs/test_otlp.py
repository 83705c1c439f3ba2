"""OTLP logs: what becomes of records in either encoding, and what is answered."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from logs.details import details_of
from logs.records import LINE_MAX, Level, LogRecord
from logs.sources.otlp import Otlp
from logs.sources.ways import Refused
from tests.logs.ways import JSON, LONGEST, NOW, PROTOBUF, attribute, body, field, only, otlp

NS = NOW * 1_000
TEXT = AnyValue(string_value="hello")
way = Otlp()

# https://github.com/open-telemetry/opentelemetry-proto/blob/main/examples/logs.json, with a time of our own.
EXAMPLE = b"""{
  "resourceLogs": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
    "scopeLogs": [{
      "scope": {
        "name": "my.library", "version": "1.0.0",
        "attributes": [{"key": "my.scope.attribute", "value": {"stringValue": "some scope attribute"}}]
      },
      "logRecords": [{
        "timeUnixNano": "1790000000300000000",
        "observedTimeUnixNano": "1790000000300000000",
        "severityNumber": 10,
        "severityText": "Information",
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "body": {"stringValue": "Example log record"},
        "attributes": [
          {"key": "string.attribute", "value": {"stringValue": "some string"}},
          {"key": "boolean.attribute", "value": {"boolValue": true}},
          {"key": "int.attribute", "value": {"intValue": "10"}},
          {"key": "double.attribute", "value": {"doubleValue": 637.704}},
          {"key": "array.attribute", "value": {"arrayValue": {"values": [
            {"stringValue": "many"}, {"stringValue": "values"}]}}},
          {"key": "map.attribute", "value": {"kvlistValue": {"values": [
            {"key": "some.map.key", "value": {"stringValue": "some value"}}]}}}
        ]
      }]
    }]
  }]
}"""


def of_record(**record: Any) -> LogRecord:
    found: LogRecord = only(way, otlp(**{"time_unix_nano": NS, "severity_number": 9, "body": TEXT, **record}), PROTOBUF)
    return found


def in_json(**record: Any) -> bytes:
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()


def metadata(record: LogRecord) -> Any:
    return msgspec.json.decode(record.metadata)


def refused(data: bytes, content_type: str = JSON, longest: int = LONGEST) -> Refused:
    with pytest.raises(Refused) as caught:
        way.parse(body(data, content_type, longest))
    return caught.value


# --- Records ---------------------------------------------------------------------------------------------------------


def test_the_example_of_the_specification() -> None:
    record = only(way, EXAMPLE, JSON)
    assert (record.timestamp, record.level, record.message) == (NOW + 300_000, Level.INFO, "Example log record")
    assert (record.service, record.logger) == ("my.service", "my.library")
    assert (record.trace_id, record.span_id) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert metadata(record) == {
        "string.attribute": "some string",
        "boolean.attribute": True,
        "int.attribute": 10,
        "double.attribute": 637.704,
        "array.attribute": ["many", "values"],
        "map.attribute": {"some.map.key": "some value"},
    }


def test_names_as_in_the_proto_mean_the_same() -> None:
    words = ("resource_logs", "scope_logs", "log_records", "time_unix_nano", "observed_time_unix_nano",
             "severity_number", "severity_text", "trace_id", "span_id", "string_value", "bool_value", "int_value",
             "double_value", "array_value", "kvlist_value")  # fmt: skip
    snake = EXAMPLE
    for word in words:
        first, *rest = word.split("_")
        snake = snake.replace((first + "".join(map(str.title, rest))).encode(), word.encode())
    assert b"resourceLogs" not in snake
    assert only(way, snake, JSON) == only(way, EXAMPLE, JSON)


def test_protobuf_says_the_same() -> None:
    record = of_record(
        resource=[attribute("service.name", string_value="shop"), attribute("host.name", string_value="web-1")],
        scope="shop.orders",
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        event_name="order.placed",
        severity_number=18,
        attributes=[
            attribute("n", int_value=-7),
            attribute("x", double_value=math.nan),
            attribute("ok", bool_value=False),
            attribute("raw", bytes_value=b"\x00\xff"),
            attribute("none"),
            attribute("list", array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue()])),
        ],
    )
    assert (record.level, record.service, record.logger, record.title) == (
        Level.ERROR, "shop", "shop.orders", "order.placed",
    )  # fmt: skip
    assert (record.trace_id, record.span_id) == ("000102030405060708090a0b0c0d0e0f", "0001020304050607")
    expected = {"n": -7, "x": "NaN", "ok": False, "raw": "AP8=", "none": None, "list": [1, None], "host.name": "web-1"}
    assert metadata(record) == expected


@pytest.mark.parametrize(
    ("number", "text", "level", "rest"),
    [
        (1, "", Level.TRACE, {}),
        (8, "", Level.DEBUG, {}),
        (9, "NOTICE", Level.INFO, {}),
        (16, "", Level.WARN, {}),
        (17, "", Level.ERROR, {}),
        (24, "", Level.FATAL, {}),
        (0, "Warning", Level.WARN, {}),
        (0, "odd", Level.INFO, {"severity_text": "odd"}),
        (99, "error", Level.ERROR, {}),
    ],
)
def test_severities(number: int, text: str, level: Level, rest: dict[str, str]) -> None:
    data = in_json(severityNumber=number, severityText=text, body={"stringValue": "x"})
    record = only(way, data, JSON)
    assert (record.level, metadata(record)) == (level, rest)


def test_a_severity_by_name_is_read() -> None:
    assert only(way, in_json(severityNumber="SEVERITY_NUMBER_WARN2", body={"stringValue": "x"}), JSON).level == 3


def test_the_first_time_that_is_there_counts() -> None:
    assert of_record(time_unix_nano=NS + 7_999).timestamp == NOW + 7
    assert of_record(time_unix_nano=0, observed_time_unix_nano=NS + 5_000).timestamp == NOW + 5
    assert of_record(time_unix_nano=0).timestamp == NOW


@pytest.mark.parametrize("nanos", [1, (1 << 64) - 1])
def test_an_impossible_time_is_kept_beside_the_time_of_receipt(nanos: int) -> None:
    record = of_record(time_unix_nano=nanos)
    assert (record.timestamp, metadata(record)) == (NOW, {"timestamp": nanos})


def test_a_body_with_fields_is_read_as_a_line_of_json_is() -> None:
    values = [attribute("event", string_value="order placed"), attribute("n", int_value=7)]
    record = of_record(body=AnyValue(kvlist_value=KeyValueList(values=values)),
                       attributes=[attribute("n", int_value=8)])  # fmt: skip
    assert (record.message, metadata(record)) == ("order placed", {"n": 7, "n_2": 8})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"intValue": "7"}, "7"),
        ({"boolValue": True}, "true"),
        ({"arrayValue": {"values": [{"stringValue": "a"}]}}, '["a"]'),
        ({"kvlistValue": {"values": [{"key": "n", "value": {"intValue": 7}}]}}, '{"n":7}'),
        ({"kvlistValue": {"values": [{"key": "time", "value": {"stringValue": "soon"}}]}}, '{"time":"soon"}'),
        ({"bytesValue": "AP8="}, "AP8="),
        ({}, ""),
        (None, ""),
    ],
)
def test_any_other_body_is_shown_as_json(value: Any, message: str) -> None:
    assert only(way, in_json(severityNumber=9, body=value), JSON).message == message


def test_text_without_a_severity_is_a_line_that_nobody_has_read_yet() -> None:
    line = '{"level": "error", "msg": "failed", "user": 7, "request_id": "r-1"}'
    record = of_record(severity_number=0, body=AnyValue(string_value=line),
                       attributes=[attribute("log.file.name", string_value="x.log")])  # fmt: skip
    assert (record.level, record.message, record.request_id) == (Level.ERROR, "failed", "r-1")
    assert metadata(record) == {"user": 7, "log.file.name": "x.log"}
    assert of_record(severity_number=0).level == Level.INFO


def test_what_the_resource_says_stands_beside_the_attributes() -> None:
    resource = [
        attribute("service.name", string_value="shop"),
        attribute("k8s.pod.name", string_value="shop-7"),
        attribute("env", string_value="prod"),
        attribute("telemetry.sdk.language", string_value="python"),
    ]
    record = of_record(resource=resource, attributes=[attribute("env", string_value="test")])
    assert metadata(record) == {"env": "test", "k8s.pod.name": "shop-7"}


@pytest.mark.parametrize(
    ("resource", "scope", "service"),
    [
        ({"service.name": "shop", "k8s.deployment.name": "d"}, "x", "shop"),
        ({"k8s.deployment.name": "d", "container.name": "c"}, "x", "d"),
        ({}, "shop.orders", "shop.orders"),
        ({}, "", "unknown"),
    ],
)
def test_the_service(resource: dict[str, str], scope: str, service: str) -> None:
    pairs = [attribute(name, string_value=value) for name, value in resource.items()]
    assert of_record(resource=pairs, scope=scope).service == service


def test_an_exceptions_stack_is_shown_as_one() -> None:
    stack = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: no'
    record = of_record(attributes=[
        attribute("exception.type", string_value="ValueError"),
        attribute("exception.stacktrace", string_value=stack),
    ])  # fmt: skip
    details = details_of(record)
    assert "\n".join(frames.text for frames in details.stack) == stack
    assert [leaf.name for leaf in details.tree] == ["exception.type"]


def test_ids_of_attributes_and_ids_of_nothing() -> None:
    record = of_record(trace_id=bytes(16), attributes=[attribute("correlationId", string_value="c-1")])
    assert (record.request_id, record.trace_id) == ("c-1", "")
    assert only(way, in_json(severityNumber=9, traceId="0" * 32, spanId="x" * 999), JSON).span_id == ""


# --- Partial success -------------------------------------------------------------------------------------------------


def test_a_record_that_is_too_long_or_has_no_time_is_counted_and_the_others_are_taken() -> None:
    records = [{"body": {"stringValue": "x" * (LINE_MAX + 1)}, "severityNumber": 9},
               {"body": {"stringValue": "fine"}}, {"timeUnixNano": "soon"}]  # fmt: skip
    data = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    parsed = way.parse(body(data, JSON, 8 << 20))
    assert [record.message for record in parsed.records] == ["fine"]
    assert [number for number, _ in parsed.rejected] == [1, 3]
    answer = json.loads(way.taken(parsed, JSON).body)["partialSuccess"]
    assert answer["rejectedLogRecords"] == "2"
    assert answer["errorMessage"].startswith("expected a line of at most 1,048,576 bytes")
    response = ExportLogsServiceResponse.FromString(way.taken(parsed, PROTOBUF).body)
    assert response.partial_success.rejected_log_records == 2
    assert response.partial_success.error_message == answer["errorMessage"]


def test_a_record_that_cannot_be_read_is_alone_in_that() -> None:
    fine, bad = field(2, 9) + field(5, field(1, b"fine")), field(3, b"\xff is no UTF-8")
    data = field(1, field(2, field(2, bad) + field(2, fine)))
    parsed = way.parse(body(data, PROTOBUF))
    assert [record.message for record in parsed.records] == ["fine"]
    ((number, reason),) = parsed.rejected
    assert number == 1
    assert reason.startswith("expected a LogRecord as protobuf")


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_empty_messages_count_as_lines_do(depth: int) -> None:
    data = field(2 if depth else 1, b"") * 20_000
    for level in range(depth):
        data = field(1 if level == depth - 1 else 2, data)
    assert refused(data, PROTOBUF).status == 413


def test_success_says_nothing_of_rejected_records() -> None:
    parsed = way.parse(body(EXAMPLE, JSON))
    assert way.taken(parsed, JSON) == (200, JSON, b"{}")
    assert way.taken(parsed, PROTOBUF) == (200, PROTOBUF, b"")


def test_nothing_to_take_is_fine() -> None:
    for data, content_type in ((b"{}", JSON), (b'{"resourceLogs": null}', JSON), (b"", PROTOBUF)):
        assert way.parse(body(data, content_type)).rejected == []


@pytest.mark.parametrize(("status", "code"), [(400, 3), (401, 16), (403, 7), (413, 3), (415, 3), (429, 8), (503, 14)])
def test_refusals_are_a_status_in_the_requests_encoding(status: int, code: int) -> None:
    answer = way.refused(Refused(status, "no"), PROTOBUF)
    message = Status.FromString(answer.body)
    assert (answer.status, answer.content_type, message.code, message.message) == (status, PROTOBUF, code, "no")
    answer = way.refused(Refused(status, "no"), JSON)
    assert (answer.content_type, json.loads(answer.body)) == (JSON, {"code": code, "message": "no"})


# --- What can't be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"hello", b'{"resourceLogs": {}}', b'{"resourceLogs": [1]}', EXAMPLE[:-9],
        b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": 1.5}]}]}]}',
        b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": 7}]}]}]}',
        b'{"resource_logs": 1}', b'{"resource_logs": ' + b"[" * 100_000, b'{"resourceLogs": ' + b"[" * 100_000,
        in_json(body={"arrayValue": {}}).replace(b"{}", b'{"values":[{"arrayValue":' * 40_000),
    ],
)  # fmt: skip
def test_json_that_is_no_request_is_refused_with_the_reason(data: bytes) -> None:
    found = refused(data)
    assert found.status == 400
    assert found.error.startswith("expected ")


def test_values_in_values_have_an_end() -> None:
    depth = 400
    value = '{"arrayValue":{"values":[' * depth + "]}}" * depth
    data = in_json(body=7).replace(b'"body": 7', b'"body": ' + value.encode())
    with suppress(Refused):
        assert len(way.parse(body(data, JSON)).records) == 1


@pytest.mark.parametrize("data", [b"no protobuf", otlp(body=TEXT)[:-2], field(1, b"\xff"), field(1, 7)[:1]])
def test_protobuf_that_is_no_request_is_refused_with_the_reason(data: bytes) -> None:
    found = refused(data, PROTOBUF)
    assert found.status == 400
    assert "ExportLogsServiceRequest" in found.error


def test_a_resource_counts_for_each_of_its_lines() -> None:
    resource = {"attributes": [{"key": "a", "value": {"stringValue": "x" * 10_000}}]}
    of_scope = {"logRecords": [{"severityNumber": 9}] * 1_000}
    data = json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [of_scope]}]}).encode()
    assert refused(data).status == 413
    assert len(way.parse(body(data, JSON, 16 << 20)).records) == 1_000


def test_ten_thousand_attributes_lone_surrogates_nul_and_numbers_of_any_size() -> None:
    many = {f"key_{n}": "x" for n in range(10_000)}
    record = of_record(attributes=[attribute(name, string_value=value) for name, value in many.items()])
    assert metadata(record) == many
    data = in_json(severityNumber=9, body={"stringValue": "a\ud800b\0"}, attributes=[
        {"key": "n", "value": {"intValue": 10**30}}, {"key": "m", "value": {"intValue": "9" * 30}},
        {"key": "x", "value": {"doubleValue": "NaN"}}, {"key": "y", "value": {"doubleValue": math.inf}}])  # fmt: skip
    record = only(way, data, JSON)
    assert record.message == "a?b\0"
    assert metadata(record) == {"n": str(10**30), "m": "9" * 30, "x": "NaN", "y": "Infinity"}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for content_type in (JSON, PROTOBUF):
        with suppress(Refused):
            way.parse(body(data, content_type))


_NAMES = ["stringValue", "boolValue", "intValue", "doubleValue", "bytesValue", "arrayValue", "kvlistValue", "values",
          "key", "value", "body", "attributes", "traceId", "timeUnixNano", "severityNumber", "eventName"]  # fmt: skip
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(_NAMES), _json))
def test_any_record_is_read_or_refused(record: dict[str, Any]) -> None:
    with suppress(Refused):
        parsed = way.parse(body(in_json(**record), JSON))
        assert all(isinstance(msgspec.json.decode(found), dict) for found in parsed.records.metadata)


_bits = st.recursive(
    st.binary(max_size=12) | st.integers(0, (1 << 64) - 1),
    lambda inner: st.lists(st.tuples(st.integers(1, 12), inner), max_size=4).map(
        lambda fields: b"".join(field(number, value) for number, value in fields)
    ),
    max_leaves=10,
)


@given(_bits)
def test_any_message_is_read_or_refused(value: bytes | int) -> None:
    with suppress(Refused):
        way.parse(body(field(1, field(2, field(2, value))), PROTOBUF))
