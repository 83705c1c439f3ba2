"""An application for test_answers.py: without end, or broken in the middle."""

from __future__ import annotations

import json
from typing import Any

from monitor.answers import answer

PART = b"x" * 65_536
sent = {"parts": 0}


async def flood(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/flood":
        for _ in range(4_000):
            sent["parts"] += 1
            await send({"type": "http.response.body", "body": PART, "more_body": True})
    if scope["path"] == "/broken":
        await send({"type": "http.response.body", "body": PART, "more_body": True})
        raise RuntimeError("the database went away")
    await send({"type": "http.response.body", "body": json.dumps(sent).encode()})


async def application(scope: Any, receive: Any, send: Any) -> None:
    await answer(flood, scope, receive, send)
