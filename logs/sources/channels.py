"""Pub/Sub: what is published on a channel goes into the first log stream, and from there on it is a line like others.

Every subscriber gets every message, so one ingester listens for all: it holds a lease in Redis, and an entry is added
only together with a look at the lease. Pub/Sub has no memory. What is published while nobody listens is lost, and what
can't be taken is dropped, counted and said.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
import redis
from django.conf import settings
from redis.client import PubSub

from core import clock
from logs import meters, stream
from logs.sources import streams

log = logging.getLogger(__name__)

LEASE: Final = "pharos:channels:lease"
LEASE_MS: Final = 4_000
RENEW_EVERY: Final = 1.0  # seconds; others ask for the lease as often
REPORT: Final = "pharos:channels"
REPORT_FOR: Final = 86_400  # seconds
WAIT: Final = 0.2  # seconds for a message, and so how long a stop may take
LEAVE_MAX: Final = 0.5  # seconds for what is still on its way
MESSAGE_MAX: Final = 1 << 20  # bytes
BATCH: Final = 1_000  # messages
BATCH_BYTES: Final = 4 << 20
BACKOFF_MAX: Final = 5.0
SAY_EVERY: Final = 60.0

# Adds messages as entries of one field if the lease is still ours.
PUT: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('XADD', KEYS[2], '*', ARGV[i], ARGV[i + 1]) end
return 1
"""
RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

Message = tuple[str, bytes]  # field of the entry, data


class Report(msgspec.Struct):
    """What the one that listens has done since it began."""

    at: int = 0  # µs
    since: int = 0
    channels: list[str] = []  # and patterns
    taken: int = 0
    dropped: dict[str, int] = {}  # by reason


