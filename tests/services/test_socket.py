"""The WebSocket of the Services pages: what changes comes by itself, once, and only to those who may see it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.utils import timezone

from accounts import keys
from accounts.models import Scope
from services import consumers, listing, live
from services.consumers import ServicesConsumer
from services.models import Check, Service
from tests.services import made
from tests.sockets import Socket

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "logs"]), pytest.mark.asyncio]

service = sync_to_async(made.service)
check = sync_to_async(made.check)


@pytest.fixture(autouse=True)
async def _close_layer() -> AsyncIterator[None]:
    yield
    await get_channel_layer().close_pools() if hasattr(get_channel_layer(), "close_pools") else None


async def bob() -> Any:
    user = await User.objects.acreate(username="bob")
    await user.user_permissions.aadd(await Permission.objects.aget(codename="view_service"))
    return user


def viewer(user: Any, query: str = "", headers: Sequence[tuple[bytes, bytes]] = ()) -> Socket:
    communicator = Socket(ServicesConsumer.as_asgi(), f"/ws/services/?{query}", headers=list(headers))
    communicator.scope.update(user=user, cookies={})
    return communicator


async def open_list(query: str = "", until: str | None = None) -> Socket:
    """A list that shows what there is now."""
    socket = viewer(await bob(), query)
    assert (await socket.connect())[0]
    briefs = await sync_to_async(listing.briefs)()
    await say(socket, {str(brief.pk): brief.digest for brief in briefs}, until)
    return socket


async def say(socket: Socket, shown: dict[str, str], until: str | None = None) -> None:
    await socket.send_to(text_data=json.dumps({"shown": shown, "until": until}))


async def frame(socket: Socket) -> dict[str, Any]:
    return dict(json.loads(await socket.receive_from()))


async def become(of: Service, status: str, reason: str = "") -> None:
    since = timezone.now() - timedelta(seconds=3)
    await Service.objects.filter(pk=of.pk).aupdate(status=status, status_since=since, reason=reason)
    await sync_to_async(made.change)(of, since, status)
    await told(of)


async def told(*services: Service) -> None:
    await get_channel_layer().group_send(live.GROUP, {"type": live.EVENT, "news": [each.pk for each in services]})


# --- The list ------------------------------------------------------------------------------------------------------


async def test_a_change_comes_as_the_card_of_the_page() -> None:
    worker = await service("worker")
    await service("ocr")
    socket = await open_list()
    await become(worker, "down", "readiness fails: <refused>")
    told = await frame(socket)
    [[key, html]] = told["cards"]
    assert key == f"0worker {worker.pk}"
    assert f'id="svc-{worker.pk}"' in html
    assert "readiness fails: &lt;refused&gt;" in html
    assert told["counts"] == {"red": 1, "yellow": 0, "grey": 0, "blue": 0, "green": 1}
    assert await socket.receive_nothing(timeout=0.5)
    await socket.disconnect()


async def test_another_latency_is_a_few_bytes() -> None:
    worker = await service("worker")
    ready = await check(worker)
    socket = await open_list()
    await Check.objects.filter(pk=ready.pk).aupdate(latency_us=77_000)
    await told(worker)
    assert await frame(socket) == {"took": {str(worker.pk): "77 ms"}}
    await socket.disconnect()


async def test_what_changed_while_the_page_was_away_comes_once() -> None:
    worker, ocr = await service("worker"), await service("ocr")
    socket = await open_list()
    shown = {str(brief.pk): brief.digest for brief in await sync_to_async(listing.briefs)()}
    await socket.disconnect()
    await become(worker, "down")
    await ocr.adelete()
    again = viewer(await User.objects.aget(username="bob"))
    await again.connect()
    await say(again, shown)
    told = await frame(again)
    assert [key for key, _ in told["cards"]] == [f"0worker {worker.pk}"]
    assert told["gone"] == [int(pk) for pk in shown if int(pk) != worker.pk]
    assert await again.receive_nothing(timeout=0.5)
    await again.disconnect()


async def test_the_filter_of_the_page_holds() -> None:
    worker, ocr = await service("worker", "down"), await service("ocr", "down")
    socket = await open_list("q=worker&colour=red")
    assert (await frame(socket))["gone"] == [ocr.pk]
    await become(ocr, "degraded")
    await become(worker, "healthy")
    told = await frame(socket)
    assert told["gone"] == [worker.pk]
    assert told["counts"]["green"] == 1
    assert "cards" not in told
    await become(worker, "down")
    assert len((await frame(socket))["cards"]) == 1
    await socket.disconnect()


async def test_what_scrolling_would_bring_is_not_sent() -> None:
    first, last = await service("a"), await service("z")
    socket = viewer(await bob())
    await socket.connect()
    [brief] = [brief for brief in await sync_to_async(listing.briefs)() if brief.pk == first.pk]
    await say(socket, {str(first.pk): brief.digest}, brief.key)
    await become(last, "healthy", "every check is up")
    assert await socket.receive_nothing(timeout=0.5)
    await become(last, "down")
    assert [key for key, _ in (await frame(socket))["cards"]] == [f"0z {last.pk}"]
    await socket.disconnect()


async def test_many_changes_are_few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "FRAME_CARDS", 4)
    services = [await service(f"s{n}") for n in range(10)]
    socket = await open_list()
    await Service.objects.aupdate(status="down")
    await told(*services)
    sizes = [len((await frame(socket))["cards"]) for _ in range(3)]
    assert sizes == [4, 4, 2]
    await socket.disconnect()


async def test_more_than_can_be_told_means_look_at_everything() -> None:
    worker = await service("worker")
    socket = await open_list()
    await Service.objects.filter(pk=worker.pk).aupdate(status="down")
    event = {"type": live.EVENT, "news": list(range(10_000, 10_000 + live.TOLD_MAX + 1))}
    await get_channel_layer().group_send(live.GROUP, event)
    assert len((await frame(socket))["cards"]) == 1
    await socket.disconnect()


async def test_a_lost_wake_up_costs_some_seconds_and_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "LOOK_EVERY", 0.1)
    worker = await service("worker")
    socket = await open_list()
    await Service.objects.filter(pk=worker.pk).aupdate(status="down")
    assert len((await frame(socket))["cards"]) == 1
    await socket.disconnect()


@pytest.mark.parametrize("said", [" ", "nonsense", "[]", '{"shown": 3}', '{"shown": {"x": "y"}}', "[" * 9_999])
async def test_nonsense_is_not_heard(said: str) -> None:
    worker = await service("worker")
    socket = await open_list()
    await socket.send_to(text_data=said)
    await become(worker, "down")
    assert len((await frame(socket))["cards"]) == 1
    await socket.disconnect()


# --- One service ---------------------------------------------------------------------------------------------------


async def test_the_page_of_a_service_gets_the_parts_that_changed() -> None:
    worker = await service("worker")
    ready = await check(worker)
    socket = viewer(await bob(), f"service={worker.pk}")
    await socket.connect()
    await socket.send_to(text_data="{}")
    everything = await frame(socket)
    assert set(everything["parts"]) == {*consumers.PARTS, *consumers.HISTORY}
    for element, html in everything["parts"].items():
        assert f'id="{element}"' in html
    await Check.objects.filter(pk=ready.pk).aupdate(latency_us=77_000)
    await told(worker)
    fresh = await frame(socket)
    assert "77 ms" in fresh["parts"]["service-checks"]
    assert "service-outages" not in fresh["parts"]
    assert not fresh["changed"]
    await become(worker, "down", "refused")
    fallen = await frame(socket)
    assert "refused" in fallen["parts"]["service-head"]
    assert "service-outages" in fallen["parts"]
    assert fallen["changed"]
    await socket.disconnect()


async def test_news_of_others_are_not_for_this_page() -> None:
    worker, ocr = await service("worker"), await service("ocr")
    socket = viewer(await bob(), f"service={worker.pk}")
    await socket.connect()
    await socket.send_to(text_data="{}")
    await frame(socket)
    await become(ocr, "down")
    assert await socket.receive_nothing(timeout=0.5)
    await socket.disconnect()


# --- Who may see it --------------------------------------------------------------------------------------------------


async def refusal(socket: Socket) -> tuple[str, int]:
    assert (await socket.connect())[0]
    said = json.loads(await socket.receive_from())
    closed = await socket.receive_output()
    return said["error"], closed["code"]


async def test_strangers_and_users_without_the_right_are_turned_away() -> None:
    carol = await User.objects.acreate(username="carol")
    for user in (AnonymousUser(), carol):
        assert (await refusal(viewer(user)))[1] == consumers.NOT_ALLOWED


async def test_a_key_that_may_read_is_enough_and_another_is_not() -> None:
    for scope, allowed in ((Scope.READ, True), (Scope.INGEST, False)):
        _, plain = await sync_to_async(keys.create)(f"of {scope}", [scope])
        socket = viewer(AnonymousUser(), headers=[(b"authorization", f"Bearer {plain}".encode())])
        if allowed:
            assert (await socket.connect())[0]
            await say(socket, {})
            assert await socket.receive_nothing(timeout=0.3)
            await socket.disconnect()
        else:
            assert (await refusal(socket))[1] == consumers.NOT_ALLOWED
