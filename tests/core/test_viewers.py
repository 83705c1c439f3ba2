"""How the WebSocket of a live page ends."""

from __future__ import annotations

import asyncio

import pytest
from autobahn.exception import Disconnected

from core.viewers import served


class Consumer:
    closed: int | None = None

    async def close(self, code: int) -> None:
        self.closed = code


def fail(error: BaseException) -> None:
    raise error


async def test_a_viewer_that_left_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    consumer = Consumer()
    async with served(consumer, "A page"):
        fail(Disconnected())
    assert (caplog.messages, consumer.closed) == ([], None)


async def test_a_failure_is_logged_and_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    consumer = Consumer()
    async with served(consumer, "A page"):
        fail(ValueError("no"))
    assert (caplog.messages, consumer.closed) == (["A page ended"], 1011)


async def test_it_can_be_cancelled() -> None:
    with pytest.raises(asyncio.CancelledError):
        async with served(Consumer(), "A page"):
            fail(asyncio.CancelledError())
