"""The WebSocket of the Logs page: new lines as the page's own row fragment, or as JSON (`?format=json`).

The client says where it stands (`{"since": commit}`, on opening and on every return); it then gets everything after
that, in frames. A client that takes frames too slowly gets the number of the lines left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Final

import msgspec
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import QueryDict
from django.utils.html import format_html

from accounts import keys
from accounts.models import Scope
from core import clock
from core.timezone import zone_of
from logs import api, live
from logs.records import LogRecord
from logs.rows import render_rows
from logs.search import Search, SearchError, parse_search

log = logging.getLogger(__name__)

FRAME_EVERY: Final = 0.1  # seconds between two frames to one viewer
FRAME_ROWS: Final = 200  # rows in a frame; of more, the newest
STAND_EVERY: Final = 5.0  # seconds after which a client is told where it stands, without rows
FIRST_MESSAGE: Final = 1.0  # seconds in which a client may say where it stands; else it begins with what is new
NOT_ALLOWED, BAD_QUERY = 4403, 4400


class LogsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    search: Search
    _task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        params = QueryDict(self.scope["query_string"])
        # Turned away after the handshake, for only then a browser is told the code and the reason.
        if await sync_to_async(self._refused)():
            await self._turn_away(NOT_ALLOWED, "your session ended or lacks the right to read logs")
            return
        try:
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

    def _refused(self) -> bool:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}
        plain = keys.given(headers.get("authorization", ""), headers)
        if plain:
            access = keys.find(plain)
            return access is None or not access.allows(Scope.READ)
        user = self.scope.get("user")
        return user is None or not user.is_authenticated or not user.has_perm(api.READ)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            since = json.loads(text_data or "")["since"]
        except (ValueError, KeyError, TypeError):
            return
        if self._task and isinstance(since, int) and not isinstance(since, bool):
            self._task.cancel()
            self._task = asyncio.create_task(self._send_from(since))

    async def disconnect(self, code: int) -> None:
        if self._task:
            self._task.cancel()

    async def _begin_with_new(self, newest: int) -> None:
        await asyncio.sleep(FIRST_MESSAGE)
        await self._send_from(newest)

    async def _send_from(self, number: int) -> None:
        number = min(max(number, 0), await live.feed().newest())
        told = time.monotonic()
        try:
            async for seen in live.feed().follow(number):
                records = [record for record in seen.records if self._wanted(record)]
                # A client whose filter matches nothing still learns how far it has seen.
                if records or seen.skipped or (seen.newest > number and time.monotonic() - told > STAND_EVERY):
                    await self._frame(records, seen.newest, seen.skipped)
                    number, told = seen.newest, time.monotonic()
                    await asyncio.sleep(FRAME_EVERY)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The viewer comes back by itself and asks again from where it stands.
            log.exception("A live view ended")
            with suppress(Exception):
                await self.close(code=1011)

    def _wanted(self, record: LogRecord) -> bool:
        return self.search.holds(record.timestamp) and self.search.node.matches(record)

    async def _frame(self, records: list[LogRecord], commit: int, skipped: int) -> None:
        records = sorted(records, key=lambda record: record.position, reverse=True)
        skipped += max(len(records) - FRAME_ROWS, 0)
        lines, records = len(records), records[:FRAME_ROWS]
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
