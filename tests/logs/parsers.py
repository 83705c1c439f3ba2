"""Every parser of what strangers send, with what it is meant for. `tests/logs/fuzz.py` damages that."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from logs import edge, multiline, plain, query, stream
from logs.redaction import Redactor
from logs.sources import docker_lines, files_lines, json_lines, loki, otlp, syslog_lines, ways
from logs.store import codec
from tests.logs import ways as bodies

RECEIVED: Final = 1_790_000_000_000_000
LONGEST: Final = 1 << 20
JSON, PROTOBUF = "application/json", "application/x-protobuf"

LINE: Final = (
    b'{"timestamp":"2026-11-21T10:30:45.123Z","level":"ERROR","source":"OrderService","title":"Payment failed",'
    b'"message":"Card was declined","correlationId":"c-81f3","metadata":{"orderId":1234,"stackTrace":"at Pay()\\n"}}'
)
PINO: Final = b'{"level":30,"time":1795257045123,"msg":"Login","userId":"u-7","duration_ms":4.5e1,"ok":true,"x":null}'
PRETTY: Final = json.dumps(json.loads(LINE), indent=1).encode()
TEXTS: Final = (
    b'time="2026-11-21T10:30:45Z" level=info msg="it is" key=value',
    b"2026-11-21 10:30:45,123 - app.api - ERROR - it failed",
    b"I1121 10:30:45.123456       1 file.go:12] said",
    b'10.0.0.1 - - [21/Nov/2026:10:30:45 +0100] "GET / HTTP/1.1" 500 12 "-" "curl"',
    b"1:M 21 Nov 2026 10:30:45.123 * Ready",
    b"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nValueError: no",
    b"panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1",
    LINE,
)  # fmt: skip
SECRETS: Final = (
    b'{"msg": "login password=hunter2 ok", "deep": {"a": [{"dbPassword": "x"}]}, "Authorization": "Bearer abc.def"}',
    b"postgres://bob:secret@db/x?token=abc&a=1 card 4111 1111 1111 1111, eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmVk",
    b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
)
SYSLOG: Final = (
    b'<165>1 2026-11-21T10:30:45.003Z host app 123 ID47 [a@1 x="1" y="\\]\\"\\\\"][b z=""] \xef\xbb\xbfsaid',
    b"<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed",
    b"<13>shop: no time\0",
)
CRI: Final = b"2026-11-21T10:30:45.123456789Z stdout P the first\n2026-11-21T10:30:45.2Z stdout F and the last\n"
DOCKER_FILE: Final = b'{"log":"said\\n","stream":"stderr","time":"2026-11-21T10:30:45.123456789Z"}\n'
FRAMES: Final = b"".join(
    bytes([kind, 0, 0, 0]) + len(text).to_bytes(4, "big") + text
    for kind, text in ((1, b"2026-11-21T10:30:45.123456789Z said\n"), (2, b"2026-11-21T10:30:46Z half"))
)
LABELS: Final = b'{app="shop", level="warn"}'
LOKI: Final = json.dumps(
    {"streams": [{"stream": {"app": "x"}, "values": [["1795257045123456789", "said", {"trace_id": "1"}]]}]}
).encode()
OTLP: Final = json.dumps(
    {"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "x"}}]},
     "scopeLogs": [{"scope": {"name": "s"}, "logRecords": [{"timeUnixNano": "1795257045123456789", "severityNumber": 9,
     "body": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}},
     "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}]}]}]}
).encode()  # fmt: skip


class Parser(NamedTuple):
    parse: Callable[[bytes], object]
    seeds: Sequence[bytes]  # what it is meant for; inputs are these with damages
    refuses: tuple[type[Exception], ...] = ()  # how it says that it can't read something


def unpacked(encoding: str) -> Callable[[bytes], object]:
    return lambda data: edge._unpacked(data, encoding, LONGEST)


def body(way: ways.Way, content_type: str) -> Callable[[bytes], object]:
    return lambda data: stream.chunks(way.parse(ways.Body(data, content_type, RECEIVED, LONGEST)).records)


def entry(data: bytes) -> object:
    names, _, values = data.partition(b"\n")
    pairs = zip(names.split(b","), values.split(b","), strict=False)
    return stream.incoming("pharos:logs", "1790000000000-0", dict(pairs))


def text(data: bytes) -> object:
    """A line of text, and the lines of a program one by one."""
    said = data.decode("utf-8", "replace")
    grouper: multiline.Grouper[int] = multiline.Grouper()
    groups = [group for place, line in enumerate(said.split("\n")) for group in grouper.feed(line, RECEIVED, place)]
    return [plain.read(group.text, RECEIVED) for group in [*groups, *grouper.flush()]], plain.read(said, RECEIVED)


def redacted(data: bytes) -> object:
    """Valid JSON stays valid, and what was redacted has nothing more to redact."""
    redactor = Redactor()
    once = redactor.text(data.decode("utf-8", "replace"), Counter())
    assert redactor.text(once, Counter()) == once
    try:
        json.loads(data.decode())
    except (ValueError, RecursionError):
        return once
    return json.loads(redactor.json(data, Counter()))


def syslog(data: bytes) -> object:
    frames = syslog_lines.Frames()
    return [
        syslog_lines.record(syslog_lines.parse(message, RECEIVED), RECEIVED)
        for message in [data, *frames.feed(data[:7]), *frames.feed(data[7:]), *frames.end()]
    ]


def file(data: bytes) -> object:
    assembler = files_lines.Assembler("/var/log/pods/a_b_c/d/0.log")
    found = [each for place, line in enumerate(data.split(b"\n")) for each in assembler.feed(line, place, RECEIVED)]
    return [*found, *assembler.flush()]


def container(reader: Callable[[], docker_lines.Reader]) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        log = reader()
        return [*log.feed(data[:9]), *log.feed(data[9:]), *log.finish()]

    return read


PARSERS: Final = {
    "json": Parser(
        body(json_lines.JsonLines(), JSON),
        (LINE, PINO, LINE + b"\n" + PINO, b"[" + LINE + b"," + PINO + b"]", PRETTY),
        (ways.Refused,),
    ),
    "loki": Parser(body(loki.Loki(), JSON), (LOKI,), (ways.Refused,)),
    "loki-protobuf": Parser(
        body(loki.Loki(), PROTOBUF),
        (bodies.loki_push(bodies.loki_stream(LABELS, (1_795_257_045_123_456_789, LINE, {b"a": b"b"}))),),
        (ways.Refused,),
    ),
    "otlp": Parser(body(otlp.Otlp(), JSON), (OTLP,), (ways.Refused,)),
    "otlp-protobuf": Parser(
        body(otlp.Otlp(), PROTOBUF),
        (bodies.otlp(resource=[bodies.attribute("service.name", string_value="x")], time_unix_nano=10**18,
                     attributes=[bodies.attribute("n", int_value=1)], trace_id=b"1" * 16),),
        (ways.Refused,),
    ),
    "query": Parser(
        lambda data: query.parse(data.decode("utf-8", "replace")),
        (b'level:error service:(api OR worker) "timed out" -healthz', b"metadata.a:42 duration_ms:>500 exists:a.b",
         b'http://10.0.0.1:8080/a?b=c {"a": [1]} service:api* NOT (x AND y)'),
        (query.QueryError,),
    ),
    "entry": Parser(
        entry,
        (b"entry\n" + LINE, b"level,service,message,n\nwarn,shop,hello,1", b"chunk,seal\nabc,def"),
        (stream.EntryError,),
    ),
    "packed": Parser(
        lambda data: stream.incoming("pharos:logs", "1790000000000-0", {b"packed": data}),
        (gzip.compress(LINE * 9), codec.compress(LINE * 9), gzip.compress(b"\0" * 5_000_000)),
        (stream.EntryError,),
    ),
    "gzip": Parser(unpacked("gzip"), (gzip.compress(LINE * 9), gzip.compress(b"\0" * 5_000_000)), (ways.Refused,)),
    "deflate": Parser(unpacked("deflate"), (zlib.compress(LINE), zlib.compress(LINE)[2:-4]), (ways.Refused,)),
    "zstd": Parser(unpacked("zstd"), (codec.compress(LINE), codec.compress(b"\0" * 5_000_000)), (ways.Refused,)),
    "text": Parser(text, TEXTS),
    "redaction": Parser(redacted, SECRETS),
    "syslog": Parser(syslog, (*SYSLOG, *(b"%d %s" % (len(each), each) for each in SYSLOG), b"\n".join(SYSLOG))),
    "file": Parser(file, (CRI, DOCKER_FILE, *TEXTS)),
    "container": Parser(container(docker_lines.Multiplexed), (FRAMES,), (docker_lines.LogError,)),
    "terminal": Parser(
        container(docker_lines.Terminal), (b"2026-11-21T10:30:45.123456789Z said\r\n",), (docker_lines.LogError,)
    ),
}  # fmt: skip
