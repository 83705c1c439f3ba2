"""New lines reach viewers by WebSocket and by server-sent events: each line once, after a cut as well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.http import QueryDict

from accounts import keys
from accounts.models import Scope
from core import clock
from logs import consumers, live
from logs.api import events
from logs.consumers import LogsConsumer
from logs.records import Level, LogRecord
from logs.search import parse_search
from logs.store import log_stores
from tests.logs.corpus import corpus, entries
from tests.sockets import Socket

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "logs"]), pytest.mark.asyncio]

_entry = iter(range(1_000_000))


@pytest.fixture(autouse=True)
async def _own_feed() -> AsyncIterator[None]:
    live._feeds.clear()
    yield
    await get_channel_layer().close_pools() if hasattr(get_channel_layer(), "close_pools") else None


async def say(*messages: str, level: Level = Level.INFO, tell: bool = True) -> int:
    """Commits lines as the ingester does, and wakes viewers (or doesn't)."""
    now = clock.now()
    lines = [LogRecord(now + n, level, "api", message) for n, message in enumerate(messages)]
    commit = await sync_to_async(log_stores["default"].append)(entries(lines, first=next(_entry)))
    if tell:
        await get_channel_layer().group_send(live.GROUP, {"type": live.EVENT, "commit": commit.number})
    return commit.number


async def alice() -> Any:
    user = await User.objects.acreate(username="alice")
    await user.user_permissions.aadd(await Permission.objects.aget(codename="read_records"))
    return user


def viewer(user: Any, query: str = "format=json", headers: Sequence[tuple[bytes, bytes]] = ()) -> Socket:
    communicator = Socket(LogsConsumer.as_asgi(), f"/ws/logs/?{query}", headers=list(headers))
    communicator.scope.update(user=user, cookies={})
    return communicator


async def messages(socket: Socket, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        frame = json.loads(await socket.receive_from())
        found += [record["message"] for record in reversed(frame["records"])]
    return found


# --- WebSocket -----------------------------------------------------------------------------------------------------


async def test_new_lines_come_without_being_asked_for() -> None:
    socket = viewer(await alice())
    assert (await socket.connect())[0]
    await socket.send_to(text_data=json.dumps({"since": 0}))
    await say("one", "two")
    await say("three")
    assert await messages(socket, 3) == ["one", "two", "three"]
    await socket.disconnect()


async def test_a_lost_wake_up_costs_a_second_and_no_line() -> None:
    socket = viewer(await alice())
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    await say("unheard", tell=False)
    assert await messages(socket, 1) == ["unheard"]
    await socket.disconnect()


async def test_a_viewer_who_was_away_gets_the_gap_once() -> None:
    user = await alice()
    seen = await say("before")
    await say("gap one")
    await say("gap two")
    socket = viewer(user)
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": seen}))
    await say("after")
    assert await messages(socket, 3) == ["gap one", "gap two", "after"]
    assert await socket.receive_nothing(timeout=0.5)
    await socket.disconnect()


async def test_a_late_line_is_part_of_the_gap() -> None:
    user = await alice()
    seen = await say("before")
    late = LogRecord(clock.now() - 5 * clock.MINUTE, Level.INFO, "api", "late")
    await sync_to_async(log_stores["default"].append)(entries([late], first=next(_entry)))
    socket = viewer(user)
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": seen}))
    assert await messages(socket, 1) == ["late"]
    await socket.disconnect()


async def test_the_filter_runs_on_the_server() -> None:
    socket = viewer(await alice(), "format=json&level=error&q=disk")
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    await say("disk is fine")
    await say("disk is full", "network is down", level=Level.ERROR)
    assert await messages(socket, 1) == ["disk is full"]
    assert await socket.receive_nothing(timeout=0.3)
    await socket.disconnect()


async def test_a_viewer_who_cannot_keep_up_is_told_how_much_was_skipped() -> None:
    await sync_to_async(log_stores["default"].append)(
        entries(corpus(consumers.FRAME_ROWS + 50, start=clock.now() - clock.MINUTE), first=next(_entry), size=1_000)
    )
    socket = viewer(await alice())
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    frame = json.loads(await socket.receive_from())
    assert len(frame["records"]) == consumers.FRAME_ROWS
    assert frame["skipped"] == 50
    await socket.disconnect()


async def test_a_page_that_needs_long_gets_fewer_rows_and_waits_for_nothing_twice() -> None:
    socket = viewer(await alice(), "format=json")
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    await say("first")
    assert await messages(socket, 1) == ["first"]
    await socket.send_to(text_data=json.dumps({"seen": 1}))  # from now on it answers
    await say("second")
    assert await messages(socket, 1) == ["second"]
    for n in range(3):
        await say(*[f"while it draws {n}-{m}" for m in range(60)])
    assert await socket.receive_nothing(timeout=0.4)
    await socket.send_to(text_data=json.dumps({"seen": 2}))
    frame = json.loads(await socket.receive_from())
    assert len(frame["records"]) < 100
    assert len(frame["records"]) + frame["skipped"] == 180
    assert frame["records"][0]["message"] == "while it draws 2-59"
    await socket.disconnect()


async def test_the_page_gets_its_own_row_fragment_with_the_text_escaped() -> None:
    socket = viewer(await alice(), "q=")
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    commit = await say("<script>alert(1)</script>")
    frame = await socket.receive_from()
    assert f'data-commit="{commit}" data-lines="1" data-skipped="0"' in frame
    assert "&lt;script&gt;alert(1)" in frame
    assert "<script" not in frame
    await socket.disconnect()


@pytest.mark.parametrize(
    "message", [" ", "nonsense", "[]", "{}", '{"since": "x"}', '{"since": null}', '{"since": true}', '{"since": -5}']
)
async def test_nonsense_from_a_client_is_ignored(message: str) -> None:
    socket = viewer(await alice())
    await socket.connect()
    await socket.send_to(text_data=message)
    await say("still here")
    assert await messages(socket, 1) == ["still here"]
    await socket.disconnect()


async def test_a_viewer_whose_filter_matches_nothing_learns_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "STAND_EVERY", 0.1)
    socket = viewer(await alice(), "format=json&q=nothing-like-it")
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    await asyncio.sleep(0.2)
    commit = await say("noise")
    assert json.loads(await socket.receive_from()) == {"commit": commit, "skipped": 0, "records": []}
    await socket.disconnect()


async def test_strangers_are_turned_away_with_a_reason() -> None:
    bob = await User.objects.acreate(username="bob")
    _, sender = await sync_to_async(keys.create)("sender", [Scope.INGEST])
    for user, headers in ((AnonymousUser(), []), (bob, []), (None, [(b"authorization", f"Bearer {sender}".encode())])):
        socket = viewer(user, headers=headers)
        await socket.connect()
        assert "lacks the right" in json.loads(await socket.receive_from())["error"]
        assert await socket.receive_output() == {
            "type": "websocket.close", "code": consumers.NOT_ALLOWED,
            "reason": "your session ended or lacks the right to read logs",
        }  # fmt: skip


async def test_a_key_that_reads_is_enough() -> None:
    _, reader = await sync_to_async(keys.create)("reader", [Scope.READ])
    socket = viewer(AnonymousUser(), headers=[(b"authorization", f"Bearer {reader}".encode())])
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"since": 0}))
    await say("hello")
    assert await messages(socket, 1) == ["hello"]
    await socket.disconnect()


