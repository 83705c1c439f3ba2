"""The WebSocket of the Services pages: cards of the list, or parts of a service's page (`?service=4`), as they change.

The list says what it shows: `{"shown": {"12": digest, …}, "until": key}`, on opening, on every return, and when it has
loaded more. It gets what is another than that: no gap after a cut, and nothing twice. Frames are JSON:

    {"cards": [[key, html], …], "gone": [id, …], "took": {"12": "42 ms"}, "counts": {"red": 1, …}}
    {"parts": {"service-head": html, …}, "changed": true}

`took` are latencies of cards that are the same otherwise; `changed` says that the status is another one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

import msgspec
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils import timezone

from accounts import sockets, visibility
from accounts.models import Scope
from core.timezone import zone_of
from core.viewers import served
from services import cards, details, listing, live, visible
from services.durations import milliseconds
from services.listing import Brief
from services.models import Service

READ: Final = "services.view_service"
FRAME_EVERY: Final = 0.2  # seconds between two frames to one viewer
LOOK_EVERY: Final = 15.0  # seconds after which everything is looked at: a wake-up may get lost
FRAME_CARDS: Final = 50  # in one frame; the rest comes in the next
SHOWN_MAX: Final = 5_000
NOT_ALLOWED, NOT_FOUND = 4403, 4404
# The parts of a service's page: id of the element → partial of its template.
PARTS: Final = {
    "service-head": "head",
    "service-checks": "tree",
    "service-results": "results",
    "service-containers": "containers",
}
HISTORY: Final = {"service-figures": "figures", "service-strip": "strip", "service-outages": "outages"}


class Said(msgspec.Struct):
    """What the list sends."""

    shown: dict[int, str] = {}  # id → digest, of the cards that it has
    until: str | None = None  # the key of its last card, if there are more


class ServicesConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    groups = [live.GROUP]
    _task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        parameters = QueryDict(self.scope["query_string"])
        # Turned away after the handshake, for only then a browser is told the code and the reason.
        if not await database_sync_to_async(sockets.may)(self.scope, READ, Scope.READ):
            await self._turn_away(NOT_ALLOWED, "your session ended or lacks the right to see services")
            return
        self.visible = await database_sync_to_async(sockets.visible)(self.scope)
        zone = zone_of(self.scope.get("cookies", {}))
        one = parameters.get("service", "")
        self.viewer: ListViewer | ServiceViewer
        self.viewer = ServiceViewer(_number(one), zone) if one else ListViewer(listing.parse(parameters), zone)
        self._told = asyncio.Event()
        await self.accept()
        self._task = asyncio.create_task(self._send_for_ever())

    async def _turn_away(self, code: int, reason: str) -> None:
        await self.accept()
        # Not every server passes a close's reason on.
        await self.send(text_data=json.dumps({"error": reason}))
        await self.close(code=code, reason=reason[:120])

    async def disconnect(self, code: int) -> None:
        if self._task:
            self._task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            said = msgspec.json.decode(text_data or "", type=Said, strict=False)
        except (msgspec.DecodeError, RecursionError):
            return
        if self._task and len(said.shown) <= SHOWN_MAX:
            self.viewer.said(said)
            self._told.set()

    async def services_changed(self, event: dict[str, Any]) -> None:
        """`live.announce` in some other process. More ids than it tells are as good as all."""
        if self._task:
            news = event["news"]
            self.viewer.wants(news if len(news) <= live.TOLD_MAX else None)
            self._told.set()

    async def _send_for_ever(self) -> None:
        async with served(self, "A live view of services"):
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._told.wait()
                if not self._told.is_set():
                    self.viewer.wants(None)
                self._told.clear()
                frame, left = await database_sync_to_async(self._frame)()
                if left:
                    self._told.set()
                if frame:
                    await self.send(text_data=json.dumps(frame))
                await asyncio.sleep(FRAME_EVERY)

    def _frame(self) -> tuple[Frame, bool]:
        visible = sockets.visible(self.scope)
        if visible != self.visible:
            self.visible = visible
            self.viewer.wants(None)
        with visibility.seen_as(visible):
            return self.viewer.frame()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0


Frame = dict[str, Any]


class ListViewer:
    """What one list shows, and what it has to be told. `frame` is called by one thread at a time."""

    def __init__(self, wanted: listing.Filter, zone: Any) -> None:
        self._wanted, self._zone = wanted, zone
        self._colours: dict[int, str] = {}  # of all services that match, whatever colour is asked for
        self._counts: dict[str, int] = {}
        self._shown: dict[int, str] = {}
        self._until: str | None = None
        self._news: set[int] = set()
        self._everything = False
        self._begun = False  # it has said what it shows

    def said(self, said: Said) -> None:
        self._shown, self._until = dict(said.shown), said.until
        self._everything = self._begun = True

    def wants(self, services: Collection[int] | None) -> None:
        """None: everything."""
        if services is None:
            self._everything = True
        else:
            self._news.update(services)

    def frame(self) -> tuple[Frame, bool]:
        """What is new; and whether more waits for the next frame."""
        if not self._begun:
            return {}, False
        everything, news = self._everything, self._news
        self._everything, self._news = False, set()
        found = listing.briefs(None if everything else visible.services(Service.objects.filter(pk__in=news).order_by()))
        looked_at = set(self._shown) | set(self._colours) if everything else news
        gone = self._count(found, looked_at, everything)
        fresh = sorted((brief for brief in found if self._is_new(brief)), key=lambda brief: brief.key)
        now_sent, later = fresh[:FRAME_CARDS], fresh[FRAME_CARDS:]
        self._news.update(brief.pk for brief in later)
        frame = self._of(now_sent, gone, [brief.pk for brief in found if brief.pk in news])
        return frame, bool(later)

    def _count(self, found: list[Brief], looked_at: Collection[int], everything: bool) -> list[int]:
        """Keeps the counts, and says which cards have to go."""
        if everything:
            self._colours = {}
        for pk in looked_at:
            self._colours.pop(pk, None)
        staying = set()
        for brief in found:
            if listing.matches(brief, self._wanted):
                self._colours[brief.pk] = brief.colour
                if listing.shows(brief, self._wanted):
                    staying.add(brief.pk)
        gone = [pk for pk in looked_at if pk in self._shown and pk not in staying]
        for pk in gone:
            del self._shown[pk]
        return gone

    def _is_new(self, brief: Brief) -> bool:
        if not listing.shows(brief, self._wanted) or self._shown.get(brief.pk) == brief.digest:
            return False
        # Further down than the page has loaded: scrolling brings it.
        return brief.pk in self._shown or self._until is None or brief.key <= self._until

    def _of(self, briefs: list[Brief], gone: list[int], news: list[int]) -> Frame:
        frame: Frame = {}
        fresh = {brief.pk for brief in briefs}
        if briefs:
            with timezone.override(self._zone):
                drawn = cards.render(briefs, timezone.now())
            frame["cards"] = [[brief.key, html] for brief, html in zip(briefs, drawn, strict=True)]
            self._shown.update((brief.pk, brief.digest) for brief in briefs)
        if gone:
            frame["gone"] = gone
        same = [pk for pk in news if pk in self._shown and pk not in fresh]
        if took := self._took(same):
            frame["took"] = took
        counts = listing.count(self._colours.values())
        if counts != self._counts and (self._counts or frame):
            frame["counts"] = counts
        self._counts = counts
        return frame

    def _took(self, services: list[int]) -> dict[int, str]:
        asked = cards.leading(services) if services else {}
        return {pk: milliseconds(check.latency_us) for pk, check in asked.items() if check.latency_us is not None}


class ServiceViewer:
    """The page of one service: its parts, whenever one is another than it was sent."""

    def __init__(self, service: int, zone: Any) -> None:
        self._service, self._zone = service, zone
        self._wanted = True
        self._sent: dict[str, str] = {}
        self._status: tuple[Any, ...] = ()

    def said(self, said: Said) -> None:
        self._wanted, self._sent = True, {}

    def wants(self, services: Collection[int] | None) -> None:
        self._wanted = self._wanted or services is None or self._service in services

    def frame(self) -> tuple[Frame, bool]:
        if not self._wanted:
            return {}, False
        self._wanted = False
        found = visible.services(Service.objects.select_related("culprit", "explained_by"))
        service = found.filter(pk=self._service).first()
        if service is None:
            return {"gone": [self._service]}, False
        service = visible.without_hidden(service)
        with timezone.override(self._zone):
            parts, changed = self._render(service)
        fresh = {name: html for name, html in parts.items() if self._sent.get(name) != html}
        self._sent |= fresh
        return ({"parts": fresh, "changed": changed} if fresh else {}), False

    def _render(self, service: Service) -> tuple[dict[str, str], bool]:
        now = timezone.now()
        context = details.live(service, list(service.checks.filter(enabled=True).defer("secrets")), now)
        wanted = dict(PARTS)
        status = (service.status, service.status_since)
        changed = status != self._status
        if changed:
            context |= details.history(service, now)
            wanted |= HISTORY
        self._status = status
        return {
            element: render_to_string(f"services/detail.html#{partial}", context).strip()
            for element, partial in wanted.items()
        }, changed
