"""A client of our WebSockets, for tests."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from channels.testing import WebsocketCommunicator

PATIENCE: Final = 30.0  # seconds; Channels waits for one, and to connect takes longer on a busy machine


class Socket(WebsocketCommunicator):  # type: ignore[misc]
    """Fails when nothing comes, and never waits for ever.

    Channels' own cancels the consumer then and waits for its end. A consumer that was just waiting for a thread never
    ends so: asgiref returns the thread's answer instead of the cancellation.
    """

    async def receive_output(self, _: float = 0) -> Any:
        if not self.future.done():
            said = asyncio.ensure_future(super().receive_output(None))
            await asyncio.wait({said, self.future}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if said.done():
                return said.result()
            said.cancel()
            assert self.future.done(), f"nothing came within {PATIENCE:g} s"
        return await super().receive_output()  # what one said last that has ended, or what it raised

    async def wait(self, _: float = 0) -> None:
        await super().wait(PATIENCE)