async def test_a_bad_query_closes_with_where_and_why() -> None:
    socket = viewer(await alice(), "format=json&level=loud")
    await socket.connect()
    assert "expected one of trace" in json.loads(await socket.receive_from())["error"]
    closed = await socket.receive_output()
    assert closed["code"] == consumers.BAD_QUERY
    assert "expected one of trace" in closed["reason"]


# --- The feed ------------------------------------------------------------------------------------------------------


async def test_twenty_viewers_cost_one_read_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    real = live._read

    def read(number: int) -> Any:
        nonlocal reads
        reads += 1
        return real(number)

    monkeypatch.setattr(live, "_read", read)
    start = await live.feed().newest()

    async def view() -> list[str]:
        found: list[str] = []
        async for seen in live.feed().follow(start):
            found += [record.message for record in seen.records]
            if len(found) >= 5:
                return found
        return found

    viewers = [asyncio.create_task(view()) for _ in range(20)]
    await asyncio.sleep(0.1)
    for n in range(5):
        await say(f"line {n}")
        await asyncio.sleep(0.05)
    for found in await asyncio.gather(*viewers):
        assert found == [f"line {n}" for n in range(5)]
    # Each by itself would read each of the five lines: a hundred reads, and one for each look without news.
    assert reads < 50


async def test_what_fell_out_of_memory_is_read_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEPT_LINES", 3)
    start = await live.feed().newest()
    await live.feed().after(start)
    for n in range(10):
        await say(f"line {n}", tell=False)
        await asyncio.sleep(0.01)
        await live.feed().after(start)
    seen = await live.feed().after(start)
    assert [record.message for record in seen.records] == [f"line {n}" for n in range(10)]
    assert len(live.feed()._kept) == 3


