"""Pages that stay as things are: a page is made of fragments, and its WebSocket brings each one that has changed.

The page and the WebSocket call the same function for their fragments. Over the WebSocket the page says which versions
it has (`{"seen": {id: version}}`, on opening and on every return), and gets what is another now, at once and from then
on: `{"html": {id: [version, html]}, "lists": {id: [ids of its items, in order]}}`. static/pharos/live.js puts each in
its place.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, Final
from zlib import crc32

import msgspec
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db import close_old_connections
from django.http import QueryDict
from django.template.loader import get_template
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from core.timezone import zone_of
from core.viewers import served

LOOK_EVERY: Final = 5.0  # seconds after which it is looked without news: figures of log lines tell nobody
FRESH: Final = 2.0  # seconds for which a look without news takes what another viewer's look has found
DRAWN_MAX: Final = 1_000  # items of a list that are kept drawn
KEPT_MAX: Final = 64  # renderings that are kept for other viewers
MESSAGE_MAX: Final = 64 << 10
QUERY_MAX: Final = 2_000
NOT_ALLOWED: Final = 4403


class Fragments:
    """What a page shows: pieces of HTML, each an element with an id, and lists of such pieces."""

    def __init__(self) -> None:
        self.html: dict[str, SafeString] = {}  # by the id of the element, items of lists included
        self.lists: dict[str, list[str]] = {}  # ids of items by the id of the list's element

    def add(self, name: str, template: str, context: dict[str, Any]) -> None:
        """A piece. The root of `template` has the id `name`."""
        self.html[name] = _rendered(get_template(template), context)

    def add_list(
        self,
        name: str,
        template: str,
        items: Iterable[tuple[str, dict[str, Any]]],
        drawn: dict[Hashable, SafeString] | None = None,
    ) -> None:
        """A list, by (id, context) of each item. The element with the id `name` stands in the page itself.

        With `drawn`, an item whose context has the same "facts" as before is not drawn again.
        """
        loaded = get_template(template)
        self.lists[name] = []
        for key, context in items:
            self.lists[name].append(key)
            if drawn is None:
                self.html[key] = _rendered(loaded, context | {"id": key})
                continue
            facts = (key, timezone.get_current_timezone_name(), context["facts"])
            if facts not in drawn:
                if len(drawn) >= DRAWN_MAX:
                    drawn.clear()
                drawn[facts] = _rendered(loaded, context | {"id": key})
            self.html[key] = drawn[facts]

    def add_drawn(self, name: str, items: Iterable[tuple[str, SafeString]]) -> None:
        """A list, by (id, HTML) of each item."""
        drawn = dict(items)
        self.html |= drawn
        self.lists[name] = [*drawn]

    def __getitem__(self, name: str) -> SafeString:
        """For the page: `{{ live.name }}` is a piece, or all items of a list."""
        if name not in self.lists:
            return self.html[name]
        return mark_safe("\n".join(self.html[key] for key in self.lists[name]))  # noqa: S308 - rendered by templates

    @property
    def versions(self) -> dict[str, int]:
        return {name: version_of(html) for name, html in self.html.items()}


def _rendered(template: Any, context: dict[str, Any]) -> SafeString:
    return SafeString(template.render(context).strip())


def version_of(html: str) -> int:
    return crc32(html.encode())


def rights_of(user: AbstractBaseUser | AnonymousUser | None, wanted: Iterable[str]) -> frozenset[str]:
    """Those of the permissions that the user has."""
    if not isinstance(user, PermissionsMixin | AnonymousUser):
        return frozenset()
    return frozenset(permission for permission in wanted if user.has_perm(permission))


class Said(msgspec.Struct):
    """What a page sends."""

    seen: dict[str, int] = {}  # the versions that it has
    query: str = ""  # what it shows: filters and order, as in its address


# One thread renders for all viewers of the process: it can't starve those that answer requests.
_renderer = ThreadPoolExecutor(1, thread_name_prefix="live-pages")
_kept: dict[Hashable, tuple[float, Fragments]] = {}  # the renderer's own


class LivePage(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Subclasses say what the page is made of, and name their groups' events after `tell`."""

    permissions: ClassVar[tuple[str, ...]]  # that make a difference: `rights` has those that the viewer has
    needed: ClassVar[tuple[str, ...]]  # one of them is enough to look on
    rests: ClassVar[float] = 1.0  # seconds between two frames to one viewer, at least
    groups: ClassVar[list[str]]
    _task: asyncio.Task[None] | None = None
    viewer: Hashable = None  # who share what is drawn, beside having the same rights

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rights: frozenset[str] = frozenset()
        self.query = ""
        self._told = asyncio.Event()
        self._told_at = 0.0

    def fragments(self, params: QueryDict) -> Fragments:
        """What the page is made of now, for `self.rights`. Runs in a thread, in the viewer's time zone."""
        raise NotImplementedError

    def look_again(self) -> None:
        """Finds out who the viewer is now. Runs in the thread of `fragments`, before each look."""

    def shown(self, params: QueryDict) -> Fragments:
        """`fragments`, for `self.viewer`."""
        return self.fragments(params)

    async def connect(self) -> None:
        self.rights = await sync_to_async(rights_of)(self.scope.get("user"), self.permissions)
        self.zone = zone_of(self.scope.get("cookies", {}))
        # Turned away after the handshake, for only then a browser is told the code.
        await self.accept()
        if self.rights.isdisjoint(self.needed):
            self.rights = frozenset()
            await self.close(code=NOT_ALLOWED, reason="your session ended or lacks the right to look on")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.rights or text_data is None or len(text_data) > MESSAGE_MAX:
            return
        try:
            said = msgspec.json.decode(text_data, type=Said)
        except (msgspec.DecodeError, RecursionError):
            return
        if self._task:
            self._task.cancel()
        self.query = said.query[:QUERY_MAX]
        self._task = asyncio.create_task(self._follow(said.seen))

    async def disconnect(self, code: int) -> None:
        if self._task:
            self._task.cancel()

    async def tell(self, event: dict[str, Any]) -> None:
        """Something is new."""
        self._told_at = time.monotonic()
        self._told.set()

    async def _follow(self, seen: dict[str, int]) -> None:
        lists: dict[str, list[str]] = {}
        since = time.monotonic()
        async with served(self, "A live page"):
            while True:
                self._told.clear()
                found = await asyncio.get_running_loop().run_in_executor(_renderer, self._look, since)
                fresh = found.versions
                changed = {
                    name: [version, found.html[name]] for name, version in fresh.items() if seen.get(name) != version
                }
                moved = {name: keys for name, keys in found.lists.items() if lists.get(name) != keys}
                if changed or moved:
                    await self.send(json.dumps({"html": changed, "lists": moved}))
                seen, lists = fresh, found.lists
                await asyncio.sleep(self.rests)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY - self.rests):
                        await self._told.wait()
                since = self._told_at if self._told.is_set() else time.monotonic() - FRESH

    def _look(self, since: float) -> Fragments:
        """Viewers who see the same share what was found at `since` or later."""
        close_old_connections()
        try:
            self.look_again()
            key = (self.scope["path"], self.query, self.rights, self.viewer, self.zone.key)
            if key in _kept and _kept[key][0] >= since:
                return _kept[key][1]
            began = time.monotonic()
            with timezone.override(self.zone):
                found = self.shown(QueryDict(self.query))
        finally:
            close_old_connections()
        _kept.pop(key, None)
        _kept[key] = (began, found)
        if len(_kept) > KEPT_MAX:
            del _kept[next(iter(_kept))]
        return found
