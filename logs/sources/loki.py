"""The way in of Loki: `POST /loki/api/v1/push`, protobuf packed with snappy, or JSON.

https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs, and Loki's pkg/push/push.proto. A body that
can't be read is refused as a whole, as Loki does. One that can is taken as a whole, so that no sender, told of an
error, sends again what is stored: labels that can't be read are kept as text, a line that is too long is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import cramjam
import msgspec

from logs.lines import Lines
from logs.plain import read
from logs.records import (
    ID_FIELDS,
    ID_MAX,
    LINE_MAX,
    NAME_MAX,
    Level,
    LogRecord,
    RecordError,
    canonical_field,
    is_plausible,
    parse_level,
    parse_timestamp,
)
from logs.sources.ways import Answer, Body, Parsed, Refused, Way, WrittenOut, leniently, too_long

JSON: Final = "application/json"
# Which label names the service: the first that is there, in the order of Loki's own `discover_service_name`.
SERVICE_LABELS: Final = (
    "service_name", "service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container",
    "container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name",
)  # fmt: skip
LEVEL_LABELS: Final = frozenset({"detected_level"})  # beside the names that a level has everywhere
SHOWN_MAX: Final = 200  # characters of what came, in a reason
_NS_DIGITS: Final = 18  # from on which a number of digits can only be nanoseconds


class Entry(NamedTuple):
    timestamp: int  # µs
    text: str
    metadata: dict[str, str]  # Loki's structured metadata


class Loki(Way):
    name = "loki"
    # Without a type, Loki takes a body for protobuf.
    content_types = frozenset({"", "application/x-protobuf", "application/protobuf", JSON})
    expected = "application/x-protobuf or application/json"
    unpacked_by_parse = frozenset({"snappy"})  # some clients name what every protobuf body is anyway

    def parse(self, body: Body) -> Parsed:
        streams = _from_json(body.data) if body.content_type == JSON else _from_protobuf(body.data, body.longest)
        total = WrittenOut(body.longest)
        records: list[LogRecord] = []
        for labels, entries in streams:
            known = Known.of(labels)
            total.add(len(entries), known.size)
            records += [_record(entry, known, body.received) for entry in entries]
        lines = Lines.of(records) if records else Lines()
        lines.sequence = range(len(lines))
        return Parsed(lines, [])

    def taken(self, parsed: Parsed, content_type: str) -> Answer:
        if parsed.rejected:  # by the key; told as Loki tells of lines that are too old: what is good was taken
            return self.refused(Refused(400, f"{len(parsed.rejected)} lines: {parsed.rejected[0][1]}"), content_type)
        return Answer(204)

    def refused(self, refused: Refused, content_type: str) -> Answer:
        return Answer(refused.status, "text/plain; charset=utf-8", f"{refused.error}\n".encode())


# --- Lines as records ----------------------------------------------------------------------------------------------


class Known(msgspec.Struct, frozen=True):
    """What labels say of each line of their stream."""

    service: str
    level: Level | None
    own: dict[str, str]  # logger and ids
    rest: dict[str, str]  # for the metadata

    @classmethod
    def of(cls, labels: Mapping[str, str], services: int = len(SERVICE_LABELS)) -> Known:
        """Of SERVICE_LABELS the first `services` name one."""
        rest = dict(labels)
        own: dict[str, str] = {}
        service, rank, level = "", services, None
        for name, value in labels.items():
            if (role := _role(name)) is None or not value:
                continue
            field, place = role
            if field == "service":
                if place < rank:
                    service, rank = value[:NAME_MAX], place
            elif field == "level":
                if (found := parse_level(value)) is not None:
                    level = found
                    del rest[name]
            elif field not in own and len(value) <= place:
                own[field] = rest.pop(name)
        if service and canonical_field(label := SERVICE_LABELS[rank]) == "service" and rest[label] == service:
            del rest[label]  # what "job" or "container" says stays: it is something of its own
        return cls(service, level, own, rest)

    @property
    def size(self) -> int:
        return sum(len(name) + len(value) for name, value in self.rest.items())

    def with_metadata(self, metadata: Mapping[str, str]) -> Known:
        """Metadata of one entry says more than the labels of all. Its "name" or "job" is hardly that of a service."""
        more = Known.of(metadata, services=2)
        level = self.level if more.level is None else more.level
        return Known(more.service or self.service, level, self.own | more.own, self.rest | more.rest)


@lru_cache(maxsize=1_024)
def _role(name: str) -> tuple[str, int] | None:
    """What a label is, beside a key of the metadata: service (and its rank), level, logger or an id (and its bound)."""
    if name in SERVICE_LABELS:
        return "service", SERVICE_LABELS.index(name)
    field = "level" if name in LEVEL_LABELS else canonical_field(name)
    if field == "level":
        return "level", 0
    if field == "logger":
        return field, NAME_MAX
    return (field, ID_MAX) if field in ID_FIELDS else None


def _record(entry: Entry, known: Known, received: int) -> LogRecord:
    if entry.metadata:
        known = known.with_metadata(entry.metadata)
    text, more = entry.text, {}
    timestamp: int | None = entry.timestamp
    if not is_plausible(entry.timestamp, received):
        more["timestamp"], timestamp = str(entry.timestamp), None
    if len(text) > LINE_MAX // 4 and len(whole := text.encode("utf-8", "replace")) > LINE_MAX:
        more["cut_from_bytes"] = str(len(whole))
        text = whole[:LINE_MAX].decode("utf-8", "ignore")
    labels = known.rest | more if more else known.rest
    record = read(text, received, timestamp=timestamp, service=known.service, labels=labels, level=known.level)
    own = {field: value for field, value in known.own.items() if not getattr(record, field)}
    return msgspec.structs.replace(record, **own) if own else record


# --- Bodies as streams ---------------------------------------------------------------------------------------------

Stream = tuple[Mapping[str, str], list[Entry]]


class _Value(msgspec.Struct, array_like=True, gc=False):
    timestamp: int | str
    line: str
    metadata: dict[str, Any] | None = None


class _OldEntry(msgspec.Struct, gc=False):
    ts: str
    line: str


class _Stream(msgspec.Struct, gc=False):
    stream: dict[str, Any] = {}
    values: list[_Value] = []
    labels: str = ""  # these two are of /api/prom/push
    entries: list[_OldEntry] = []


class _Push(msgspec.Struct):
    streams: list[_Stream]


_decode = msgspec.json.Decoder(_Push).decode


def _from_json(data: bytes) -> Iterator[Stream]:
    try:
        push = leniently(_decode, data)
        for stream in push.streams:
            labels = _texts(stream.stream) | (parse_labels(stream.labels) if stream.labels else {})
            old = [Entry(parse_timestamp(entry.ts), entry.line, {}) for entry in stream.entries]
            yield (
                labels,
                old
                + [
                    Entry(_micros(value.timestamp), value.line, _texts(value.metadata) if value.metadata else {})
                    for value in stream.values
                ],
            )
    except (msgspec.DecodeError, RecordError, RecursionError) as error:
        raise Refused(400, f'expected {{"streams": [{{"stream": {{…}}, "values": [[…]]}}]}}: {error}') from None


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in values.items()
    }


def _micros(value: int | str) -> int:
    if isinstance(value, str) and len(value) >= _NS_DIGITS and value.isdecimal():
        value = int(value[:30])
    return value // 1_000 if isinstance(value, int) else parse_timestamp(value)


def _from_protobuf(data: bytes, longest: int) -> Iterator[Stream]:
    try:
        if cramjam.snappy.decompress_raw_len(data) > longest:
            raise too_long(longest)
        streams = _message("PushRequest", bytes(cramjam.snappy.decompress_raw(data))).streams
    except cramjam.DecompressionError as error:
        raise Refused(400, f"expected protobuf packed as a snappy block: {error}") from None
    total = WrittenOut(longest)
    total.add(len(streams), 0)
    for packed in streams:
        stream = _message("Stream", packed)
        total.add(len(stream.entries), 0)
        yield parse_labels(_text(stream.labels)), list(map(_entry, stream.entries))


def _entry(packed: bytes) -> Entry:
    entry = _message("Entry", packed)
    return Entry(
        entry.timestamp.seconds * 1_000_000 + entry.timestamp.nanos // 1_000,
        _text(entry.line),
        {_text(pair.name): _text(pair.value) for pair in entry.structured_metadata},
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _message(name: str, data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return _classes()[name].FromString(data)
    except DecodeError as error:
        raise Refused(400, f"expected a PushRequest of Loki as protobuf: {error}") from None


@cache
def _classes() -> dict[str, Any]:
    """A body is taken apart level by level, and one entry at a time: all at once, empty messages would take sixty
    times the bytes that they came in. Texts are bytes, too, which look the same: a program's line need not be UTF-8.
    """
    from logs.sources import messages

    return messages.classes(
        "pharos.loki",
        {
            "PushRequest": [("bytes[]", "streams", 1)],
            "Stream": [("bytes", "labels", 1), ("bytes[]", "entries", 2)],
            "Entry": [("Timestamp", "timestamp", 1), ("bytes", "line", 2), ("Pair[]", "structured_metadata", 3)],
            "Timestamp": [("int64", "seconds", 1), ("int32", "nanos", 2)],
            "Pair": [("bytes", "name", 1), ("bytes", "value", 2)],
        },
    )


# --- Labels as text ------------------------------------------------------------------------------------------------

_LABEL: Final = re.compile(
    r'\s*([^\s={},"`]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|`([^`]*)`)\s*(?:,|(?=\}))', re.DOTALL
)
_END: Final = re.compile(r"\s*\}\s*")
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def parse_labels(text: str) -> dict[str, str]:
    """`{app="shop", path="C:\\\\x"}`: Go's quoted texts. What is no such list is kept as one label, "labels"."""
    found, place = {}, 1
    if text.startswith("{"):
        while label := _LABEL.match(text, place):
            name, quoted, raw = label.groups()
            found[name] = raw if quoted is None else _ESCAPE.sub(_unescaped, quoted)
            place = label.end()
        if _END.fullmatch(text, place):
            return found
    return {"labels": text[:LINE_MAX]} if text.strip() else {}


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1]
    if len(code) == 1:
        return _ESCAPED.get(code, code)
    number = int(code[1:], 16) if code[0] in "xuU" else int(code, 8)
    # Bytes of something that is no UTF-8, halves of a pair, numbers beyond Unicode.
    readable = number < 0x80 or (code[0] in "uU" and number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF)
    return chr(number) if readable else "\N{REPLACEMENT CHARACTER}"
