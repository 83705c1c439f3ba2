"""The way in of OpenTelemetry: `POST /v1/logs`, OTLP/HTTP as protobuf or JSON.

https://opentelemetry.io/docs/specs/otlp/#otlphttp, and the logs data model. JSON here is not protobuf's own: ids are
hexadecimal. What both encodings have in common is named as in the .proto, so one function reads either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from logs.lines import Lines
from logs.plain import read
from logs.records import (
    ID_FIELDS,
    ID_MAX,
    LINE_MAX,
    NAME_MAX,
    UNKNOWN_SERVICE,
    Level,
    LogRecord,
    RecordError,
    canonical_field,
    from_fields,
    is_plausible,
    parse_level,
    with_rest,
)
from logs.sources.ways import Answer, Body, Parsed, Refused, Way, WrittenOut, leniently

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"
# What names the service: the first that is there.
SERVICE_KEYS: Final = ("service.name", "k8s.deployment.name", "k8s.container.name", "container.name")
# What names the SDK, the same in each line of each service: a search for "python" shall not find all of them.
NOT_KEPT: Final = "telemetry.sdk."
# google.rpc.Code of an HTTP status; any other of ours means INVALID_ARGUMENT.
_CODES: Final = {401: 16, 403: 7, 429: 8, 503: 14}
_INVALID_ARGUMENT: Final = 3


class Otlp(Way):
    name = "otlp"
    content_types = frozenset({PROTOBUF, JSON})
    expected = f"{PROTOBUF} or {JSON}"

    def parse(self, body: Body) -> Parsed:
        encoding = _json_encoding if body.content_type == JSON else _protobuf
        try:
            return _Reading(body, encoding).all(encoding.resource_logs(body.data))
        except RecursionError:
            raise Refused(400, "expected values that are not nested so deep") from None

    def taken(self, parsed: Parsed, content_type: str) -> Answer:
        rejected, error = len(parsed.rejected), parsed.rejected[0][1] if parsed.rejected else ""
        if content_type == JSON:
            partial = {"rejectedLogRecords": str(rejected), "errorMessage": error}
            return Answer(200, JSON, msgspec.json.encode({"partialSuccess": partial} if rejected else {}))
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

        response = ExportLogsServiceResponse()
        if rejected:
            response.partial_success.rejected_log_records = rejected
            response.partial_success.error_message = error
        return Answer(200, PROTOBUF, response.SerializeToString())

    def refused(self, refused: Refused, content_type: str) -> Answer:
        code = _CODES.get(refused.status, _INVALID_ARGUMENT)
        if content_type == PROTOBUF:
            status = _status()(code=code, message=refused.error)
            return Answer(refused.status, PROTOBUF, status.SerializeToString())
        return Answer(refused.status, JSON, msgspec.json.encode({"code": code, "message": refused.error}))


@cache
def _status() -> Any:
    from logs.sources import messages

    fields = [("int32", "code", 1), ("string", "message", 2)]  # google/rpc/status.proto
    return messages.classes("pharos.rpc", {"Status": fields})["Status"]


# --- Lines as columns ----------------------------------------------------------------------------------------------


class Encoding(NamedTuple):
    """How one of the two encodings is read. What the functions give has its fields under the names of the .proto."""

    resource_logs: Callable[[bytes], Sequence[Any]]  # of a body; raises Refused
    of_resource: Callable[[Any], tuple[Any, Sequence[Any]]]  # its attributes and scope_logs
    of_scope: Callable[[Any], tuple[str | None, Sequence[Any]]]  # its name and log_records
    record: Callable[[Any], Any]  # raises RecordError
    value: Callable[[Any], object]  # of an AnyValue, as JSON has it
    id: Callable[[Any], str]  # hexadecimal; "" for none

    def attributes(self, pairs: Any) -> dict[str, object]:
        value = self.value
        return {pair.key: value(pair.value) for pair in pairs or ()}


class _Reading:
    """The lines of one body, as they become known."""

    def __init__(self, body: Body, encoding: Encoding) -> None:
        self.received, self.encoding = body.received, encoding
        self.total = WrittenOut(body.longest)
        self.rows: list[tuple[object, ...]] = []
        self.rejected: list[tuple[int, str]] = []

    def all(self, resource_logs: Sequence[Any]) -> Parsed:
        encoding, number = self.encoding, 0
        self.total.add(len(resource_logs), 0)
        for of_resource in resource_logs:
            attributes, scope_logs = encoding.of_resource(of_resource)
            origin = _Origin.of(encoding.attributes(attributes))
            self.total.add(len(scope_logs), 0)
            for of_scope in scope_logs:
                name, found = encoding.of_scope(of_scope)
                scope = (name or "").strip()[:NAME_MAX]
                self.total.add(len(found), len(origin.encoded))
                for raw in found:
                    number += 1
                    try:
                        self.rows.append((*self.row(encoding.record(raw), origin, scope), number - 1))
                    except RecordError as error:
                        self.rejected.append((number, str(error)))
        return Parsed(Lines(*map(list, zip(*self.rows, strict=True))), self.rejected)

    def row(self, record: Any, origin: _Origin, scope: str) -> tuple[object, ...]:
        """The fields of a record in their order, without the sequence. Raises RecordError."""
        attributes = self.encoding.attributes(record.attributes)
        body = self.encoding.value(record.body)
        timestamp = self.timestamp(record, attributes)
        ids = {"request_id": "", "trace_id": self.encoding.id(record.trace_id),
               "span_id": self.encoding.id(record.span_id)}  # fmt: skip
        for key, value in attributes.items():
            if (
                (field := _id_field(key))
                and not ids[field]
                and isinstance(value, str | int)
                and len(str(value)) <= ID_MAX
            ):
                ids[field] = str(value)
        level = _level(record, attributes)
        title, message, logger, inner = record.event_name or "", "", scope, b"{}"
        if (level is None and isinstance(body, str)) or isinstance(body, dict):
            line = _inner(body, timestamp, self.received)
            level = line.level if level is None else level
            title, message, logger, inner = title or line.title, line.message, scope or line.logger, line.metadata
            ids = {field: known or getattr(line, field) for field, known in ids.items()}
        elif body is not None:
            message = body if isinstance(body, str) else _json(body)
        metadata = origin.metadata(attributes, inner)
        size = len(message) + len(metadata)
        if size > LINE_MAX // 4 and (size := len(message.encode()) + len(metadata)) > LINE_MAX:
            raise RecordError(f"expected a line of at most {LINE_MAX:,} bytes, got {size:,}")
        service = origin.service or logger or UNKNOWN_SERVICE
        level = Level.INFO if level is None else level
        return timestamp, level, service, message, title, logger, *ids.values(), metadata

    def timestamp(self, record: Any, attributes: dict[str, object]) -> int:
        nanos = _nanos(record.time_unix_nano) or _nanos(record.observed_time_unix_nano)
        if not nanos:
            return self.received
        if is_plausible(nanos // 1_000, self.received):
            return nanos // 1_000
        attributes["timestamp"] = nanos
        return self.received


@lru_cache(maxsize=1_024)
def _id_field(key: str) -> str:
    """The id of a record that an attribute is; "" if it is none."""
    return field if (field := canonical_field(key) or "") in ID_FIELDS else ""


class _Origin(NamedTuple):
    """What a resource says of each of its lines."""

    service: str
    shared: dict[str, object]
    encoded: bytes  # `shared` as members of an object

    @classmethod
    def of(cls, resource: Mapping[str, object]) -> _Origin:
        named = next((key for key in SERVICE_KEYS if isinstance(resource.get(key), str) and resource[key]), "")
        service = str(resource.get(named, "")).strip()[:NAME_MAX]
        shared = {
            key: value
            for key, value in resource.items()
            if not key.startswith(NOT_KEPT) and not (key == "service.name" and value == service)
        }
        return cls(service, shared, _encode(shared)[1:-1])

    def metadata(self, attributes: Mapping[str, object], inner: bytes) -> bytes:
        """The attributes, then those of the resource that they don't have, behind what the body itself holds."""
        if inner == b"{}" and self.shared.keys().isdisjoint(attributes):
            own = _encode(attributes)[1:-1]
            return b"{%b,%b}" % (own, self.encoded) if own and self.encoded else b"{%b%b}" % (own, self.encoded)
        rest = {**attributes, **{key: value for key, value in self.shared.items() if key not in attributes}}
        return with_rest(inner, {key: _encode(value) for key, value in rest.items()})


