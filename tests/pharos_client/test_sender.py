"""The thread that sends: batches, what happens while Redis is away or hangs, forks and ends of processes."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import redis
from django.conf import settings
from pharos_client import PharosHandler, Settings, bound_context
from pharos_client import sender as sender_module
from pharos_client.breaker import FAILURES, WAIT, WAIT_MAX, Breaker, State
from pharos_client.lines import Recipe
from pharos_client.sender import Sender
from pharos_client.transports import AwayError, RedisTransport, RefusedError

from tests import servers
from tests.pharos_client.receiving import STREAM, entries, messages, run, sent
from tests.waiting import until

AWAY = "redis://127.0.0.1:1"


def line(message: str = "hello", **more: Any) -> dict[str, Any]:
    return {"timestamp": 1_795_228_245_123_456, "level": "info", "service": "shop", "message": message, **more}


class Stand:
    """A transport that does what a test says."""

    name = "the stand"

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def send(self, lines: Sequence[bytes]) -> str:
        self.open.wait(10)
        if self.error:
            raise self.error
        self.batches.append(list(lines))
        return ""

    def forget(self) -> None: ...

    @property
    def lines(self) -> list[bytes]:
        return [each for batch in self.batches for each in batch]


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.open.set()


def sender_of(stand: Stand, **options: Any) -> Sender:
    return Sender(stand, Settings(service="shop", **options))


# --- Batches -------------------------------------------------------------------------------------------------------


def test_a_thousand_lines_are_two_entries(redis_client: redis.Redis) -> None:
    # No time limit within the test's patience: only full batches are sent.
    options = Settings(redis_url=settings.REDIS_URL, batch_seconds=60.0)
    sender = Sender(RedisTransport(options), options)
    for number in range(1_100):
        sender.put(line(f"line {number}"))
    until(lambda: [len(entry) for entry in entries(redis_client)] == [500, 500])
    assert sender.flush()
    assert [len(entry) for entry in entries(redis_client)] == [500, 500, 100]
    assert messages(redis_client) == [f"line {number}" for number in range(1_100)]
    sender.close()


def test_a_single_line_is_sent_after_its_time(stand: Stand) -> None:
    sender = sender_of(stand, batch_seconds=0.15)
    began = time.monotonic()
    sender.put(line("one"))
    sender.put(line("two"))
    until(lambda: stand.batches)
    assert time.monotonic() - began >= 0.15
    assert len(stand.batches[0]) == 2
    sender.close()


def test_lines_are_packed_unless_they_are_few(redis_client: redis.Redis) -> None:
    options = Settings(redis_url=settings.REDIS_URL)
    sender = Sender(RedisTransport(options), options)
    sender.put(line("alone"))
    assert sender.flush()
    for _ in range(100):
        sender.put(line("one of many"))
    assert sender.flush()
    found: Any = redis_client.xrange(STREAM)
    first, second = (fields[b"lines"] for _, fields in found)
    assert first.startswith(b"{")
    assert len(second) < 1_000
    sender.close()


def test_the_stream_is_bounded_by_the_sender(redis_client: redis.Redis) -> None:
    options = Settings(redis_url=settings.REDIS_URL, batch_lines=1, stream_maxlen=100)
    transport = RedisTransport(options)
    for _ in range(1_000):
        transport.send([b'{"message":"x"}'])
    assert 100 <= redis_client.xlen(STREAM) <= 250


# --- Away ----------------------------------------------------------------------------------------------------------


def test_lines_wait_while_the_destination_is_away_and_go_out_in_order(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    stand.error = AwayError("gone")
    sender = sender_of(stand, batch_seconds=0.01)
    sender.put(line("one"))
    until(lambda: sender.state is State.OPEN)
    sender.put(line("two"))
    until(lambda: len(sender._late) == 2)
    stand.error = None
    until(lambda: len(stand.lines) == 2)
    assert sender.state is State.CLOSED
    assert [b"one" in stand.lines[0], b"two" in stand.lines[1]] == [True, True]
    written = capfd.readouterr().err
    assert written.count('"message":"one"') == written.count('"message":"two"') == 1
    assert "the stand is away, lines are kept and sent later (gone)" in written
    assert "the stand takes lines again" in written
    sender.close()


def test_the_buffer_is_bounded_by_lines_and_the_drops_are_told(stand: Stand) -> None:
    stand.open.clear()
    sender = sender_of(stand, buffer_lines=50, batch_lines=10, stderr=False)
    for number in range(100):
        sender.put(line(f"line {number}"))
    stand.open.set()
    until(lambda: any(b"were dropped" in each for each in stand.lines))
    assert sender.flush()
    assert b"50 lines were dropped while the stand took none" in stand.lines[-1]
    assert b'"dropped":50' in stand.lines[-1]
    assert b"line 99" in stand.lines[-2]
    assert len(stand.lines) == 51
    sender.close()


def test_the_buffer_is_bounded_by_bytes(stand: Stand) -> None:
    stand.open.clear()
    sender = sender_of(stand, buffer_bytes=20_000, stderr=False)
    for _ in range(100):
        sender.put(line("x" * 1_000))
    assert sender._bytes <= 20_000
    stand.open.set()
    sender.close()


def test_what_is_refused_is_dropped_with_one_sentence(stand: Stand, capfd: pytest.CaptureFixture[str]) -> None:
    stand.error = RefusedError("HTTP 401: the API key is unknown or revoked")
    sender = sender_of(stand)
    for _ in range(3):
        sender.put(line())
        assert sender.flush()
    assert sender.state is State.CLOSED
    written = capfd.readouterr().err
    assert written.count("\n") == 1
    assert "1 lines are dropped, the stand won't take them (HTTP 401: the API key is unknown or revoked)" in written
    sender.close()


def test_what_is_logged_while_sending_is_not_sent(stand: Stand) -> None:
    class Chatty(Stand):
        def send(self, lines: Sequence[bytes]) -> str:
            sender.put(line("about the sending"))
            return super().send(lines)

    chatty = Chatty()
    sender = sender_of(chatty)
    sender.put(line("real"))
    assert sender.flush()
    assert len(chatty.lines) == 1
    sender.close()


def test_after_the_end_a_line_starts_another_thread(stand: Stand) -> None:
    sender = sender_of(stand)
    sender.put(line("one"))
    sender.close()
    until(lambda: sender._thread is None)
    sender.put(line("two"))
    assert sender.flush()
    assert len(stand.lines) == 2
    sender.close()


def logged(handler: PharosHandler, number: int) -> list[float]:
    """Seconds that each call took."""
    log = logging.Logger("shop")
    log.addHandler(handler)
    took = []
    for place in range(number):
        began = time.perf_counter()
        log.info("line %s", place, extra={"order": place})
        took.append(time.perf_counter() - began)
    return took


def test_nobody_waits_for_a_redis_that_hangs_and_nothing_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with servers.valkey_server() as (url, server), redis.Redis.from_url(url) as client:
        handler = PharosHandler("shop", redis_url=url)
        logged(handler, 1)
        handler.flush()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            logged(handler, 2_000)
            assert time.monotonic() - began < 2.0  # one call that waited for Redis would take that long
            until(lambda: "Redis is away" in capfd.readouterr().err)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        until(lambda: len(set(messages(client))) == 2_000)
        handler.close()


def test_lines_survive_a_redis_that_is_gone_and_comes_back() -> None:
    with servers.valkey_server() as (url, server), redis.Redis.from_url(url) as client:
        handler = PharosHandler("shop", redis_url=url)
        logged(handler, 10)
        handler.flush()
        server.end()
        logged(handler, 10)
        way = handler.way
        assert isinstance(way, Sender)
        until(lambda: way.state is State.OPEN)
        again = servers.start_valkey(server.directory, server.directory / "valkey.sock", 0)
        try:
            until(lambda: len(sent(client)) == 20, ignoring=redis.ConnectionError)
        finally:
            again.end()
        handler.close()


# --- The breaker ---------------------------------------------------------------------------------------------------


def test_the_breaker_opens_after_several_failures_and_one_try_closes_it() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    assert breaker.allows(0.0)
    breaker.failed(0.0)
    assert not breaker.allows(WAIT * 0.7)
    assert breaker.allows(WAIT * 1.3)
    states = [breaker.state]
    breaker.succeeded()
    assert [*states, breaker.state] == [State.HALF_OPEN, State.CLOSED]


def test_the_breaker_waits_longer_after_each_try_that_failed() -> None:
    breaker, now, waits = Breaker(), 0.0, []
    for _ in range(FAILURES):
        breaker.failed(now)
    for _ in range(10):
        waits.append(breaker.remaining(now))
        now += waits[-1]
        assert breaker.allows(now)
        breaker.failed(now)
    assert all(0.75 * WAIT * 2**n <= waits[n] <= 1.25 * WAIT * 2**n for n in range(5))
    assert max(waits) <= WAIT_MAX * 1.25


def test_retry_after_opens_the_breaker_at_once() -> None:
    breaker = Breaker()
    breaker.failed(0.0, retry_after=7.0)
    assert breaker.remaining(0.0) == 7.0
    assert not breaker.allows(6.9)
    assert breaker.allows(7.0)


# --- Processes -----------------------------------------------------------------------------------------------------

LOG_AND_END = """
import logging, sys
from pharos_client import PharosHandler
log = logging.getLogger("shop")
log.addHandler(PharosHandler("shop", redis_url=sys.argv[1]))
log.warning("the last words")
"""


def test_what_was_logged_last_is_sent_at_the_end(redis_client: redis.Redis) -> None:
    done = run(LOG_AND_END, settings.REDIS_URL)
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(redis_client) == ["the last words"]


def test_without_redis_a_process_goes_on_and_the_line_is_on_stderr() -> None:
    began = time.monotonic()
    done = run(LOG_AND_END, AWAY)
    assert done.returncode == 0
    assert done.stderr.count('"message":"the last words"') == 1
    assert "Redis is away, lines are kept and sent later (ConnectionError" in done.stderr
    assert "1 lines were not sent before the end" in done.stderr
    assert time.monotonic() - began < 15


def test_a_redis_that_hangs_doesnt_hold_up_the_end() -> None:
    with servers.valkey_server() as (url, server):
        os.kill(server.pid, signal.SIGSTOP)
        try:
            done = run(LOG_AND_END, url)
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert done.returncode == 0
    assert done.stderr.count('"message":"the last words"') == 1


FORK = """
import logging, os, sys
from pharos_client import PharosHandler
log = logging.getLogger("shop")
handler = PharosHandler("shop", redis_url=sys.argv[1])
log.addHandler(handler)
log.warning("parent, before")
if sys.argv[2] == "sent":
    handler.flush()
