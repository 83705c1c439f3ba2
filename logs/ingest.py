"""From the log stream into the store. `manage.py ingest` runs one; several share the work as one consumer group.

An entry is acknowledged after the commit that stored it, never before. Redis or the database going away, or a full
disk, costs nothing but time: the ingester says so once, waits with a backoff and goes on where it was. What it has read
and not acknowledged is read again by its successor (its name comes back with the slot) or by another ingester.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import redis
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, close_old_connections
from django.utils import timezone
from redis.exceptions import NoPermissionError

from core import disk
from logs import intake, meters, stream
from logs.models import DeadLetter
from logs.sequence import parse_entry_id
from logs.sources.channels import Listener
from logs.sources.streams import REFRESH_EVERY, Sources
from logs.store import BaseLogStore, Incoming, Singles
from logs.store.base import Commit, EntryKey
from logs.store.codec import Block
from logs.stream import Arrived, Entry

log = logging.getLogger(__name__)

COUNT: Final = 2_000  # entries read at once, from all streams together
COUNT_LEAST: Final = 100  # but so many from each, for one may be busy among many
BATCH_LINES: Final = 8_192  # lines in a commit, about
BLOCK_MS: Final = 500  # how long a read waits for something new, and so how long a stop may take
LINGER: Final = 0.015  # seconds between two reads: a slow trickle makes 60 commits a second, not 1,000
LINGER_BULK: Final = 0.06  # after BULK lines at once: a commit costs as much as storing a thousand of them
BULK: Final = 1_000
CLAIM_EVERY: Final = 10.0
CLAIM_IDLE_MS: Final = 30_000  # an entry that its reader has had for so long belongs to whoever asks
TRIM_EVERY: Final = 1.0
BACKOFF_MAX: Final = 5.0
REASON_MAX: Final = 500

# Cuts a stream to its length, atomically and never into what is not stored yet.
TRIM: Final = """
local longest = tonumber(ARGV[2])
if redis.call('XLEN', KEYS[1]) <= longest then return 0 end
local unread = nil
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local info = {}
  for i = 1, #group, 2 do info[group[i]] = group[i + 1] end
  if info['name'] == ARGV[1] then unread = info end
end
if not unread or not unread['lag'] then return 0 end
local waiting = unread['lag']
if unread['pending'] > 0 then
  local oldest = redis.call('XPENDING', KEYS[1], ARGV[1])[2]
  return redis.call('XTRIM', KEYS[1], 'MINID', '~', oldest)
