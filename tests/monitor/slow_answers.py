"""An application for test_web.py: a long answer, the length of what was sent, an event stream, a live page, and one
that never answers."""

from __future__ import annotations

import asyncio
from typing import Any

from monitor.answers import answer

PART = b"x" * 65_536
PARTS = 400


async def pages(scope: Any, receive: Any, send: Any) -> None:
    kind = b"text/event-stream" if scope["path"] == "/events" else b"text/plain"
    if scope["path"] == "/never":
        await asyncio.Event().wait()
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if scope["path"] == "/export":
        for _ in range(PARTS):
            await send({"type": "http.response.body", "body": PART, "more_body": True})
    if scope["path"] == "/events":
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await receive()
        return
    await send({"type": "http.response.body", "body": str(len(body)).encode()})


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await answer(pages, scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass
