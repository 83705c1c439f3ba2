"""What each way in over HTTP costs the edge: µs of CPU for a line, from the unpacked body to the sealed chunk.

    python -m benchmarks.ways --bodies 30

Bodies of 1,000 lines of the corpus, as each protocol's clients send them: NDJSON; Loki's streams by service and level,
the message as text, ids and metadata as structured metadata; OTLP by service, the rest as attributes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from benchmarks import corpus, report

BODY_LINES: Final = 1_000
NDJSON, JSON, PROTOBUF = "application/x-ndjson", "application/json", "application/x-protobuf"
Line = dict[str, Any]


def grouped(lines: list[Line], *names: str) -> dict[tuple[str, ...], list[Line]]:
    found: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        found.setdefault(tuple(line[name] for name in names), []).append(line)
    return found


def _structured(line: Line) -> dict[str, str]:
    ids = {name: line[name] for name in ("request_id", "trace_id", "span_id")}
    return ids | {name: str(value) for name, value in line["metadata"].items()}


def loki_json(lines: list[Line], *, structured: bool = True) -> bytes:
    streams = [
        {
            "stream": {"service_name": service, "level": level},
            "values": [
                [str(line["ts"] * 1_000), line["message"], *([_structured(line)] if structured else [])] for line in of
            ],
        }
        for (service, level), of in grouped(lines, "service", "level").items()
    ]
    return msgspec.json.encode({"streams": streams})


def loki_lines(lines: list[Line]) -> bytes:
    """As pino-loki sends them: each line is JSON itself."""
    streams = [
        {
            "stream": {"service_name": service, "level": level},
            "values": [[str(line["ts"] * 1_000), msgspec.json.encode(line).decode()] for line in of],
        }
        for (service, level), of in grouped(lines, "service", "level").items()
    ]
    return msgspec.json.encode({"streams": streams})


def loki_protobuf(lines: list[Line]) -> bytes:
    import cramjam

    from logs.sources.loki import _classes

    kinds = _classes()
    push = kinds["PushRequest"]()
    for (service, level), of in grouped(lines, "service", "level").items():
        stream = kinds["Stream"](labels=f'{{service_name="{service}",level="{level}"}}'.encode())
        for line in of:
            entry = kinds["Entry"](line=line["message"].encode())
            entry.timestamp.seconds, micros = divmod(line["ts"], 1_000_000)
            entry.timestamp.nanos = micros * 1_000
            for name, value in _structured(line).items():
                entry.structured_metadata.add(name=name.encode(), value=value.encode())
            stream.entries.append(entry.SerializeToString())
        push.streams.append(stream.SerializeToString())
    return bytes(cramjam.snappy.compress_raw(push.SerializeToString()))


def otlp(lines: list[Line]) -> Any:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    for (service,), of in grouped(lines, "service").items():
        of_resource = request.resource_logs.add()
        for name, value in {"service.name": service, "telemetry.sdk.language": "python", "host.name": "web-1"}.items():
            of_resource.resource.attributes.add(key=name).value.string_value = value
        of_scope = of_resource.scope_logs.add()
        of_scope.scope.name = f"{service}.views"
        for line in of:
            record = of_scope.log_records.add(
                time_unix_nano=line["ts"] * 1_000,
                severity_number={"debug": 5, "info": 9, "warning": 13, "error": 17, "fatal": 21}[line["level"]],
                severity_text=line["level"],
                trace_id=bytes.fromhex(line["trace_id"]),
                span_id=bytes.fromhex(line["span_id"]),
            )
            record.body.string_value = line["message"]
            for name, value in (line["metadata"] | {"request_id": line["request_id"]}).items():
                field = "int_value" if isinstance(value, int) else "string_value"
                setattr(record.attributes.add(key=name).value, field, value)
    return request


def otlp_protobuf(lines: list[Line]) -> bytes:
    encoded: bytes = otlp(lines).SerializeToString()
    return encoded


def otlp_json(lines: list[Line]) -> bytes:
    from google.protobuf.json_format import MessageToDict

    request = MessageToDict(otlp(lines))
    records = (
        record
        for of_resource in request["resourceLogs"]
        for of_scope in of_resource["scopeLogs"]
        for record in of_scope["logRecords"]
    )
    for record, line in zip(records, (line for of in grouped(lines, "service").values() for line in of), strict=True):
        record["traceId"], record["spanId"] = line["trace_id"], line["span_id"]
        record["severityNumber"] = {"debug": 5, "info": 9, "warning": 13, "error": 17, "fatal": 21}[line["level"]]
    return msgspec.json.encode(request)


def ndjson(lines: list[Line]) -> bytes:
    return b"\n".join(map(msgspec.json.encode, lines))


WAYS: Final[dict[str, tuple[str, str, Callable[[list[Line]], bytes]]]] = {
    "JSON, an object per line": ("/api/logs", NDJSON, ndjson),
    "Loki JSON, text": ("/loki/api/v1/push", JSON, partial(loki_json, structured=False)),
    "Loki JSON, structured metadata": ("/loki/api/v1/push", JSON, loki_json),
    "Loki JSON, lines of JSON": ("/loki/api/v1/push", JSON, loki_lines),
    "Loki protobuf, structured metadata": ("/loki/api/v1/push", PROTOBUF, loki_protobuf),
    "OTLP protobuf": ("/v1/logs", PROTOBUF, otlp_protobuf),
    "OTLP JSON": ("/v1/logs", JSON, otlp_json),
}


def measure(path: str, content_type: str, bodies: list[bytes]) -> tuple[float, float]:
    """µs of CPU for a line: until it is parsed, and until it is in a sealed chunk."""
    from logs.edge import WAYS as SERVED
    from logs.sources.ways import Body
    from logs.stream import chunks

    way = SERVED[path]
    lines = 0
    parsing = sealing = 0
    way.parse(Body(bodies[0], content_type, corpus.now(), 1 << 25))  # imports, words
    for data in bodies:
        began = time.process_time_ns()
        parsed = way.parse(Body(data, content_type, corpus.now(), 1 << 25))
        read = time.process_time_ns()
        chunks(parsed.records)
        lines += len(parsed.records)
        parsing += read - began
        sealing += time.process_time_ns() - began
    if lines != len(bodies) * BODY_LINES:
        raise SystemExit(f"{path}: {lines:,} lines were read of {len(bodies) * BODY_LINES:,}.")
    return parsing / lines / 1_000, sealing / lines / 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what a line costs the edge, for each way in.")
    parser.add_argument("--bodies", type=int, default=30, help="of 1,000 lines each")
    options = parser.parse_args()
    where = report.machine()
    with TemporaryDirectory() as directory:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "monitor.settings", "PHAROS_DATA_DIR": directory}
        import django

        django.setup()
        bodies = [
            list(map(msgspec.json.decode, body.split(b"\n"))) for body in corpus.bodies(options.bodies * BODY_LINES)
        ]
        rows: list[list[report.Cell]] = []
        for name, (path, content_type, encode) in WAYS.items():
            report.progress(name)
            encoded = [encode(lines) for lines in bodies]
            size = sum(map(len, encoded)) / options.bodies / BODY_LINES
            rows.append([name, *measure(path, content_type, encoded), size])
    print(report.table("Ways in: CPU of the edge", where, ("way in", "parse µs/line", "to a chunk", "B/line"), rows))


if __name__ == "__main__":
    main()
