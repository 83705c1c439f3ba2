"""Asking without consequences: nothing is recorded. For people who are about to save something."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services import probes
from services.polling import close_connections
from services.probes import Measurement, Question


def ask(*questions: Question) -> list[Measurement]:
    """All at the same time, each within its timeout. Not from an event loop."""
    return asyncio.run(_ask(questions))


async def _ask(questions: Sequence[Question]) -> list[Measurement]:
    try:
        return await asyncio.gather(*(probes.ask(question) for question in questions))
    finally:
        await close_connections()