children = []
for number in range(4):
    child = os.fork()
    if not child:
        for place in range(50):
            log.warning(f"child {number}, {place}")
        sys.exit(0)
    children.append(child)
log.warning("parent, after")
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("before", ["sent", "waiting"])
def test_parent_and_children_each_send_their_own_lines_once(redis_client: redis.Redis, before: str) -> None:
    done = run(FORK, settings.REDIS_URL, before)
    assert (done.returncode, done.stderr) == (0, "")
    wanted = ["parent, before", "parent, after", *(f"child {n}, {place}" for n in range(4) for place in range(50))]
    assert sorted(messages(redis_client)) == sorted(wanted)


MULTIPROCESSING = """
import logging, multiprocessing, sys
from pharos_client import PharosHandler
log = logging.getLogger("shop")
log.addHandler(PharosHandler("shop", redis_url=sys.argv[1]))
def work():
    log.warning("child")
multiprocessing.get_context("fork").Process(target=work).start()
"""


def test_a_child_of_multiprocessing_sends_its_last_lines(redis_client: redis.Redis) -> None:
    done = run(MULTIPROCESSING, settings.REDIS_URL)
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(redis_client) == ["child"]


# --- Lines that are made later ---------------------------------------------------------------------------------------


def test_a_line_is_what_it_was_when_it_was_logged(redis_client: redis.Redis) -> None:
    class Shouting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.msg, record.args = "CHANGED", ()

    handler = PharosHandler("shop", redis_url=settings.REDIS_URL)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.addHandler(Shouting())
    items, order = ["apple"], {"number": 7}
    with bound_context(user_id="u-7"):
        log.info("Bought %s", items, extra={"order": order})
        log.info("Paid %s", 7, extra={"cents": 250})
    items.append("pear")
    order["number"] = 8
    handler.flush()
    first, second = sent(redis_client)
    assert (first["message"], first["metadata"]) == ("Bought ['apple']", {"user_id": "u-7", "order": {"number": 7}})
    assert (second["message"], second["metadata"]) == ("Paid 7", {"user_id": "u-7", "cents": 250})
    handler.close()