def _inner(body: str | dict[str, object], timestamp: int, received: int) -> LogRecord:
    """A line of text whose level nobody has read yet, or a body with fields of its own."""
    if isinstance(body, str):
        return read(body, received, timestamp=timestamp)
    try:
        record = from_fields({key: Raw(_encode(value)) for key, value in body.items()}, timestamp)
    except RecordError:
        record = None
    if record is None or not (record.message or record.title):
        return LogRecord(timestamp, Level.INFO, "", _json(body))
    return record


def _level(record: Any, attributes: dict[str, object]) -> Level | None:
    number = record.severity_number or 0
    if isinstance(number, str):  # protobuf's own JSON: SEVERITY_NUMBER_WARN2
        return parse_level(number.removeprefix("SEVERITY_NUMBER_").rstrip("234"))
    if 1 <= number <= 24:
        return Level((number - 1) // 4)
    text = record.severity_text
    if not text:
        return None
    level = parse_level(text)
    if level is None:
        attributes["severity_text"] = text
        return Level.INFO
    return level


def _nanos(value: int | str | None) -> int:
    if isinstance(value, str):
        if not value.isdecimal() or len(value) > 20:
            raise RecordError(f"timestamp: expected nanoseconds since 1970, got {value[:60]!r}")
        return int(value)
    return value or 0


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def _json(value: object) -> str:
    return _encode(value).decode()


# --- Protobuf ------------------------------------------------------------------------------------------------------


# A body is taken apart level by level, and one record at a time: its messages as Python has them take ten times the
# bytes that they came in, and sixty times if they are empty. So a record that can't be read is also alone in that.


@cache
def _levels() -> dict[str, Any]:
    from logs.sources import messages

    return messages.classes(
        "pharos.otlp",
        {
            "ExportLogsServiceRequest": [("bytes[]", "resource_logs", 1)],
            "ResourceLogs": [("bytes", "resource", 1), ("bytes[]", "scope_logs", 2)],
            "ScopeLogs": [("bytes", "scope", 1), ("bytes[]", "log_records", 2)],
        },
    )


def _message(kind: Any, data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise Refused(400, f"expected an ExportLogsServiceRequest as protobuf: {error}") from None


def _resource_logs_of_message(data: bytes) -> Sequence[bytes]:
    found: Sequence[bytes] = _message(_levels()["ExportLogsServiceRequest"], data).resource_logs
    return found


def _of_resource_message(data: bytes) -> tuple[Any, Sequence[bytes]]:
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    found = _message(_levels()["ResourceLogs"], data)
    return _message(Resource, found.resource).attributes, found.scope_logs


def _of_scope_message(data: bytes) -> tuple[str, Sequence[bytes]]:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

    found = _message(_levels()["ScopeLogs"], data)
    return _message(InstrumentationScope, found.scope).name, found.log_records


def _record_of_message(data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    if len(data) > 2 * LINE_MAX:  # as JSON it may be somewhat shorter
        raise RecordError(f"expected a line of at most {LINE_MAX:,} bytes, got {len(data):,}")
    try:
        return _log_record().FromString(data)
    except DecodeError as error:
        raise RecordError(f"expected a LogRecord as protobuf: {error}") from None


@cache
def _log_record() -> Any:
    from opentelemetry.proto.logs.v1 import logs_pb2

    return logs_pb2.LogRecord


def _value_of_message(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(value, kind)
    if kind == "double_value":
        return _number(found)
    if kind == "array_value":
        return [_value_of_message(item) for item in found.values]
    if kind == "kvlist_value":
        return _protobuf.attributes(found.values)
    return found


def _number(value: float) -> float | str:
    """JSON has no NaN and no Infinity: as text they lose nothing."""
    return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]


def _id_of_bytes(value: bytes) -> str:
    return value.hex() if any(value) and len(value) * 2 <= ID_MAX else ""


_protobuf: Final = Encoding(
    _resource_logs_of_message,
    _of_resource_message,
    _of_scope_message,
    _record_of_message,
    _value_of_message,
    _id_of_bytes,
)


# --- JSON ----------------------------------------------------------------------------------------------------------


class _Value(msgspec.Struct, rename="camel", gc=False):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _Values | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Values(msgspec.Struct, gc=False):
    values: list[_Value] | None = None


class _Pair(msgspec.Struct, gc=False):
    key: str = ""
    value: _Value | None = None


class _Pairs(msgspec.Struct, gc=False):
    values: list[_Pair] | None = None


class _Record(msgspec.Struct, rename="camel", gc=False):
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_Pair] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None


class _ScopeLogs(msgspec.Struct, rename="camel", gc=False):
    scope: _Scope | None = None
    log_records: list[_Record] | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Pair] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel", gc=False):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Request(msgspec.Struct, rename="camel", gc=False):
    resource_logs: list[_ResourceLogs] | None = None


_decode = msgspec.json.Decoder(_Request).decode
# Protobuf's own JSON may have the names of the .proto.
_SNAKE: Final = {
    field: msgspec.structs.fields(struct)[place].encode_name
    for struct in (_Value, _Record, _ScopeLogs, _ResourceLogs, _Request)
    for place, field in enumerate(struct.__struct_fields__)
    if "_" in field
}


def _resource_logs_of_json(data: bytes) -> Sequence[_ResourceLogs]:
    try:
        if b'"resource_logs"' in data:
            data = _encode(_in_camel(msgspec.json.decode(data)))
        return leniently(_decode, data).resource_logs or ()
    except (msgspec.DecodeError, RecordError, RecursionError) as error:
        raise Refused(400, f"expected an ExportLogsServiceRequest as JSON: {error}") from None


def _of_resource_struct(found: _ResourceLogs) -> tuple[Any, Sequence[_ScopeLogs]]:
    return found.resource and found.resource.attributes, found.scope_logs or ()


def _of_scope_struct(found: _ScopeLogs) -> tuple[str | None, Sequence[_Record]]:
    return found.scope.name if found.scope else None, found.log_records or ()


def _itself(record: _Record) -> _Record:
    return record


def _in_camel(value: Any) -> Any:
    """In OTLP the keys of attributes are values, so this changes nobody's own names."""
    if isinstance(value, dict):
        return {_SNAKE.get(name, name): _in_camel(inner) for name, inner in value.items()}
    return [_in_camel(item) for item in value] if isinstance(value, list) else value


def _value_of_struct(value: _Value | None) -> object:
    if value is None:
        return None
    if (text := value.string_value) is not None:
        return text
    if (number := value.int_value) is not None:
        return _integer(number)
    if value.bool_value is not None:
        return value.bool_value
    if (real := value.double_value) is not None:
        return real if isinstance(real, str) else _number(real)
    if value.kvlist_value is not None:
        return _json_encoding.attributes(value.kvlist_value.values)
    if value.array_value is not None:
        return [_value_of_struct(item) for item in value.array_value.values or ()]
    return value.bytes_value


def _integer(value: int | str) -> int | str:
    if isinstance(value, str):
        if not value.removeprefix("-").isdecimal() or len(value) > 20:
            return value
        value = int(value)
    return value if -(1 << 63) <= value < 1 << 64 else str(value)


def _id_of_text(value: str | None) -> str:
    return value.lower() if value and value.strip("0") and len(value) <= ID_MAX else ""


_json_encoding: Final = Encoding(
    _resource_logs_of_json, _of_resource_struct, _of_scope_struct, _itself, _value_of_struct, _id_of_text
)