end
return redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', math.max(longest, waiting))
"""


@contextmanager
def consumer_name(directory: Path) -> Iterator[str]:
    """A name that no other ingester on this host has, and that a successor gets again: the first free slot."""
    for slot in range(1, 1_000):
        handle = os.open(directory / f"ingest-{slot}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            continue
        try:
            yield f"{socket.gethostname()}-{slot}"
        finally:
            os.close(handle)
        return
    raise RuntimeError(f"1,000 ingesters run on {directory} already")


class Ingester:
    """One consumer of the group. `run` returns after `stop()`."""

    def __init__(
        self, name: str, store: BaseLogStore, publish: Callable[[int], None], client: redis.Redis | None = None
    ) -> None:
        self.name = name
        self.store = store
        self.publish = publish
        self.client = client or stream.connect()
        # Entries as lists, as Redis sends them: to make a dict of each costs more than to read the line in it.
        for command in ("XREADGROUP", "XAUTOCLAIM"):
            self.client.set_response_callback(command, lambda answer, **_: answer)
        self.streams: list[str] = []
        self.lines = 0
        self._ahead = _Ahead(self.client)
        self._sources = Sources(self.client, name)
        self._listener = Listener()
        self._stopped = threading.Event()
        self._trim = self.client.register_script(TRIM)
        self._secret: set[tuple[str, EntryKey]] = set()  # entries under way of which the secrets were redacted
        self._denied: set[str] = set()  # what this Redis user may not do
        self._next_claim = self._next_trim = self._next_look = 0.0
        self._backlog = True  # own entries of an earlier life are read first
        self._redis_away = _Outage("Redis is away", "Redis is back")
        self._database_away = _Outage("The database is away", "The database is back")
        self._disk_full = _Outage("The disk is full", "There is room on the disk again")

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    self._begin()
                    self._redis_away.over()
                    self._read_until_stopped()
                except redis.RedisError as error:
                    if isinstance(error, redis.ResponseError) and "NOGROUP" in str(error):
                        continue  # somebody deleted a stream: see what there is
                    self._redis_away.wait(str(error), self._stopped)
        finally:
            self._ahead.forget()
            self._listener.stop()
            intake.end()

    def _begin(self) -> None:
        self._ahead.forget()
        self._sources.forget()
        self._look()
        self._backlog = True

    def _look(self) -> None:
        """Sees which streams and channels there are to read now."""
        self._next_look = time.monotonic() + REFRESH_EVERY
        before, self.streams = self.streams, self._sources.refresh()
        if set(self.streams) - set(before):
            self._backlog = True  # we may have left something unfinished there in an earlier life
        self._listener.listen(self._sources.channels)

    def _read_until_stopped(self) -> None:
        while not self._stopped.is_set():
            began, before = time.monotonic(), self.lines
            arrived = self._read()
            if arrived:
                self.take(arrived)
                if not self._ahead:
                    linger = LINGER if self.lines - before < BULK else LINGER_BULK
                    self._stopped.wait(max(0.0, linger - (time.monotonic() - began)))
            if time.monotonic() >= self._next_trim:
                self._next_trim = time.monotonic() + TRIM_EVERY
                self._upkeep()
            if time.monotonic() >= self._next_look:
                self._look()

    def _read(self) -> list[Arrived]:
        if not self.streams:
            self._stopped.wait(BLOCK_MS / 1_000)
            return []
        if self._backlog:
            if arrived := self._arrived(self._read_group("0", block=None)):
                return arrived
            self._backlog = False
        if time.monotonic() >= self._next_claim:
            self._next_claim = time.monotonic() + CLAIM_EVERY
            if claimed := self._claim():
                return claimed
        return self._read_new()

    def _read_group(self, position: str, block: int | None) -> Any:
        return self.client.xreadgroup(
            stream.GROUP, self.name, dict.fromkeys(self.streams, position), count=self._count, block=block
        )

    def _read_new(self) -> list[Arrived]:
        """While much is waiting, the next entries are asked for before these are stored."""
        answer = self._ahead.answer() if self._ahead else self._read_group(">", block=BLOCK_MS)
        arrived = self._arrived(answer)
        if any(len(each.entries) >= self._count for each in arrived):
            self._ahead.ask(self.name, self.streams, self._count)
        return arrived

    @property
    def _count(self) -> int:
        """Entries to read from each stream."""
        return max(COUNT // len(self.streams), COUNT_LEAST)

    def _claim(self) -> list[Arrived]:
        arrived: list[Arrived] = []
        with self._may("take over what other ingesters left unfinished (XAUTOCLAIM)") as allowed:
            for name in self.streams if allowed else ():
                _, claimed, *_ = self.client.xautoclaim(
                    name, stream.GROUP, self.name, min_idle_time=CLAIM_IDLE_MS, count=COUNT
                )
                arrived += self._arrived([(name.encode(), claimed)])
        if arrived:
            count = sum(len(each.entries) for each in arrived)
            log.warning("Took over %s entries that another ingester had left unfinished", f"{count:,}")
        return arrived

    def _arrived(self, answer: Any) -> list[Arrived]:
        found = []
        for name, entries in answer or []:
            # An entry that was deleted while pending comes without fields: there is nothing left to store.
            if gone := [entry_id for entry_id, fields in entries if fields is None]:
                self.client.xack(name, stream.GROUP, *gone)
                entries = [entry for entry in entries if entry[1] is not None]
            if entries:
                found.append(Arrived(name.decode(), entries))
        return found

    def take(self, arrived: Sequence[Arrived]) -> None:
        """Stores entries, or their reason for being no log lines, and acknowledges them."""
        reading = stream.read(arrived)
        _count_bytes(arrived)
        for entry, error in reading.refused:
            self._bury(entry, str(error))
        if reading.dropped:
            self._drop(reading.dropped)
        self._secret |= reading.secret
        batch: list[Incoming | Singles] = []
        lines = 0
        for incoming in reading.taken:
            batch.append(incoming)
            lines += incoming.lines
            if lines >= BATCH_LINES:
                self._store(batch, arrived)
                batch, lines = [], 0
        if batch:
            self._store(batch, arrived)

    def _drop(self, entries: Iterable[tuple[str, str]]) -> None:
        """They go at once: nobody has looked for secrets in what is not stored."""
        done: defaultdict[str, list[str]] = defaultdict(list)
        for name, entry_id in entries:
            done[name].append(entry_id)
        meters.DROPPED.add(sum(map(len, done.values())), "pipeline")
        self._tell(done, done)

    def _store(self, batch: Sequence[Incoming | Singles], arrived: Sequence[Arrived]) -> None:
        try:
            commit = self._until_stored(lambda: self._append(batch), settings.LOG_DATABASE)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the fault of one entry
            self._find_to_blame(batch, arrived, error)
            return
        if commit is None:
            return  # stopped: the entries stay unacknowledged and are read again
        self._acknowledge(batch)
        self.lines += commit.lines
        meters.count_commit(batch, commit)
        if commit.number:
            self.publish(commit.number)

    def _append(self, batch: Sequence[Incoming | Singles]) -> Commit:
        with meters.STORE_TIMES.timed("append"):
            return self.store.append(batch)

    def _find_to_blame(self, batch: Sequence[Incoming | Singles], arrived: Sequence[Arrived], error: Exception) -> None:
        """One entry of the batch is what the database can't take: each goes alone, and that one is buried."""
        wanted = {(incoming.stream, key) for incoming in batch for key in incoming.keys}
        to_blame = [
            Arrived(each.stream, [entry])
            for each in arrived
            for entry in each.entries
            if (each.stream, parse_entry_id(entry[0].decode())) in wanted
        ]
        if len(to_blame) == 1:
            log.error("An entry could not be stored", exc_info=error)
            self._bury(to_blame[0].entry(0), f"{type(error).__name__}: {error}")
            return
        for each in to_blame:
            self.take([each])

    def _bury(self, entry: Entry, reason: str) -> None:
        if letter := self._until_stored(lambda: bury(entry, reason), "default"):
            name, entry_id, fields = entry
            had_secrets = letter.payload != _payload(fields)
            self._tell({name: [entry_id]}, {name: [entry_id]} if had_secrets or stream.is_chunk(fields) else {})

    def _until_stored(self, store: Callable[[], Any], database: str) -> Any:
        """Tries until the database takes it, or the ingester is stopped (None)."""
        while not self._stopped.is_set():
            try:
                result = store()
            except (DataError, IntegrityError):
                raise  # the database is there, and the data is what it can't take
            except (DatabaseError, InterfaceError) as error:
                if disk.is_full(error):
                    # The connection stays: the last one to go takes along the files without which nobody can read.
                    self._wait(self._disk_full, f"free some space on {disk.disk_of(database)}")
                else:
                    close_old_connections()
                    self._wait(self._database_away, str(error))
            else:
                self._database_away.over()
                self._disk_full.over()
                return result
        return None

    def _wait(self, outage: _Outage, reason: str) -> None:
        with suppress(redis.RedisError):
            self._show_alive(outage.what)
        outage.wait(reason, self._stopped)

    def _acknowledge(self, stored: Iterable[Incoming | Singles]) -> None:
        """A chunk is of use to nobody else and goes, as do entries with secrets; others stay, up to MAXLEN."""
        done: defaultdict[str, list[str]] = defaultdict(list)
        gone: defaultdict[str, list[str]] = defaultdict(list)
        for incoming in stored:
            name, keys = incoming.stream, incoming.keys
            ids = list(map("%d-%d".__mod__, keys))
            done[name] += ids
            if isinstance(incoming.content, Block):
                gone[name] += ids
            elif self._secret:
                secret = {key for key in keys if (name, key) in self._secret}
                self._secret.difference_update((name, key) for key in secret)
                gone[name] += [f"{milliseconds}-{number}" for milliseconds, number in secret]
        self._tell(done, {name: ids for name, ids in gone.items() if ids})

    def _tell(self, done: Mapping[str, Sequence[str]], gone: Mapping[str, Sequence[str]]) -> None:
        if self._stopped.is_set() and (self._database_away.since or self._disk_full.since):
            return
        pipe = self.client.pipeline(transaction=False)
        for name, ids in done.items():
            pipe.xack(name, stream.GROUP, *ids)
        for name, ids in gone.items():
            pipe.xdel(name, *ids)
        answers = pipe.execute(raise_on_error=False)
        with self._may("delete entries (XDEL): what is redacted in a line stays in its stream") as allowed:
            denied = [answer for answer in answers[len(done) :] if isinstance(answer, NoPermissionError)]
            if allowed and denied:
                raise denied[0]

    def _show_alive(self, trouble: str = "") -> None:
        """`trouble` is shown to everybody who asks for the health: it names no path."""
        self.client.set(f"{stream.INGESTERS}{self.name}", trouble, ex=stream.ALIVE_FOR)

    def _upkeep(self) -> None:
        with self._may("say that it is alive (SET pharos:alive:ingest:*): health won't count it") as allowed:
            if allowed:
                self._show_alive()
        with self._may("trim streams: their owner has to bound them (XADD … MAXLEN)") as allowed:
            for name in self.streams if allowed else ():
                self._trim(keys=[name], args=[stream.GROUP, settings.LOG_STREAM_MAXLEN])

    @contextmanager
    def _may(self, what: str) -> Iterator[bool]:
        """False for what the Redis user was denied before. A first denial ends the block, and is said."""
        try:
            yield what not in self._denied
        except NoPermissionError:
            self._denied.add(what)
            log.warning("This Redis user may not %s", what)


