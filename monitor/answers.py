"""What Daphne leaves to its application when an answer is long: to wait for the client, and to break off.

Daphne passes each part on to Twisted, which keeps in memory whatever the client has not taken yet: an export for a slow
client would be there as a whole. And when the application fails in the middle of an answer, Daphne tries to begin
another one; the error this causes ends the loop in which Daphne cleans up after all its connections, and the client
waits for ever. Other servers do both by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from daphne.http_protocol import WebRequest  # type: ignore[import-untyped]

log = logging.getLogger(__name__)

Application = Callable[[Any, Any, Any], Awaitable[None]]


async def answer(application: Application, scope: Any, receive: Any, send: Any) -> None:
    """Runs the application for one request: on Daphne no faster than the client takes its answer."""
    request = send.args[0] if isinstance(send, partial) and send.args else None
    if not isinstance(request, WebRequest):
        await application(scope, receive, send)
        return
    try:
        await application(scope, receive, Paced(request, send))
    except Exception:
        if not request.startedWriting:
            raise  # Daphne answers with an error 500
        log.exception("The answer to %s %s broke off in the middle", scope["method"], scope["path"])
        break_off(request)


def break_off(request: Any) -> None:
    """Ends the connection so that the client can't take what it has for the whole: no last chunk, and a reset."""
    if request.channel is not None:
        request.channel.forceAbortClient()


class Paced:
    """Daphne's `send`, which returns when there is room for more. Twisted says when that is."""

    def __init__(self, request: Any, send: Any) -> None:
        self.request, self.send = request, send
        self.room = asyncio.Event()
        self.room.set()

    async def __call__(self, message: dict[str, Any]) -> None:
        more = bool(message.get("more_body"))
        if not self.request.finished and self.request.channel is not None:
            self._tell_twisted(more)
        await self.send(message)
        if more:
            await self.room.wait()

    def _tell_twisted(self, more: bool) -> None:
        registered = self.request.producer is self
        if more and not registered:
            self.request.registerProducer(self, True)
        elif registered and not more:
            self.request.unregisterProducer()

    # What Twisted calls (IPushProducer)

    def pauseProducing(self) -> None:  # noqa: N802
        self.room.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self.room.set()

    def stopProducing(self) -> None:  # noqa: N802
        self.room.set()  # the client has gone; Django hears of it and cancels the view