class Maker:
    """Makes lines of one text each."""

    def __init__(self, make: Callable[[str], dict[str, Any]] = line, size: int = 10) -> None:
        self.make, self.size = make, size

    def of(self, text: str) -> Recipe:
        return self, {}, (text,), {}

    def size_of(self, fields: Mapping[str, Any], args: tuple[Any, ...], around: Mapping[str, Any]) -> int:
        return self.size

    def line_of(self, fields: Mapping[str, Any], args: tuple[Any, ...], around: Mapping[str, Any]) -> dict[str, Any]:
        return self.make(*args)


def test_a_line_that_can_not_be_made_says_so_and_holds_up_no_other(stand: Stand) -> None:
    def broken(text: str) -> dict[str, Any]:
        raise ValueError(text)

    sender = sender_of(stand)
    sender.put_later(Maker(broken).of("no line"))
    sender.put_later(Maker().of("hello"))
    assert sender.flush()
    assert b'"message":"ValueError: no line"' in stand.lines[0]
    assert b'"message":"hello"' in stand.lines[1]
    sender.close()


def test_lines_that_were_not_made_yet_are_written_at_the_end(stand: Stand, capfd: pytest.CaptureFixture[str]) -> None:
    stand.open.clear()
    sender = sender_of(stand, batch_lines=1)
    for number in range(3):
        sender.put_later(Maker().of(f"line {number}"))
    sender.close(0.1)
    written = capfd.readouterr().err
    assert [written.count(f'"message":"line {number}"') for number in range(3)] == [1, 1, 1]
    assert "3 lines were not sent before the end" in written


