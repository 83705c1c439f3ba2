"""The WebSocket of the Logs page: new lines as the page's own row fragment, or as JSON (`?format=json`).

The client says where it stands (`{"since": commit}`, on opening and on every return); it then gets everything after
that, in frames. The page answers each frame (`{"seen": commit}`) when its rows are on the screen, and gets the next one
then: what came meanwhile is one frame, as long as the page can show in a moment, and the number of the lines left out.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing, suppress
from typing import Any, Final

import msgspec
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import QueryDict
from django.utils.html import format_html

from accounts import sockets, visibility
from accounts.models import Scope
from accounts.visibility import Visible
from core import clock
from core.timezone import zone_of
from core.viewers import served
from logs import api, live
from logs.records import LogRecord
from logs.rows import render_rows
from logs.search import Search, SearchError, parse_search

FRAME_EVERY: Final = 0.1  # seconds between two frames to one viewer
FRAME_ROWS: Final = 200  # rows in a frame; of more, the newest
FRAME_ROWS_MIN: Final = 40  # more than a screen shows
FRAME_TIME: Final = 0.15  # seconds that a page should need for a frame, at most
GROWTH: Final = 1.5  # at most so many times as many rows as in the frame before
SEEN_WITHIN: Final = 5.0  # seconds after which an answer counts as lost
STAND_EVERY: Final = 5.0  # seconds after which a client is told where it stands, without rows
FIRST_MESSAGE: Final = 1.0  # seconds in which a client may say where it stands; else it begins with what is new
VISIBLE_FOR: Final = 10.0  # seconds after which it is looked whether the viewer may still see the same services
NOT_ALLOWED, BAD_QUERY, COME_AGAIN = 4403, 4400, 1012


class Said(msgspec.Struct):
    """What a client sends."""

    since: int | None = None  # the commit after which it wants everything
    seen: int | None = None  # the commit up to which it has shown everything


class LogsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    search: Search
    visible: Visible
    as_json = False
    _task: asyncio.Task[None] | None = None
    _rows = FRAME_ROWS  # as many as this page can take at once

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen = asyncio.Event()
        self._seen_at = 0.0
        self._answers = False  # a page that never answered isn't waited for

    async def connect(self) -> None:
        params = QueryDict(self.scope["query_string"])
        # Turned away after the handshake, for only then a browser is told the code and the reason.
        if not await sync_to_async(sockets.may)(self.scope, api.READ, Scope.READ):
            await self._turn_away(NOT_ALLOWED, "your session ended or lacks the right to read logs")
            return
        self.visible = await sync_to_async(sockets.visible)(self.scope)
        try:
            with visibility.seen_as(self.visible):
                self.search = parse_search(params, now=clock.now())
        except SearchError as error:
            await self._turn_away(BAD_QUERY, str(error))
            return
        self.as_json = params.get("format") == "json"
        self.zone = zone_of(self.scope.get("cookies", {}))
        newest = await live.feed().newest()
        await self.accept()
        self._task = asyncio.create_task(self._begin_with_new(newest))

    async def _turn_away(self, code: int, reason: str) -> None:
        await self.accept()
        # Not every server passes a close's reason on.
        await self.send(text_data=json.dumps({"error": reason}))
        await self.close(code=code, reason=reason[:120])

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            said = msgspec.json.decode(text_data or "", type=Said)
        except (msgspec.DecodeError, RecursionError):
            return
        if said.seen is not None:
            self._answers = True
            self._seen_at = time.monotonic()
            self._seen.set()
        if said.since is not None and self._task:
            self._task.cancel()
            self._task = asyncio.create_task(self._send_from(said.since))

    async def disconnect(self, code: int) -> None:
        if self._task:
            self._task.cancel()

    async def _begin_with_new(self, newest: int) -> None:
        await asyncio.sleep(FIRST_MESSAGE)
        await self._send_from(newest)

    async def _send_from(self, number: int) -> None:
        number = min(max(number, 0), await live.feed().newest())
        told = looked = time.monotonic()
        async with served(self, "A live view of lines"), aclosing(live.feed().follow(number)) as news:
            async for seen in news:
                if time.monotonic() - looked > VISIBLE_FOR:
                    looked = time.monotonic()
                    if await sync_to_async(sockets.visible)(self.scope) != self.visible:
                        await self.close(code=COME_AGAIN, reason="what you may see has changed")
                        return
                records = [record for record in seen.records if self._wanted(record)]
                # A client whose filter matches nothing still learns how far it has seen.
                if records or seen.skipped or (seen.newest > number and time.monotonic() - told > STAND_EVERY):
                    self._seen.clear()
                    await self._frame(records, seen.newest, seen.skipped)
                    number, told = seen.newest, time.monotonic()
                    await asyncio.sleep(FRAME_EVERY)
                    await self._until_seen(told)

    async def _until_seen(self, sent: float) -> None:
        """Waits for a page to show what it got, and learns how much that may be."""
        if not self._answers:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(SEEN_WITHIN):
                await self._seen.wait()
        took = (self._seen_at if self._seen.is_set() else time.monotonic()) - sent
        fitting = self._rows * min(FRAME_TIME / max(took, 0.001), GROWTH)
        self._rows = round(min(max(fitting, FRAME_ROWS_MIN), FRAME_ROWS))

    def _wanted(self, record: LogRecord) -> bool:
        return self.search.holds(record.timestamp) and self.search.node.matches(record)

    async def _frame(self, records: list[LogRecord], commit: int, skipped: int) -> None:
        records = sorted(records, key=lambda record: record.position, reverse=True)
        skipped += max(len(records) - self._rows, 0)
        lines, records = len(records), records[: self._rows]
        if self.as_json:
            frame = {"commit": commit, "skipped": skipped, "records": [record.as_json() for record in records]}
            await self.send(text_data=msgspec.json.encode(frame).decode())
            return
        await self.send(
            text_data=format_html(
                '<div id="log-rows" hx-swap-oob="afterbegin" '
                'data-commit="{}" data-lines="{}" data-skipped="{}">{}</div>',
                commit,
                lines,
                skipped,
                render_rows(records, self.search, self.zone),
            )
        )
