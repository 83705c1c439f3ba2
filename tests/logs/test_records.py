"""Every shape of a line that services send becomes the same record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core import clock
from logs import query
from logs.details import details_of
from logs.records import (
    Level,
    LogRecord,
    RecordError,
    alias_table,
    canonical_field,
    from_flat,
    from_json,
    parse_level,
    parse_timestamp,
    use_aliases,
)

NOW = 1_800_000_000_000_000  # 2027-01-15T08:00:00Z


def read(fields: dict[str, Any]) -> LogRecord:
    return from_json(json.dumps(fields).encode(), NOW)


def metadata(record: LogRecord) -> Any:
    return json.loads(record.metadata)


# --- The four schemas ----------------------------------------------------------------------------------------------

SOURCE_TITLE_CORRELATION = """{
  "timestamp": "2025-01-15T10:30:45.123Z",
  "level": "ERROR",
  "source": "worker",
  "title": "OCR Service Timeout",
  "message": "Failed to extract text from receipt after 30s",
  "correlationId": "550e8400-e29b-41d4-a716-446655440000",
  "metadata": {
    "receiptId": "abc-123",
    "objectKey": "2025/01/15/receipt.jpg",
    "stackTrace": "..."
  }
}"""
LOGGER_TRACE_SPAN = """{
  "timestamp": "2024-01-15T10:30:45.123456Z",
  "level": "INFO",
  "logger": "backend.routers.tasks",
  "message": "Task created",
  "request_id": "req-a1b2c3d4",
  "user_id": "550e8400-e29b-41d4-a716-446655440000",
  "trace_id": "trace-x1y2z3",
  "span_id": "span-m1n2o3"
}"""
PINO = """{
  "level": "info",
  "time": "2024-01-16T10:30:00.000Z",
  "msg": "Login successful",
  "userId": "user-123",
  "email": "user@example.com",
  "request_id": "req-abc-xyz",
  "duration_ms": 45
}"""
CONTEXT_ERROR = """{
  "timestamp": "2025-01-15T10:30:45.123Z",
  "level": "error",
  "service": "api",
  "message": "Failed to fetch metrics",
  "context": {"userId": "u-1", "organizationId": "o-2", "requestId": "r-3", "agentId": "a-4", "conversationId": "c-5"},
  "endpoint": "/api/integrations/unified-analytics",
  "error": {"name": "TypeError", "message": "x is undefined", "stack": "TypeError: x\\n    at GET (route.ts:12:5)"}
}"""


def test_source_title_and_correlation_id_are_read() -> None:
    record = from_json(SOURCE_TITLE_CORRELATION.encode(), NOW)
    assert clock.iso(record.timestamp) == "2025-01-15T10:30:45.123000Z"
    assert record.level is Level.ERROR
    assert (record.service, record.title) == ("worker", "OCR Service Timeout")
    assert record.message == "Failed to extract text from receipt after 30s"
    assert record.request_id == "550e8400-e29b-41d4-a716-446655440000"
    assert metadata(record) == {"receiptId": "abc-123", "objectKey": "2025/01/15/receipt.jpg", "stackTrace": "..."}


def test_logger_and_trace_are_read_and_the_user_is_kept() -> None:
    record = from_json(LOGGER_TRACE_SPAN.encode(), NOW)
    assert clock.iso(record.timestamp) == "2024-01-15T10:30:45.123456Z"
    assert (record.logger, record.service) == ("backend.routers.tasks", "backend.routers.tasks")
    assert (record.request_id, record.trace_id, record.span_id) == ("req-a1b2c3d4", "trace-x1y2z3", "span-m1n2o3")
    assert metadata(record) == {"user_id": "550e8400-e29b-41d4-a716-446655440000"}


def test_a_line_of_pino_is_read() -> None:
    record = from_json(PINO.encode(), NOW)
    assert clock.iso(record.timestamp) == "2024-01-16T10:30:00.000000Z"
    assert (record.message, record.request_id) == ("Login successful", "req-abc-xyz")
    assert metadata(record) == {"userId": "user-123", "email": "user@example.com", "duration_ms": 45}


def test_context_and_error_stay_nested_and_the_request_id_is_lifted_out() -> None:
    record = from_json(CONTEXT_ERROR.encode(), NOW)
    assert (record.service, record.level, record.request_id) == ("api", Level.ERROR, "r-3")
    assert metadata(record)["context"]["organizationId"] == "o-2"
    assert metadata(record)["error"]["stack"].startswith("TypeError: x\n")
    assert metadata(record)["endpoint"] == "/api/integrations/unified-analytics"


@pytest.mark.parametrize("sample", [SOURCE_TITLE_CORRELATION, LOGGER_TRACE_SPAN, PINO, CONTEXT_ERROR])
def test_flat_fields_and_one_json_field_give_the_same_record(sample: str) -> None:
    fields = json.loads(sample)
    flat = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    one, other = from_json(sample.encode(), NOW), from_flat(flat, NOW)
    assert metadata(one).keys() == metadata(other).keys()
    if "duration_ms" not in fields:  # in a flat entry every value is text, a number as well
        assert one == other


# --- Levels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("TRACE", Level.TRACE), ("verbose", Level.TRACE), ("debug", Level.DEBUG), ("DBG", Level.DEBUG),
        ("Info", Level.INFO), ("Information", Level.INFO), ("notice", Level.INFO), ("warn", Level.WARN),
        ("WARNING", Level.WARN), ("error", Level.ERROR), ("ERR", Level.ERROR), ("severe", Level.ERROR),
        ("fatal", Level.FATAL), ("critical", Level.FATAL), ("CRIT", Level.FATAL), ("emerg", Level.FATAL),
        ("panic", Level.FATAL), (" E ", Level.ERROR), ("w", Level.WARN), ("F", Level.FATAL),
        (10, Level.TRACE), (20, Level.DEBUG), (30, Level.INFO), (40, Level.WARN), (50, Level.ERROR), (60, Level.FATAL),
        (35, Level.INFO), ("30", Level.INFO),
        (0, Level.FATAL), (1, Level.FATAL), (2, Level.FATAL), (3, Level.ERROR), (4, Level.WARN), (5, Level.INFO),
        (6, Level.INFO), (7, Level.DEBUG),
    ],
)  # fmt: skip
def test_levels_are_known_by_their_synonyms_and_numbers(value: object, level: Level) -> None:
    assert parse_level(value) is level


@pytest.mark.parametrize("value", ["banana", "", -1, 8, 9, 1_000, True, None, [], float("nan")])
def test_what_is_no_level_is_none(value: object) -> None:
    assert parse_level(value) is None


def test_an_unknown_level_is_info_and_kept_as_it_came() -> None:
    record = read({"level": "banana", "message": "x"})
    assert record.level is Level.INFO
    assert metadata(record) == {"level": "banana"}


# --- Times ---------------------------------------------------------------------------------------------------------

HALF_PAST = 1_705_314_645_123_456  # 2024-01-15T10:30:45.123456Z


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("2024-01-15T10:30:45.123456Z", HALF_PAST),
        ("2024-01-15T10:30:45.123456789Z", HALF_PAST),
        ("2024-01-15 10:30:45.123456", HALF_PAST),
        ("2024-01-15T12:30:45.123456+02:00", HALF_PAST),
        ("2024-01-15T10:30:45,123456Z", HALF_PAST),
        ("2024-01-15T10:30:45Z", HALF_PAST - 123_456),
        ("2024-01-15", 1_705_276_800_000_000),
        (1_705_314_645, HALF_PAST - 123_456),
        (1_705_314_645.123456, HALF_PAST),
        (1_705_314_645_123, HALF_PAST - 456),
        (1_705_314_645_123_456, HALF_PAST),
        (1_705_314_645_123_456_789, HALF_PAST),
        ("1705314645123", HALF_PAST - 456),
        ("1705314645.123456", HALF_PAST),
        ("1705314645123456789", HALF_PAST),
    ],
)
def test_timestamps_are_read_in_every_usual_form(value: object, micros: int) -> None:
    assert parse_timestamp(value) == micros


@pytest.mark.parametrize("value", ["yesterday", "", "12:30", [], {}, True, None, "2024-13-01T00:00:00Z", "1e999"])
def test_what_is_no_timestamp_is_refused_with_what_was_expected(value: object) -> None:
    with pytest.raises(RecordError, match=r"timestamp: expected ISO 8601 .* got"):
        parse_timestamp(value)


def test_a_line_without_a_timestamp_gets_the_receive_time() -> None:
    assert read({"message": "x"}).timestamp == NOW
    assert read({"message": "x", "timestamp": None}).timestamp == NOW


@pytest.mark.parametrize("unset", ["0001-01-01T00:00:00Z", 0, "2099-01-01T00:00:00Z"])
def test_an_unset_or_far_clock_gives_the_receive_time_and_stays_readable(unset: object) -> None:
    record = read({"message": "x", "timestamp": unset})
    assert record.timestamp == NOW
    assert metadata(record) == {"timestamp": unset}


# --- Names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("@timestamp", "timestamp"), ("ts", "timestamp"), ("Severity", "level"), ("source", "service"),
        ("service.name", "service"), ("loggerName", "logger"), ("msg", "message"), ("event", "message"),
        ("correlationId", "request_id"), ("X-Request-ID", "request_id"), ("requestId", "request_id"),
        ("traceId", "trace_id"), ("SpanID", "span_id"), ("userId", None), ("context", None),
    ],
)  # fmt: skip
def test_names_are_known_in_any_case_and_with_any_joint(name: str, field: str | None) -> None:
    assert canonical_field(name) == field


def test_a_fields_own_name_wins_over_an_alias_and_nothing_is_lost() -> None:
    for fields in ({"event": "e", "message": "m"}, {"message": "m", "event": "e"}):
        record = read(fields)
        assert record.message == "m"
        assert metadata(record) == {"event": "e"}


def test_an_installation_adds_names_of_its_own() -> None:
    try:
        use_aliases({"x-korrelation": "request_id"})
        assert read({"message": "x", "X-Korrelation": "k-1"}).request_id == "k-1"
    finally:
        use_aliases({})


def test_an_alias_for_no_field_is_refused() -> None:
    with pytest.raises(ValueError, match="'user' is no field of a record"):
        alias_table({"uid": "user"})


# --- Metadata ------------------------------------------------------------------------------------------------------


def test_metadata_keeps_its_numbers_to_the_digit_and_loses_only_white_space() -> None:
    record = from_json(b'{"message": "x", "metadata": {"big": 12345678901234567890123, "f": 1.0,  "e": 1e5}}', NOW)
    assert record.metadata == b'{"big":12345678901234567890123,"f":1.0,"e":1e5}'


def test_white_space_in_values_stays() -> None:
    spaced = b'{"message": "x", "metadata": {"agent": "a : b, { c }"}}'
    assert from_json(spaced, NOW).metadata == b'{"agent":"a : b, { c }"}'


def test_further_fields_join_the_metadata_and_a_taken_key_is_numbered() -> None:
    record = read({"message": "x", "metadata": {"userId": 1}, "userId": 2, "region": "eu"})
    assert metadata(record) == {"userId": 1, "userId_2": 2, "region": "eu"}


def test_metadata_that_was_encoded_twice_is_an_object_again() -> None:
    assert metadata(read({"message": "x", "metadata": '{"a": 1}'})) == {"a": 1}
    assert metadata(read({"message": "x", "metadata": "just text"})) == {"metadata": "just text"}
    assert metadata(read({"message": "x", "metadata": [1]})) == {"metadata": [1]}


def test_ids_are_lifted_out_of_the_metadata() -> None:
    record = read({"message": "x", "metadata": {"correlationId": "c-1", "traceId": "t-1"}})
    assert (record.request_id, record.trace_id) == ("c-1", "t-1")


def test_a_message_that_is_no_text_is_its_json() -> None:
    assert read({"message": {"a": [1, 2]}}).message == '{"a": [1, 2]}'
    assert read({"message": 42}).message == "42"


def test_an_id_that_is_no_id_stays_in_the_metadata() -> None:
    record = read({"message": "x", "request_id": {"a": 1}, "trace_id": "t" * 300})
    assert (record.request_id, record.trace_id) == ("", "")
    assert metadata(record) == {"request_id": {"a": 1}, "trace_id": "t" * 300}


# --- Hostile and broken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", "expected JSON, got ''"),
        (b"hello", "expected JSON, got 'hello'"),
        (b'{"a": ', "expected JSON"),
        (b"[1]", r"expected a JSON object, got '\[1\]'"),
        (b'"text"', "expected a JSON object"),
        (b"{}", "expected an object with at least a message"),
        (b'{"message": "x", "timestamp": "soon"}', "timestamp: expected ISO 8601"),
        (b'{"message":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "expected"),
        (b'{"message": "' + b"x" * (1 << 20) + b'"}', "at most 1,048,576 bytes"),
    ],
)
def test_what_is_no_record_is_refused_in_one_sentence(line: bytes, error: str) -> None:
    with pytest.raises(RecordError, match=error) as caught:
        from_json(line, NOW)
    assert len(str(caught.value)) < 300


def test_what_serializers_write_although_it_is_no_json_is_read() -> None:
    record = from_json(rb'{"message": "half \ud83d a pair", "ratio": NaN, "limit": Infinity}', NOW)
    assert record.message == "half ? a pair"
    assert metadata(record) == {"ratio": "NaN", "limit": "Infinity"}


def test_any_unicode_comes_through() -> None:
    text = "naïve ☃ 🚀 \u202e rtl \x00 nul \x1b[31m"
    assert read({"message": text}).message == text


@pytest.mark.parametrize("name", ["level", "time", "service", "message", "request_id", "x", "metadata"])
def test_a_number_beyond_all_floats_costs_no_line(name: str) -> None:
    line = b'{"msg":"said","%s":1e999}' % name.encode()
    if name == "time":
        with pytest.raises(RecordError, match="expected ISO 8601"):
            from_json(line, NOW)
        return
    record = from_json(line, NOW)
    assert "1e999" in f"{record.metadata!r} {record.service} {record.message} {record.request_id}"


def test_metadata_with_a_number_beyond_all_floats_is_searched_and_shown() -> None:
    record = from_json(b'{"msg":"said","x":1e999,"y":{"z":4}}', NOW)
    assert query.parse("metadata.y.z:4").matches(record)
    assert details_of(record).tree