# --- Server-sent events --------------------------------------------------------------------------------------------


async def read_events(query: str, resume: Any, count: int) -> list[tuple[str, str]]:
    """(id, message) of the next events."""
    search = parse_search(QueryDict(query), now=clock.now(), period="")
    found: list[tuple[str, str]] = []
    stream = cast("AsyncGenerator[bytes, None]", events(search, resume))
    async with asyncio.timeout(5):
        async for part in stream:
            for event in part.decode().split("\n\n"):
                if event.startswith("id: "):
                    number, _, data = event.partition("\ndata: ")
                    found.append((number.removeprefix("id: "), json.loads(data)["message"]))
            if len(found) >= count:
                break
    await stream.aclose()
    return found


async def test_events_carry_records_and_resume_within_a_commit() -> None:
    from logs.api import _event_id

    start = (await live.feed().newest(), (0, 0))
    await say("one", "two", "three")
    await say("four")
    first = await read_events("", start, 4)
    assert [message for _, message in first] == ["one", "two", "three", "four"]
    again = await read_events("", _event_id(first[1][0]), 2)
    assert again == first[2:]


async def test_events_are_filtered() -> None:
    start = (await live.feed().newest(), (0, 0))
    await say("noise", "signal")
    assert [message for _, message in await read_events("q=signal", start, 1)] == ["signal"]


class Silent:
    """A channel layer in which nothing is ever said."""

    async def new_channel(self) -> str:
        return "channel"

    async def group_add(self, group: str, channel: str) -> None: ...

    async def receive(self, channel: str) -> Any:
        await asyncio.Event().wait()


async def test_the_last_viewer_takes_the_ear_along_however_often_it_has_to_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deaf(Silent):
        """Waits for something that doesn't come before it ends, as a layer that is left without its connection."""

        async def receive(self, channel: str) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()
                raise

    monkeypatch.setattr(live, "get_channel_layer", Deaf)
    monkeypatch.setattr(live, "END_TIMEOUT", 0.01)
    feed = live.Feed()
    news = feed.follow(0)
    await anext(news)
    ear = feed._ear
    await asyncio.sleep(0)
    await news.aclose()
    assert ear is not None
    assert ear.done()


async def test_the_ear_ends_although_its_layer_keeps_the_cancellation_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Greedy(Silent):
        """Ends a command at the moment in which it is cancelled, as Redis' client may before Python 3.12."""

        async def group_add(self, group: str, channel: str) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    monkeypatch.setattr(live, "get_channel_layer", Greedy)
    ear = asyncio.create_task(live.Feed()._listen())
    await asyncio.sleep(0)
    ear.cancel()
    assert (await asyncio.wait([ear], timeout=5))[0] == {ear}
