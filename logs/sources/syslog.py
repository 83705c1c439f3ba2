"""The way in for syslog: a server for UDP and TCP (`logs.sources.syslog_lines` reads the messages).

TCP waits while there is no room, and so do its senders. UDP can't: what finds no room is dropped, counted and said.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from core import clock
from logs import meters
from logs.models import LogSource
from logs.sources import names
from logs.sources.outlet import Outlet
from logs.sources.syslog_lines import Frames, parse, record

log = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 500
IDLE_MAX: Final = 86_400.0  # seconds: a quiet host is no dead one, and keep-alive finds those
READ: Final = 64 << 10
DATAGRAM: Final = 64 << 10
DATAGRAMS: Final = 200  # that are read before others have their turn
RECEIVE_BUFFER: Final = 4 << 20  # bytes that the system keeps for us, if it may
LEAVE_MAX: Final = 2.0  # seconds for what has come already
TELL_EVERY: Final = 1.0
SAY_EVERY: Final = 60.0
SO_MEMINFO: Final = 55  # Linux: nine numbers, the last one of what the system dropped

NO_ROOM: Final = "there was no room while Redis was away or too many lines waited"
TOO_FAST: Final = "they came faster than they were read"
NOT_ALLOWED: Final = "their sender is not among the allowed networks"
TOO_MANY: Final = f"more than {CONNECTIONS_MAX} connections were open"


async def run(source: LogSource, outlet: Outlet, report: Callable[[str], None]) -> None:
    """Serves until cancelled. Raises OSError if it can't have its address."""
    address = names.syslog(source.name)
    server = _Server(source, outlet)
    with ExitStack() as stack:
        tcp = udp = None
        if "tcp" in address.protocols:
            tcp = await asyncio.start_server(server.connected, address.host, address.port, limit=READ)
            stack.callback(tcp.close)
        if "udp" in address.protocols:
            udp = stack.enter_context(await _bound(address))
            asyncio.get_running_loop().add_reader(udp, server.readable, udp)
            stack.callback(asyncio.get_running_loop().remove_reader, udp)
        try:
            while True:
                server.tell(report, udp)
                await asyncio.sleep(TELL_EVERY)
        finally:
            if udp:
                server.readable(udp, most=100_000)
            if tcp:
                tcp.close()
            await server.leave()


async def _bound(address: names.Address) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, where = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        made.bind(where)
    except OSError:
        made.close()
        raise
    return made


class _Server:
    def __init__(self, source: LogSource, outlet: Outlet) -> None:
        self.source, self.outlet = source, outlet
        self.taken = 0
        self.dropped: Counter[str] = Counter()
        self.since = clock.now()
        self._connections: set[asyncio.Task[None]] = set()
        self._reading: set[asyncio.Future[bytes]] = set()
        self._leaving = False
        allowed = names.networks(source.senders)

        @lru_cache(maxsize=4_096)
        def may_send(host: str) -> bool:
            if not allowed:
                return True
            sender = ip_address(host.partition("%")[0])
            sender = getattr(sender, "ipv4_mapped", None) or sender
            return any(sender in network for network in allowed)

        self._may_send = may_send
        self._said: Counter[str] = Counter()
        self._next_word = 0.0

    # --- UDP -------------------------------------------------------------------------------------------------------

    def readable(self, udp: socket.socket, most: int = DATAGRAMS) -> None:
        received = clock.now()
        for _ in range(most):
            try:
                data, where = udp.recvfrom(DATAGRAM)
            except OSError:  # nothing left
                return
            host = where[0]
            if not self._may_send(host):
                self.dropped[NOT_ALLOWED] += 1
            elif data.strip(b"\0\r\n "):
                if self.outlet.offer(record(parse(data, received), received, host, self.source.service)):
                    self.taken += 1
                else:
                    self.dropped[NO_ROOM] += 1

    # --- TCP -------------------------------------------------------------------------------------------------------

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = (writer.get_extra_info("peername") or ("",))[0]
        task = asyncio.current_task()
        try:
            if not self._may_send(host):
                self.dropped[NOT_ALLOWED] += 1
            elif len(self._connections) >= CONNECTIONS_MAX:
                self.dropped[TOO_MANY] += 1
            elif task:
                self._connections.add(task)
                _keep_alive(writer.get_extra_info("socket"))
                with suppress(OSError):
                    await self._take_all(reader, host)
        finally:
            if task:
                self._connections.discard(task)
            writer.close()

    async def _take_all(self, reader: asyncio.StreamReader, host: str) -> None:
        frames = Frames()
        while data := await self._read(reader):
            await self._put(frames.feed(data), host)
        await self._put(frames.end(), host)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """What has come next; nothing at the end, after a day without a word, or if we leave and nothing is there."""
        reading = asyncio.ensure_future(reader.read(READ))
        self._reading.add(reading)
        try:
            await asyncio.wait({reading}, timeout=0.05 if self._leaving else IDLE_MAX)
        finally:
            self._reading.discard(reading)
            reading.cancel()
        return reading.result() if reading.done() and not reading.cancelled() else b""

    async def _put(self, messages: list[bytes], host: str) -> None:
        received = clock.now()
        for message in messages:
            await self.outlet.put(record(parse(message, received), received, host, self.source.service))
            self.taken += 1

    async def leave(self) -> None:
        """Takes what connections have sent already, and ends them."""
        self._leaving = True
        for reading in self._reading:
            reading.cancel()
        tasks = list(self._connections)
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_MAX)
        for task in tasks:
            task.cancel()

    # --- What became of it -----------------------------------------------------------------------------------------

    def tell(self, report: Callable[[str], None], udp: socket.socket | None) -> None:
        if udp:
            self.dropped[TOO_FAST] = _dropped_by_the_system(udp)
        since = f"{clock.moment(self.since):%Y-%m-%d %H:%M} UTC"
        drops = "".join(f"; {count:,} dropped because {reason}" for reason, count in self.dropped.items() if count)
        count = len(self._connections)
        connections = (
            f", {count:,} connection{'s' * (count != 1)}" if self.source.name.startswith(("tcp", "udp+")) else ""
        )
        report(f"listening{connections}; {self.taken:,} message{'s' * (self.taken != 1)} taken since {since}{drops}")
        new = self.dropped - self._said
        if new and time.monotonic() >= self._next_word:
            self._next_word = time.monotonic() + SAY_EVERY
            self._said = self.dropped.copy()
            for reason, number in new.items():
                meters.DROPPED.add(number, "syslog")
                log.warning("%s: %s messages were dropped because %s", self.source.name, f"{number:,}", reason)


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def _dropped_by_the_system(udp: socket.socket) -> int:
    """Datagrams that found the socket's buffer full; 0 where the system doesn't say."""
    try:
        return int(struct.unpack("9I", udp.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[8])
    except (OSError, struct.error):
        return 0