def test_lines_that_come_while_the_thread_waits_for_an_answer_are_left_to_it(stand: Stand) -> None:
    def note(message: str) -> dict[str, Any]:
        made_by.append(threading.get_ident())
        return line(message)

    made_by: list[int] = []
    stand.open.clear()
    sender = sender_of(stand, batch_lines=1, buffer_lines=20)
    sender.put(line("under way"))
    until(lambda: sender._sending.items)
    for number in range(11):
        sender.put_later(Maker(note).of(f"line {number}"))
    assert made_by == [threading.get_ident()]  # with half of the buffer full, whoever logs makes his own
    stand.open.set()
    assert sender.flush()
    assert len(made_by) == len(stand.lines) - 1 == 11
    sender.close()


def test_who_logs_faster_than_lines_are_sent_lets_the_thread_go_first(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.open.clear()
    sender = sender_of(stand, batch_lines=1, buffer_lines=200)
    sender.put(line("under way"))
    until(lambda: sender._sending.items)
    pauses: list[int] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: pauses.append(len(sender._fresh)))
    for number in range(150):
        sender.put_later(Maker().of(f"line {number}"))
    monkeypatch.undo()
    assert pauses == [128]
    stand.open.set()
    sender.close()


def test_a_line_that_comes_while_the_thread_rests_wakes_it(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "LINGER", 0.0)
    sender = sender_of(stand, batch_seconds=0.01)
    for number in range(3):
        sender.put(line(f"line {number}"))
        until(lambda number=number: len(stand.lines) == number + 1)  # type: ignore[misc]
        until(lambda: not sender._looks)
    sender.close()


def test_a_line_that_comes_when_the_thread_goes_to_rest_is_seen(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sleepy(Sender):
        came = 0

        def _wait(self, now: float) -> float | None:
            wait = super()._wait(now)
            if wait is None and self._looks and self.came < 3:
                # Somebody has seen that the thread looks, and it is about to say that it doesn't.
                self.came += 1
                self._arrived.append(Maker().of(f"late {self.came}"))
            return wait

    monkeypatch.setattr(sender_module, "LINGER", 0.0)
    sender = Sleepy(stand, Settings(batch_seconds=0.01))
    sender.put(line("first"))
    until(lambda: len(stand.lines) == 4)
    sender.close()


def test_large_lines_are_bounded_although_nobody_looks(stand: Stand) -> None:
    stand.open.clear()
    sender = sender_of(stand, batch_lines=100, buffer_bytes=1 << 20)
    sender.put(line("under way"))
    until(lambda: sender._sending.items)
    maker = Maker(size=100 << 10)
    for number in range(250):
        sender.put_later(maker.of(f"line {number}"))
    held = len(sender._fresh) + len(sender._arrived)
    assert held <= 11  # of 100 kB each
    stand.open.set()
    sender.close()
