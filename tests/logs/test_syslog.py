"""Syslog: what a message says (pure), and real senders over UDP and TCP."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from core import clock
from logs.models import LogSource
from logs.records import Level, LogRecord
from logs.sources import listen, outlet, states, syslog
from logs.sources.syslog_lines import MESSAGE_MAX, Frames, parse, record
from monitor import valkey
from tests import servers
from tests.logs.listening import listening, until
from tests.logs.streamed import messages, records

NOW = clock.micros(datetime(2026, 11, 21, 10, 30, tzinfo=UTC))


def read(message: str | bytes, received: int = NOW, **more: str) -> LogRecord:
    data = message.encode() if isinstance(message, str) else message
    return record(parse(data, received), received, **more)


def at(*moment: int) -> int:
    return clock.micros(datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type, misc]


def metadata(read: LogRecord) -> Any:
    return json.loads(read.metadata)


# --- RFC 5424 ------------------------------------------------------------------------------------------------------


def test_the_example_of_the_rfc() -> None:
    found = read(
        '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 812 ID47 [exampleSDID@32473 iut="3" '
        'eventSource="Application" eventID="1011"][examplePriority@32473 class="high"] \ufeffAn application event'
    )
    assert (found.level, found.service, found.message) == (Level.INFO, "evntslog", "An application event")
    assert found.timestamp == at(2003, 10, 11, 22, 14, 15, 3_000)
    assert metadata(found) == {
        "host": "mymachine.example.com",
        "facility": "local4",
        "procid": "812",
        "msgid": "ID47",
        "exampleSDID@32473.iut": "3",
        "exampleSDID@32473.eventSource": "Application",
        "exampleSDID@32473.eventID": "1011",
        "examplePriority@32473.class": "high",
    }


@pytest.mark.parametrize(
    ("message", "service", "text", "data"),
    [
        ("<14>1 - - - - - - hello", "unknown", "hello", {}),
        ("<14>1 - - - - - -", "unknown", "", {}),
        ("<14>1 - - app - - hello", "app", "hello", {}),  # some leave the structured data out
        ('<14>1 - - app - - [a b="c \\"d\\" \\\\ \\] e"] x', "app", "x", {"a.b": 'c "d" \\ ] e'}),
        ('<14>1 - - app - - [a b="c]d"] x', "app", "x", {"a.b": "c]d"}),
        ("<14>1 - - app - - [a] x", "app", "x", {}),
        ("<14>1 - - app - - [not structured data", "app", "[not structured data", {}),
        ("<14>1 - - app - - - [a] x", "app", "[a] x", {}),
        ('<14>1 - - app - - [timeQuality tzKnown="1"] x', "app", "x", {}),
        ("<14>1 yesterday - app - - - x", "app", "x", {}),
        ("<14>1 - - app - - - a\nb\0", "app", "a\nb", {}),
    ],
)
def test_messages_of_rfc_5424(message: str, service: str, text: str, data: dict[str, str]) -> None:
    found = read(message)
    assert (found.service, found.message) == (service, text)
    assert {key: value for key, value in metadata(found).items() if key != "facility"} == data
    assert found.timestamp == NOW


# --- RFC 3164 and what is sent under its name ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "level", "service", "process", "host", "text"),
    [
        ("<34>Nov 21 10:29:15 mymachine su: 'su root' failed", "fatal", "su", "", "mymachine", "'su root' failed"),
        ("<13>Nov 21 10:29:15 box tag[42]: hi", "info", "tag", "42", "box", "hi"),
        ("<13>Nov 21 10:29:15 tag[42]: no host", "info", "tag", "42", "", "no host"),
        ("<13>Nov  1 10:29:15 box no tag here", "info", "box", "", "box", "no tag here"),
        ("<11>2026-11-21T10:29:15.5+00:00 box nginx: rsyslog's", "error", "nginx", "", "box", "rsyslog's"),
        ("<28>Nov 21 2026 10:29:15: %ASA-4-106023: deny", "warn", "%ASA-4-106023", "", "", "deny"),
        ("<14>plain words\0", "info", "unknown", "", "", "plain words"),
        ("<14>myapp: ident of Python\0", "info", "myapp", "", "", "ident of Python"),
        ("<14>Uncaught[7]: x", "info", "Uncaught", "7", "", "x"),
        ("<11>ValueError: is no program", "error", "unknown", "", "", "ValueError: is no program"),
        ("<11>error: is a level", "error", "unknown", "", "", "error: is a level"),
        ("no priority", "info", "unknown", "", "", "no priority"),
        ("<999>none", "info", "unknown", "", "", "<999>none"),
        ("<14>", "info", "unknown", "", "", ""),
    ],
)
def test_messages_of_rfc_3164(message: str, level: str, service: str, process: str, host: str, text: str) -> None:
    found = read(message)
    assert (found.level.label, found.service, found.message) == (level, service, text)
    assert (metadata(found).get("procid", ""), metadata(found).get("host", "")) == (process, host)


@pytest.mark.parametrize(
    ("written", "received", "meant"),
    [
        ("Nov 21 10:29:15", NOW, at(2026, 11, 21, 10, 29, 15)),
        ("Nov 21 10:29:15.25", NOW, at(2026, 11, 21, 10, 29, 15, 250_000)),
        ("Dec 31 23:59:59", at(2027, 1, 1, 0, 1), at(2026, 12, 31, 23, 59, 59)),
        ("Jan  1 00:00:01", at(2026, 12, 31, 23, 58), at(2027, 1, 1, 0, 0, 1)),
        ("Feb 29 12:00:00", at(2028, 2, 29, 12, 5), at(2028, 2, 29, 12)),
        ("Feb 31 12:00:00", NOW, NOW),
        ("Nov 21 11:29:58", NOW, at(2026, 11, 21, 10, 29, 58)),  # one hour east
        ("Nov 21 04:59:59", NOW, at(2026, 11, 21, 10, 29, 59)),  # five and a half hours west
        ("Nov 21 09:22:30", NOW, at(2026, 11, 21, 9, 22, 30)),  # late, and no zone
    ],
)
def test_a_clock_without_year_and_zone(written: str, received: int, meant: int) -> None:
    assert read(f"<13>{written} box tag: hi", received).timestamp == meant


def test_a_json_line_in_a_message_is_read_and_keeps_its_own_level() -> None:
    found = read('<14>1 - box shop - - - {"level":"error","msg":"failed","order":7}')
    assert (found.level, found.service, found.message) == (Level.ERROR, "shop", "failed")
    assert metadata(found) == {"order": 7, "host": "box", "facility": "user"}


def test_the_sender_stands_in_for_a_host_and_the_row_for_a_service() -> None:
    found = read("<14>hello", sender="10.0.0.7", service="switch")
    assert (found.service, metadata(found)["host"]) == ("switch", "10.0.0.7")
    assert read("<14>shop[1]: hello", service="switch").service == "shop"


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: b"<14>1 " + text.encode("utf-8", "replace")))
def test_nothing_raises(data: bytes) -> None:
    assert isinstance(read(data), LogRecord)


# --- Framing -------------------------------------------------------------------------------------------------------


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"<1>a\n<1>b\n", [b"<1>a", b"<1>b"]),
        (counted(b"<1>a\nb") + counted(b"<1>c"), [b"<1>a\nb", b"<1>c"]),
        (counted(b"<1>a") + b"<1>b\n" + counted(b"<1>c"), [b"<1>a", b"<1>b", b"<1>c"]),
        (counted(b"<1>a") + b"\n" + counted(b"<1>c") + b"\n", [b"<1>a", b"<1>c"]),
        (b"<1>a\nb\0<1>c\0", [b"<1>a\nb", b"<1>c"]),
        (b"12 monkeys\n", [b"12 monkeys"]),
        (b"\n\n<1>a\r\n\n", [b"<1>a\r"]),
        (b"<1>no end", [b"<1>no end"]),
        (b"9 <1>short", []),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_messages_of_a_connection(sent: bytes, found: list[bytes], step: int) -> None:
    if b"\0" in sent and step < 1_000:
        pytest.skip("who ends with NUL sends a message at once")
    frames = Frames()
    parts = [sent[begin : begin + step] for begin in range(0, len(sent), step)]
    assert [message for part in parts for message in frames.feed(part)] + frames.end() == found


@pytest.mark.parametrize("end", [True, False])
def test_a_message_that_is_too_long_is_cut_and_takes_no_other_with_it(end: bool) -> None:
    long = b"<1>" + b"x" * (2 * MESSAGE_MAX)
    frames, found = Frames(), []
    sent = long + b"\n" + b"<1>a\n" if end else counted(long) + counted(b"<1>a")
    for begin in range(0, len(sent), 65_536):
        found += frames.feed(sent[begin : begin + 65_536])
        assert len(frames._data) <= MESSAGE_MAX + 65_536 + 10
    assert [len(message) for message in found] == [MESSAGE_MAX, 4]


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_no_bytes_break_the_framing(parts: list[bytes]) -> None:
    frames = Frames()
    for part in parts:
        frames.feed(part)
    frames.end()


# --- The server, and real senders ----------------------------------------------------------------------------------

served = pytest.mark.django_db(transaction=True, databases=["default", "logs"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REFRESH_EVERY", "RENEW_EVERY", "PAUSE"):
        monkeypatch.setattr(listen, name, 0.05)
    monkeypatch.setattr(syslog, "TELL_EVERY", 0.05)


def state(source: LogSource) -> str:
    return states.states([source])[source.pk]


@asynccontextmanager
async def serving(**more: str) -> AsyncIterator[tuple[int, LogSource]]:
    """A source on both protocols: its port and its row."""
    port = valkey.free_port()
    source = await LogSource.objects.acreate(kind="syslog", name=f"udp+tcp://127.0.0.1:{port}", **more)
    async with listening():
        await until(lambda: state(source).startswith("listening"))
        yield port, source


async def sh(*command: object) -> None:
    done = await asyncio.to_thread(
        subprocess.run, [str(word) for word in command], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


def only(redis_client: redis.Redis) -> LogRecord:
    (found,) = records(redis_client)
    return found


@served
@pytest.mark.parametrize("protocol", ["--udp", "--tcp"])
async def test_logger(redis_client: redis.Redis, protocol: str) -> None:
    data = ["--sd-id", "shop@1", "--sd-param", 'order="7"']
    async with serving() as (port, _):
        to = ("logger", "--server", "127.0.0.1", "--port", port, protocol, "--tag", "shop", "--id=42")
        await sh(*to, "--rfc5424", "--msgid", "M1", *data, "-p", "local3.err", "new")
        await sh(*to, "--rfc3164", "-p", "daemon.warning", "old")
        if protocol == "--tcp":
            await sh(*to, "--rfc5424", "--octet-count", "counted")
        await until(lambda: len(records(redis_client)) == (3 if protocol == "--tcp" else 2))

    new, old, *_ = sorted(records(redis_client), key=lambda each: -each.level)
    assert (new.level, new.service, new.message) == (Level.ERROR, "shop", "new")
    assert metadata(new).items() >= {"facility": "local3", "procid": "42", "msgid": "M1", "shop@1.order": "7"}.items()
    assert (old.level, old.service, old.message) == (Level.WARN, "shop", "old")
    assert metadata(old)["host"] == metadata(new)["host"] == socket.gethostname()
    assert abs(old.timestamp - new.timestamp) < 60 * clock.SECOND


@served
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_python(redis_client: redis.Redis, kind: socket.SocketKind) -> None:
    def send(port: int) -> None:
        handler = logging.handlers.SysLogHandler(("127.0.0.1", port), socktype=kind)
        handler.ident = "shop: "
        with closing(handler):
            for message in ("first", "second\nwith a line end"):
                handler.emit(logging.makeLogRecord({"msg": message, "levelno": 40, "levelname": "ERROR"}))

    async with serving() as (port, _):
        await asyncio.to_thread(send, port)
        await until(lambda: len(records(redis_client)) == 2)

    found = records(redis_client)
    assert [(each.service, each.level) for each in found] == [("shop", Level.ERROR)] * 2
    assert sorted(each.message for each in found) == ["first", "second\nwith a line end"]
    assert metadata(found[0]) == {"host": "127.0.0.1", "facility": "user"}


RSYSLOG = """
module(load="imfile" PollingInterval="1")
input(type="imfile" File="{directory}/app.log" Tag="shop:" Severity="error" Facility="local1" reopenOnTruncate="on")
global(workDirectory="{directory}" localHostname="box")
{forward}
"""
FORWARDS = {
    "udp": "*.* @127.0.0.1:{port}",
    "tcp": "*.* @@127.0.0.1:{port}",
    "tcp, new format": "*.* @@127.0.0.1:{port};RSYSLOG_SyslogProtocol23Format",
    "tcp, counted": 'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="octet-counted" '
    'template="RSYSLOG_SyslogProtocol23Format")',
}


@served
@pytest.mark.rsyslog
@pytest.mark.parametrize("forward", FORWARDS)
async def test_rsyslog(redis_client: redis.Redis, tmp_path: Path, forward: str) -> None:
    async with serving() as (port, _):
        config = tmp_path / "rsyslog.conf"
        config.write_text(RSYSLOG.format(directory=tmp_path, forward=FORWARDS[forward].format(port=port)))
        (tmp_path / "app.log").write_text("one\ntwo\n")
        rsyslogd = servers.program("rsyslogd") or "rsyslogd"
        run = servers.start([rsyslogd, "-n", "-f", config, "-i", tmp_path / "rsyslog.pid"], tmp_path)
        try:
            await until(lambda: sorted(messages(redis_client)) == ["one", "two"])
        finally:
            await asyncio.to_thread(run.end)

    found = records(redis_client)
    assert [(each.service, each.level) for each in found] == [("shop", Level.ERROR)] * 2
    assert metadata(found[0]).items() >= {"host": "box", "facility": "local1"}.items()
    assert abs(found[0].timestamp - clock.now()) < 60 * clock.SECOND


@served
async def test_who_is_not_among_the_networks_is_refused_and_counted(redis_client: redis.Redis) -> None:
    async with serving(senders="10.0.0.0/8") as (port, source):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"<14>x", ("127.0.0.1", port))
        with socket.create_connection(("127.0.0.1", port)) as tcp:
            assert await asyncio.to_thread(tcp.recv, 1) == b""
        await until(lambda: "2 dropped because their sender is not among the allowed networks" in state(source))

    assert not records(redis_client)


@served
async def test_without_room_udp_drops_and_says_so_and_tcp_waits(
    redis_client: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outlet, "BUFFER_LINES", 10)
    monkeypatch.setattr(outlet, "BACKOFF_MAX", 0.1)
    monkeypatch.setattr(outlet, "LOOK_EVERY", 0.0)
    backlog, settings.LOG_BACKLOG_MAX = settings.LOG_BACKLOG_MAX, -1
    async with serving() as (port, source):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.create_connection(("127.0.0.1", port)) as tcp,
        ):
            tcp.sendall(b"".join(b"<14>app: tcp %d\n" % number for number in range(50)))
            await until(lambda: "1 connection; 10 messages" in state(source))
            for number in range(7):
                udp.sendto(b"<14>app: udp %d" % number, ("127.0.0.1", port))
            await until(lambda: "7 dropped because there was no room" in state(source))
            settings.LOG_BACKLOG_MAX = backlog
            await until(lambda: len(records(redis_client)) == 50)

    assert messages(redis_client) == [f"tcp {number}" for number in range(50)]
    assert caplog.text.count("7 messages were dropped because there was no room") == 1


@served
async def test_too_many_connections_are_refused(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "CONNECTIONS_MAX", 1)
    async with serving() as (port, source):
        with socket.create_connection(("127.0.0.1", port)):
            await until(lambda: "1 connection;" in state(source))
            with socket.create_connection(("127.0.0.1", port)) as second:
                assert await asyncio.to_thread(second.recv, 1) == b""


@served
async def test_what_was_sent_before_the_end_is_taken(redis_client: redis.Redis) -> None:
    async with serving() as (port, source):
        tcp = socket.create_connection(("127.0.0.1", port))
        await until(lambda: "1 connection;" in state(source))
        tcp.sendall(b"<14>app: last words")
        await until(lambda: _unread(port) == 0)
    tcp.close()

    assert messages(redis_client) == ["last words"]


def _unread(port: int) -> int:
    """Bytes that a server on this port has not read yet, of its connections."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        int(row[4].split(":")[1], 16) for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "01"
    )


@served
async def test_an_address_that_is_taken_is_said_and_tried_again(redis_client: redis.Redis) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        source = await LogSource.objects.acreate(kind="syslog", name=f"tcp://127.0.0.1:{other.getsockname()[1]}")
        async with listening():
            await until(lambda: "failed, tried again" in state(source) and "in use" in state(source))
            other.close()
            await until(lambda: state(source).startswith("listening"))