class Listener:
    """Listens in a thread of its own, which begins with the first channel."""

    def __init__(self, connect: Callable[[], redis.Redis] = stream.connect) -> None:
        self._connect = connect
        self._wanted: frozenset[str] = frozenset()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._next_word = 0.0

    def listen(self, names: frozenset[str]) -> None:
        """From now on to these channels and patterns."""
        self._wanted = names
        if names and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="channels", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Takes what has come already, and returns the lease."""
        self._stopped.set()
        if self._thread:
            self._thread.join(stream.TIMEOUT)

    def _run(self) -> None:
        backoff = wait = next_word = 0.0
        client = self._connect()
        while not self._stopped.wait(wait):
            try:
                if self._wanted:
                    self._listen_while_it_is_ours(client)
                backoff, wait = 0.0, RENEW_EVERY
            except redis.RedisError as error:
                backoff = wait = min(BACKOFF_MAX, backoff * 2 or 0.1)
                if time.monotonic() >= next_word:
                    next_word = time.monotonic() + SAY_EVERY
                    log.warning("This ingester can't hear channels, trying again: %s", error)
        client.close()

    def _listen_while_it_is_ours(self, client: redis.Redis) -> None:
        token = uuid.uuid4().hex
        if not client.set(LEASE, token, nx=True, px=LEASE_MS):
            return
        with PubSub(client.connection_pool) as pubsub:
            try:
                _Tenure(client, pubsub, token, self._drop).run(lambda: self._wanted, self._stopped)
            finally:
                with suppress(redis.RedisError):
                    client.eval(RELEASE, 1, LEASE, token)

    def _drop(self, messages: int, reason: str) -> None:
        self._dropped += messages
        if time.monotonic() >= self._next_word:
            self._next_word = time.monotonic() + SAY_EVERY
            meters.DROPPED.add(self._dropped, "channel")
            log.warning("%s messages of channels were dropped, the last because %s", f"{self._dropped:,}", reason)
            self._dropped = 0


class _Tenure:
    """The time for which one listener holds the lease."""

    def __init__(self, client: redis.Redis, pubsub: PubSub, token: str, drop: Callable[[int, str], None]) -> None:
        self.client, self.token = client, token
        self.pubsub: Any = pubsub  # its methods have no types
        self._say = drop
        self._put = client.register_script(PUT)
        self._renew = client.register_script(RENEW)
        self._subscribed: frozenset[str] = frozenset()
        self._copies: tuple[bytes, bytes, set[bytes]] = (b"", b"", set())
        self._taken = 0
        self._dropped: Counter[str] = Counter()
        self._since = clock.now()
        self._next_renewal = 0.0
        self._full = False

    def run(self, wanted: Callable[[], frozenset[str]], stopped: threading.Event) -> None:
        """Until the lease is lost, there is nothing to listen to, or somebody stops it."""
        while (names := wanted()) and not stopped.is_set():
            self._subscribe(names)
            if time.monotonic() >= self._next_renewal:
                self._next_renewal = time.monotonic() + RENEW_EVERY
                if not self._renew(keys=[LEASE], args=[self.token, LEASE_MS]):
                    return
                self._look_around()
            if not self._take(WAIT):
                return
        if self._subscribed:
            self._leave()

    def _subscribe(self, names: frozenset[str]) -> None:
        if names == self._subscribed:
            return
        for changed, exact, pattern in (
            (self._subscribed - names, self.pubsub.unsubscribe, self.pubsub.punsubscribe),
            (names - self._subscribed, self.pubsub.subscribe, self.pubsub.psubscribe),
        ):
            for name in sorted(changed):
                (pattern if streams.is_pattern(name) else exact)(name)
        self._subscribed = names

    def _leave(self) -> None:
        """Takes what came before the end of the subscriptions."""
        self.pubsub.unsubscribe()
        self.pubsub.punsubscribe()
        end = time.monotonic() + LEAVE_MAX
        while self.pubsub.subscribed and time.monotonic() < end and self._take(WAIT):
            pass

    def _look_around(self) -> None:
        names = streams.active(self.client.get(streams.REPORT))
        self._full = stream.backlog_bytes_now(self.client, names) > settings.LOG_BACKLOG_MAX
        report = Report(clock.now(), self._since, sorted(self._subscribed), self._taken, dict(self._dropped))
        with suppress(redis.ResponseError):  # Redis is full: the drops are said when there is room again
            self.client.set(REPORT, msgspec.json.encode(report), ex=REPORT_FOR)

    def _take(self, wait: float) -> bool:
        """Adds what has come to the stream. False if the lease is somebody else's."""
        messages = self._receive(wait)
        if self._full:
            self._drop(len(messages), "more lines wait to be stored than PHAROS_LOG_BACKLOG_MAX_BYTES allows")
        elif messages:
            try:
                ours = self._put(
                    keys=[LEASE, settings.LOG_STREAMS[0]],
                    args=[self.token, *(part for message in messages for part in message)],
                )
            except redis.exceptions.OutOfMemoryError:
                self._drop(len(messages), "Redis has no memory left")
                return True
            except redis.RedisError:
                self._drop(len(messages), "Redis went away")
                raise
            if not ours:
                self._drop(len(messages), "another ingester listens now")
                return False
            self._taken += len(messages)
        return True

    def _receive(self, wait: float) -> list[Message]:
        """What has come, up to a batch; waits for the first."""
        messages: list[Message] = []
        size = 0
        connection = self.pubsub.connection
        for place in range(BATCH):
            if not connection.can_read(timeout=0 if place else wait):
                break
            # Within a message there is another timeout: a long one comes in pieces.
            told = self.pubsub.get_message(timeout=stream.TIMEOUT)
            if told is None:
                break
            if told["type"] not in ("message", "pmessage"):
                self._copies = (b"", b"", set())  # subscriptions change: what comes now is no copy
                if not self.pubsub.subscribed:
                    break  # that was the last: the next question would wait for a new subscription
                continue
            channel, data = told["channel"], told["data"]
            if _is_ours(channel) or self._is_copy(channel, data, told["pattern"] or channel):
                continue
            if len(data) > MESSAGE_MAX:
                self._drop(1, f"it is longer than {MESSAGE_MAX:,} bytes")
                continue
            messages.append((f"channel:{channel.decode('utf-8', 'replace')}", data))
            size += len(data)
            if size >= BATCH_BYTES:
                break
        return messages

    def _is_copy(self, channel: bytes, data: bytes, subscription: bytes) -> bool:
        """One message comes once for each subscription that matches, one copy right after the other."""
        last_channel, last_data, by = self._copies
        if by and subscription not in by and channel == last_channel and data == last_data:
            by.add(subscription)
            return True
        self._copies = (channel, data, {subscription})
        return False

    def _drop(self, messages: int, reason: str) -> None:
        if messages:
            self._dropped[reason] += messages
            self._say(messages, reason)


def _is_ours(channel: bytes) -> bool:
    """Wake-ups of the channel layer and keyspace events: as lines they would bring forth more of themselves."""
    layer: Any = settings.CHANNEL_LAYERS["default"]
    prefix = layer["CONFIG"]["prefix"]
    return channel.startswith((f"{prefix}__group__".encode(), f"{prefix}specific.".encode(), b"__key"))