class _Ahead:
    """A question to Redis whose answer is fetched later, over a connection of its own."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._connection: Any = None

    def __bool__(self) -> bool:
        return self._connection is not None

    def ask(self, consumer: str, streams: Sequence[str], count: int) -> None:
        self._connection = self._client.connection_pool.get_connection()
        self._connection.send_command(
            "XREADGROUP", "GROUP", stream.GROUP, consumer, "COUNT", count, "BLOCK", BLOCK_MS, "STREAMS", *streams,
            *(">" for _ in streams),
        )  # fmt: skip

    def answer(self) -> Any:
        try:
            answer = self._client.parse_response(self._connection, "XREADGROUP")
        except BaseException:
            self.forget()
            raise
        self._client.connection_pool.release(self._connection)
        self._connection = None
        return answer

    def forget(self) -> None:
        """What the answer would have brought stays unacknowledged, and is read again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._client.connection_pool.release(connection)


class _Outage:
    """Says once that something is wrong and once that it is over; between, the waits grow."""

    def __init__(self, what: str, end: str) -> None:
        self.what, self.end = what, end
        self.since = 0.0
        self._wait = 0.0

    def wait(self, reason: str, stopped: threading.Event) -> None:
        if not self.since:
            self.since = time.monotonic()
            log.error("%s, nothing is lost, trying again: %s", self.what, reason)
        self._wait = min(BACKOFF_MAX, self._wait * 2 or 0.1)
        stopped.wait(self._wait)

    def over(self) -> None:
        if self.since:
            log.info("%s after %.1f s", self.end, time.monotonic() - self.since)
        self.since = self._wait = 0.0


