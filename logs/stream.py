"""The log stream: what stands in Redis, and how our own processes write it.

An entry is one of three: a *chunk* (a block that our edge has parsed and sealed), one field that holds JSON (an
object, an array, or lines of objects, these also packed), or a flat set of name/value pairs that are one record.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from core import clock
from logs import intake, packed
from logs.lines import Lines
from logs.records import LogRecord, RecordError, canonical_field, from_flat
from logs.sequence import (
    LINES_MAX,
    STEP,
    parse_entry_id,
    parse_entry_ids,
    sequence_of,
    sequences_at,
    stream_number,
)
from logs.sources import json_lines
from logs.store import Incoming, Singles, codec
from logs.store.base import EntryKey
from logs.store.codec import Block

GROUP: Final = "ingest"
TIMEOUT: Final = 5.0  # seconds that any command may take
ALIVE: Final = "pharos:alive:"
INGESTERS: Final = f"{ALIVE}ingest:"
ALIVE_FOR: Final = 15  # seconds
TICKED: Final = "pharos:ticked"  # µs: when a tick of beat came through a worker last
UNPACKED_MAX: Final = 8 << 20  # bytes of an entry that came packed
_CHUNK, _SEAL = b"chunk", b"seal"


log = logging.getLogger(__name__)

Fields = Mapping[bytes, bytes]
Entry = tuple[str, str, Fields]  # stream, id, fields


class EntryError(ValueError):
    """An entry that can't be read, with the reason for people."""


def _options(timeout: float) -> dict[str, Any]:
    # Whoever waits for Redis does so in the open, with a backoff of its own, never hidden in the client.
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": min(timeout, 2.0),
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }


def connect(timeout: float = TIMEOUT) -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, **_options(timeout))


def connect_async(timeout: float = TIMEOUT) -> redis.asyncio.Redis:
    options = _options(timeout)
    options["retry"] = redis.asyncio.retry.Retry(NoBackoff(), 0)
    return redis.asyncio.Redis.from_url(settings.REDIS_URL, **options)


@lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"pharos.log.chunk:" + secret.encode()).digest()


def _seal_of(data: bytes) -> bytes:
    return hashlib.blake2b(data, key=_key(settings.SECRET_KEY), digest_size=16).digest()


def chunks(records: Sequence[LogRecord]) -> list[dict[bytes, bytes]]:
    """Parsed records as entries to XADD, without their secrets, but for those that a pipeline drops.


    The seal says that the columns were made by us and need no second look.
    """
    entries = []
    lines = intake.prepare(Lines.of(records))
    for begin in range(0, len(lines), LINES_MAX):
        # The sequences are places in the entry; the entry's own is added by the ingester.
        for block in codec.encode(_placed(lines[begin : begin + LINES_MAX], 0)):
            data = codec.dump(block)
            entries.append({_CHUNK: data, _SEAL: _seal_of(data)})
    return entries


def _placed(lines: Lines, base: int) -> Lines:
    lines.sequence = range(base, base + len(lines) * STEP, STEP)
    return lines


class Arrived(msgspec.Struct):
    """Entries of one stream as Redis gives them: `[id, [name, value, …]]` each."""

    stream: str
    entries: Sequence[Any]

    def entry(self, place: int) -> Entry:
        entry_id, fields = self.entries[place]
        return self.stream, entry_id.decode(), dict(zip(fields[::2], fields[1::2], strict=True))


class Reading(msgspec.Struct):
    """A batch of entries: what the store can take, what a pipeline drops, and what can't be read, with the reason."""

    taken: list[Incoming | Singles] = []
    dropped: list[tuple[str, str]] = []  # stream and id of entries of which nothing is to be stored
    refused: list[tuple[Entry, EntryError]] = []
    secret: set[tuple[str, EntryKey]] = set()  # streams and ids of the entries that hold what was redacted


def read(arrived: Iterable[Arrived]) -> Reading:
    """Never raises. Most entries of services are one JSON object each: those of a stream are read together."""
    reading = Reading()
    for batch in arrived:
        objects = _objects(batch.entries)
        others: Sequence[int] = range(len(batch.entries))
        if objects:
            try:
                _read_objects(batch, objects, reading)
                others = sorted(set(others).difference(objects))
            except Exception:
                log.exception("Entries could not be read together")
        for place in others:
            _read_one(batch.entry(place), reading)
    return reading


