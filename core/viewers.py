"""What every WebSocket of a live page does when its work ends before its viewer leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

log = logging.getLogger(__name__)


@asynccontextmanager
async def served(consumer: Any, what: str) -> AsyncIterator[None]:
    """Around what is sent for as long as somebody looks. A failure is logged, and closes the connection: the page comes
    back by itself and says where it stands."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except Exception as error:
        if _has_left(error):
            return
        log.exception("%s ended", what)
        with suppress(Exception):
            await consumer.close(code=1011)


def _has_left(error: Exception) -> bool:
    """While something was on its way to it."""
    # The server's own exception: where there is no server, nobody loads its megabytes.
    from autobahn.exception import Disconnected

    return isinstance(error, Disconnected)
