"""Bodies for the ways in over HTTP, made with other code than that which reads them."""

from __future__ import annotations

from typing import Any

import cramjam
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from logs.sources.ways import Body, Way

NOW = 1_790_000_000_000_000  # µs
LONGEST = 1 << 20
JSON, PROTOBUF = "application/json", "application/x-protobuf"


def body(data: bytes, content_type: str, longest: int = LONGEST) -> Body:
    return Body(data, content_type, NOW, longest)


def only(way: Way, data: bytes, content_type: str) -> Any:
    """The one record of a body."""
    (record,) = way.parse(body(data, content_type)).records
    return record


# --- Protobuf by hand: the wire format, for messages that nobody else makes ------------------------------------------


def varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    return varint(number << 3 | 2) + varint(len(value)) + value


def loki_stream(labels: bytes, *entries: tuple[int, bytes, dict[bytes, bytes]]) -> bytes:
    """Entries are (ns, line, structured metadata)."""
    packed = b""
    for ns, line, metadata in entries:
        time = field(1, ns // 1_000_000_000) + field(2, ns % 1_000_000_000)
        pairs = b"".join(field(3, field(1, name) + field(2, value)) for name, value in metadata.items())
        packed += field(2, field(1, time) + field(2, line) + pairs)
    return field(1, labels) + packed


def loki_push(*streams: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(b"".join(field(1, stream) for stream in streams)))


# --- OTLP ------------------------------------------------------------------------------------------------------------


def attribute(key: str, **value: Any) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(**value))


def otlp(*, resource: list[KeyValue] | None = None, scope: str = "", **record: Any) -> bytes:
    """A request with one record."""
    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    of_resource.resource.attributes.extend(resource or [])
    of_scope = of_resource.scope_logs.add()
    of_scope.scope.name = scope
    of_scope.log_records.add(**record)
    data: bytes = request.SerializeToString()
    return data