def _objects(entries: Sequence[Any]) -> Sequence[int]:
    """The places of those that are one JSON object, without a line end in it."""
    fields = [entry[1] for entry in entries]
    if set(map(len, fields)) == {2}:
        text = b"\n" + b"\n".join([value for _, value in fields])
        if text.count(b"\n") == text.count(b"\n{") == len(entries):
            return range(len(entries))
    return [
        place
        for place, each in enumerate(fields)
        if len(each) == 2 and each[1].startswith(b"{") and b"\n" not in each[1]
    ]


def _read_objects(batch: Arrived, places: Sequence[int], into: Reading) -> None:
    now = clock.now()
    entries = batch.entries if len(places) == len(batch.entries) else [batch.entries[place] for place in places]
    keys = parse_entry_ids([entry_id for entry_id, _ in entries])
    values = [fields[1] for _, fields in entries]
    newest = keys[-1][0] * 1_000  # entries come in the order of their ids
    received = [milliseconds * 1_000 for milliseconds, _ in keys]
    if newest > now:
        received = [min(at, now) for at in received]
    parsed = json_lines.parse_each(values, received)
    refused = [(batch.entry(places[number - 1]), EntryError(reason)) for number, reason in parsed.rejected]
    prepared = intake.examine(parsed.records)
    lines = prepared.lines
    dropped: list[tuple[str, str]] = []
    if len(lines) < len(parsed.records):
        left = set(lines.sequence)
        gone = [place for place in parsed.records.sequence if place not in left]
        dropped = [batch.entry(places[place])[:2] for place in gone]
    secret = {(batch.stream, keys[place]) for place in prepared.secrets}
    if len(lines) < len(entries):
        keys = [keys[place] for place in lines.sequence]
    if lines:
        lines.sequence = sequences_at(keys, _number(batch.stream))
        into.taken.append(Singles(batch.stream, keys, lines))
    into.refused += refused
    into.dropped += dropped
    into.secret |= secret


def _read_one(entry: Entry, into: Reading) -> None:
    try:
        taken, is_secret = _incoming(*entry)
        if taken.lines:
            into.taken.append(taken)
        else:
            into.dropped.append(entry[:2])
        if is_secret:
            into.secret.update((entry[0], key) for key in taken.keys)
    except EntryError as error:
        into.refused.append((entry, error))
    except Exception as error:
        log.exception("An entry could not be read")  # a mistake of ours must not stop everybody's lines
        into.refused.append((entry, EntryError(f"{type(error).__name__}: {error}")))


def incoming(stream: str, entry_id: str, fields: Fields) -> Incoming:
    """An entry as the store takes it; one without lines if pipelines drop them all. Raises EntryError."""
    return _incoming(stream, entry_id, fields)[0]


def _incoming(stream: str, entry_id: str, fields: Fields) -> tuple[Incoming, bool]:
    """The entry, and whether something was redacted in it. Raises EntryError."""
    first = sequence_of(entry_id, _number(stream))
    if _CHUNK in fields and _SEAL in fields:
        block = _unsealed(fields[_CHUNK], fields[_SEAL])
        block.base += first
        return Incoming(stream, entry_id, block), False  # its secrets went before it was sealed
    received = min(parse_entry_id(entry_id)[0] * 1_000, clock.now())
    prepared = intake.examine(_placed(_lines(fields, received), first))
    return Incoming(stream, entry_id, prepared.lines), bool(prepared.secrets)


@lru_cache(maxsize=1_024)
def _number(stream: str) -> int:
    return stream_number(stream, settings.LOG_STREAMS)


def is_chunk(fields: Fields) -> bool:
    return _CHUNK in fields


def _unsealed(data: bytes, seal: bytes) -> Block:
    if not hmac.compare_digest(_seal_of(data), seal):
        raise EntryError("the chunk was not made with this installation's secret key; send lines as JSON instead")
    try:
        return codec.load(data)
    except msgspec.DecodeError as error:
        raise EntryError(f"the chunk is of another version: {error}") from None


