"""The web server: Daphne, which finishes what is under way when it is told to stop.

`python -m monitor.web` takes Daphne's arguments. Daphne itself cancels every request at SIGTERM. Here nobody new is let
in, and requests have `PATIENCE` to end: a body that is being sent is taken, an export is read to its end. Live pages
and event streams, which never end, are sent off at once, and come again to the next server.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

from daphne.cli import CommandLineInterface  # type: ignore[import-untyped]
from daphne.http_protocol import WebRequest  # type: ignore[import-untyped]
from daphne.server import Server  # type: ignore[import-untyped]
from daphne.ws_protocol import WebSocketProtocol  # type: ignore[import-untyped]
from twisted.internet import reactor as _reactor
from twisted.internet import tcp
from twisted.internet.defer import Deferred

log = logging.getLogger(__name__)

PATIENCE: Final = 8.0  # seconds; a supervisor kills after 10
GOOD_BYE: Final = 5.0  # seconds in which a live page has to answer: it is reset then, and may not have read why
PIECE: Final = 1 << 20  # bytes of a body that has come, handed over at once: each piece costs a turn of the event loop
SERVICE_RESTART: Final = 1012  # of WebSockets, registered with IANA: come again

reactor: Any = _reactor  # a module, to mypy


class GentleServer(Server):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, request_buffer_size=PIECE, **options)
        self.ports: list[Any] = []
        self.connections: dict[Any, dict[str, Any]] = {}

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self.ports.append(port)

    def kill_all_applications(self) -> Deferred[Any]:
        """What Twisted waits for before it ends all connections."""
        ended: Deferred[Any] = Deferred.fromFuture(asyncio.ensure_future(self._finish()))
        ended.addErrback(lambda failure: log.error("Requests are cut:\n%s", failure.getTraceback()))
        return ended.addBoth(lambda _: super(GentleServer, self).kill_all_applications())

    async def _finish(self) -> None:
        for port in self.ports:
            port.stopListening()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._is_under_way():  # noqa: ASYNC110 - sockets say nothing when they have written all
                    await asyncio.sleep(0.05)
        # Daphne can't kill what has no application yet: a request whose body didn't come.
        self.connections = {
            protocol: details for protocol, details in self.connections.items() if "application_instance" in details
        }

    def _is_under_way(self) -> bool:
        for protocol in list(self.connections):
            send_off(protocol)
        if any(isinstance(writer, tcp.Server) for writer in reactor.getWriters()):
            return True
        return any(
            "disconnected" not in details or not _is_done(details.get("application_instance"))
            for details in self.connections.values()
        )


def send_off(protocol: Any) -> None:
    """Ends what has no end of its own, and sees to it that others end with this request."""
    if isinstance(protocol, WebSocketProtocol):
        if protocol.state == protocol.STATE_OPEN:
            protocol.closeHandshakeTimeout = GOOD_BYE
            protocol.sendCloseFrame(code=SERVICE_RESTART)
    elif isinstance(protocol, WebRequest) and not protocol.finished and protocol.channel is not None:
        protocol.channel.persistent = False
        if not protocol.startedWriting:
            protocol.setHeader(b"connection", b"close")
        elif _is_event_stream(protocol):
            if protocol.producer:
                protocol.producer.stopProducing()
                protocol.unregisterProducer()
            protocol.finish()  # the application hears that its client has gone


def _is_event_stream(request: Any) -> bool:
    types = request.responseHeaders.getRawHeaders(b"content-type", [])
    return any(each.startswith(b"text/event-stream") for each in types)


def _is_done(application: asyncio.Future[Any] | None) -> bool:
    return application is None or application.done()


class Command(CommandLineInterface):  # type: ignore[misc]
    server_class = GentleServer


if __name__ == "__main__":
    Command.entrypoint()