def _count_bytes(arrived: Iterable[Arrived]) -> None:
    """Without a step of Python for each entry."""
    for each in arrived:
        meters.BYTES.add(sum(map(len, chain.from_iterable(map(itemgetter(1), each.entries)))), each.stream)


def bury(entry: Entry, reason: str) -> DeadLetter:
    """Keeps an unreadable entry, without its secrets, as a dead letter."""
    name, entry_id, fields = entry
    reason = intake.without_secrets(reason)
    payload = intake.fields_without_secrets(_payload(fields))
    letter, made = DeadLetter.objects.get_or_create(
        stream=name, entry_id=entry_id, defaults={"reason": reason[:REASON_MAX], "payload": payload}
    )
    if made:
        meters.DEAD_LETTERS.add(1)
        log.warning("An entry of %s is no log line: %s", name, reason, extra={"dead_letter": letter.pk})
    return letter


def _payload(fields: stream.Fields) -> dict[str, str]:
    return {_shown(key): _shown(value) for key, value in fields.items()}


def _shown(data: bytes) -> str:
    """Bytes as text from which they can be had back, and which every database takes."""
    return data.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def replay(letter: DeadLetter, client: redis.Redis) -> str:
    """Sends a dead letter's entry again, for instance after its cause was mended. Returns the new entry's id."""
    entry_id = client.xadd(letter.stream, letter.payload)
    letter.replayed_at = timezone.now()
    letter.save(update_fields=["replayed_at"])
    return entry_id.decode() if isinstance(entry_id, bytes) else entry_id