def _lines(fields: Fields, received: int) -> Lines:
    if not fields:
        raise EntryError("expected fields, got an empty entry")
    texts = {name.decode("utf-8", "replace"): value for name, value in fields.items()}
    if len(fields) == 1:
        ((name, value),) = texts.items()
        if encoding := packed.encoding_of(value):
            return _from_packed_field(value, encoding, received)
        if value.lstrip()[:1] in (b"{", b"["):
            return _from_json_field(value, received)
        if canonical_field(name) is None:
            raise EntryError(f"expected JSON or name/value pairs, got one field {name[:60]!r} that is no JSON object")
    try:
        record = from_flat({name: value.decode("utf-8", "replace") for name, value in texts.items()}, received)
    except RecordError as error:
        raise EntryError(str(error)) from None
    return Lines.of([record])


def _from_packed_field(value: bytes, encoding: str, received: int) -> Lines:
    try:
        text = packed.unpack(value, encoding, UNPACKED_MAX)
    except packed.TooLongError:
        raise EntryError(f"expected at most {UNPACKED_MAX:,} bytes, unpacked; send smaller entries") from None
    except packed.PackedError as error:
        raise EntryError(f"expected {encoding}, as its first bytes say: {error}") from None
    if not text.lstrip().startswith(b"{"):
        raise EntryError("expected an object per line in what was packed")
    # A packed entry is small however many lines are in it: they are counted before any is looked at.
    if (number := text.rstrip().count(b"\n") + 1) > LINES_MAX:
        raise _too_many(number)
    return _from_json_field(text, received)


def _from_json_field(value: bytes, received: int) -> Lines:
    parsed = json_lines.parse(value, received)
    if parsed.rejected:
        line, error = parsed.rejected[0]
        raise EntryError(error if len(parsed.rejected) == 1 and not parsed.records else f"line {line}: {error}")
    if len(parsed.records) > LINES_MAX:
        raise _too_many(len(parsed.records))
    return parsed.records


def _too_many(number: int) -> EntryError:
    return EntryError(f"expected at most {LINES_MAX:,} lines in one entry, got {number:,}")


async def backlog_bytes(client: redis.asyncio.Redis, names: Sequence[str]) -> int:
    """About how many bytes of the streams are not stored yet."""
    pipe = client.pipeline(transaction=False)
    _ask_for_backlog(pipe, names)
    return _backlog(await pipe.execute(raise_on_error=False))


def backlog_bytes_now(client: redis.Redis, names: Sequence[str]) -> int:
    """`backlog_bytes` for threads."""
    pipe = client.pipeline(transaction=False)
    _ask_for_backlog(pipe, names)
    return _backlog(pipe.execute(raise_on_error=False))


def _ask_for_backlog(pipe: Any, names: Sequence[str]) -> None:
    for name in names:
        pipe.xlen(name)
        pipe.xinfo_groups(name)
        pipe.memory_usage(name, samples=5)


def _backlog(answers: Sequence[Any]) -> int:
    total = 0
    for length, groups, size in zip(answers[::3], answers[1::3], answers[2::3], strict=True):
        if any(isinstance(answer, Exception) for answer in (length, groups, size)) or not length:
            continue  # no stream yet
        waiting = length
        for group in groups:
            if group["name"] == GROUP.encode():
                lag = group.get("lag")
                waiting = group["pending"] + (length if lag is None else lag)
        total += (size or 0) * min(waiting, length) // length
    return total


def ingesters(client: redis.Redis) -> list[str]:
    """What holds up each running ingester, as a sentence; "" if nothing does."""
    names = list(client.scan_iter(f"{INGESTERS}*", count=100))
    states: Any = client.mget(names) if names else []
    return [state.decode() for state in states if state is not None]


def oldest_wait(client: redis.Redis, name: str) -> int:
    """For how many µs the oldest entry that is not stored has been in a stream; 0 if all are."""
    try:
        group = next((g for g in client.xinfo_groups(name) if g["name"] == GROUP.encode()), None)
    except redis.ResponseError:
        return 0  # no stream yet
    # Acknowledged between the two questions, nothing is pending any more.
    if group is not None and group["pending"] and (first := client.xpending(name, GROUP)["min"]):
        oldest: Any = [(first, {})]
    elif group is not None and group.get("lag") == 0:
        return 0
    else:
        oldest = client.xrange(name, b"(" + group["last-delivered-id"] if group else "-", count=1)
    return max(clock.now() - int(oldest[0][0].partition(b"-")[0]) * 1_000, 0) if oldest else 0
