"""Pages that stay as things are: what has changed comes over the WebSocket, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.http import QueryDict

from core import fragments
from core.fragments import Fragments, rights_of, version_of
from monitor import health, overview
from monitor.consumers import OverviewConsumer
from services import container_views, live
from services.container_consumers import ContainerConsumer, ContainersConsumer
from services.models import Container, Service
from tests.services.fleet import container, service
from tests.sockets import Socket

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "logs"]), pytest.mark.asyncio]

WELL = {"status": "healthy", "latency_ms": 3.2, "detail": "answers"}


@pytest.fixture(autouse=True)
async def _fresh(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    checks: dict[str, Any] = dict.fromkeys(("database", "redis", "worker", "ingest"), WELL)
    monkeypatch.setattr(health, "readiness", lambda: {"status": "ready", "checks": checks})
    monkeypatch.setattr(fragments.LivePage, "rests", 0.01)
    monkeypatch.setattr(ContainersConsumer, "rests", 0.01)
    monkeypatch.setattr(fragments, "LOOK_EVERY", 60.0)  # nothing comes without news
    monkeypatch.setattr(overview, "_figures", {})
    fragments._kept.clear()
    yield
    await get_channel_layer().close_pools() if hasattr(get_channel_layer(), "close_pools") else None


async def somebody(*permissions: str) -> Any:
    user = await User.objects.acreate(username="-".join(permissions) or "bob")
    await user.user_permissions.aset(Permission.objects.filter(codename__in=permissions))
    return user


def viewer(user: Any, consumer: Any = OverviewConsumer, path: str = "/ws/overview/", **route: Any) -> Any:
    communicator = Socket(consumer.as_asgi(), path)
    communicator.scope.update(user=user, cookies={}, url_route={"kwargs": route})
    return communicator


async def begin(socket: Any, seen: dict[str, int] | None = None, query: str = "") -> Any:
    """Connects, says what the page has, and returns the first frame."""
    await socket.connect()
    return await ask(socket, seen, query)


async def ask(socket: Any, seen: dict[str, int] | None = None, query: str = "") -> Any:
    await socket.send_to(text_data=json.dumps({"seen": seen or {}, "query": query}))
    return await frame(socket)


async def frame(socket: Any) -> Any:
    return json.loads(await socket.receive_from())


async def announce(*services: int) -> None:
    """As `live.announce` does, without waiting for its thread."""
    await get_channel_layer().group_send(live.GROUP, {"type": live.EVENT, "news": list(services)})


# --- The start page ---------------------------------------------------------------------------------------------------


async def test_a_page_that_has_nothing_gets_everything() -> None:
    api = await sync_to_async(service)("api")
    socket = viewer(await somebody("view_service", "read_records"))
    first = await begin(socket)
    assert first["lists"]["services"] == [f"svc-{api.pk}"]
    assert {"cards", "tally", "volume", "newest-errors", f"svc-{api.pk}"} <= first["html"].keys()
    version, html = first["html"][f"svc-{api.pk}"]
    assert version == version_of(html)
    await socket.disconnect()


async def test_a_change_comes_by_itself_and_only_what_has_changed() -> None:
    api = await sync_to_async(service)("api")
    web = await sync_to_async(service)("web")
    socket = viewer(await somebody("view_service"))
    await begin(socket)
    await Service.objects.filter(pk=web.pk).aupdate(status="down", reason="refused <b>")
    await announce(web.pk)
    change = await frame(socket)
    assert f"svc-{web.pk}" in change["html"]
    assert f"svc-{api.pk}" not in change["html"]
    assert "refused &lt;b&gt;" in change["html"][f"problem-{web.pk}"][1]
    assert change["lists"]["services"] == [f"svc-{web.pk}", f"svc-{api.pk}"]
    assert change["lists"]["problems"] == [f"problem-{web.pk}"]
    await announce(web.pk)
    assert await socket.receive_nothing(timeout=0.3)
    await socket.disconnect()


async def test_a_page_that_comes_back_gets_what_it_missed_and_nothing_else() -> None:
    api = await sync_to_async(service)("api")
    user = await somebody("view_service")
    socket = viewer(user)
    first = await begin(socket)
    seen = {name: version for name, (version, _) in first["html"].items()}
    await socket.disconnect()
    socket = viewer(user)
    assert (await begin(socket, seen))["html"] == {}
    await socket.disconnect()
    await Service.objects.filter(pk=api.pk).aupdate(status="down")
    socket = viewer(user)
    assert f"svc-{api.pk}" in (await begin(socket, seen))["html"]
    await socket.disconnect()


async def test_figures_of_log_lines_come_without_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(fragments, "FRESH", 0.0)
    monkeypatch.setattr(overview, "FIGURES_KEPT", 0.0)
    socket = viewer(await somebody("read_records"))
    first = await begin(socket)
    assert "chart-data" in first["html"]
    assert "chart-data" in (await frame(socket))["html"]  # its hour has moved on
    assert "services" not in first["lists"]
    await socket.disconnect()


async def test_the_page_and_the_socket_show_the_same() -> None:
    await sync_to_async(service)("api", "down", "refused")
    rights = frozenset({overview.WATCH})
    there = await sync_to_async(overview.fragments)(rights)
    socket = viewer(await somebody("view_service"))
    assert (await begin(socket, there.versions))["html"] == {}
    await socket.disconnect()


@pytest.mark.parametrize("message", [" ", "nonsense", "[]", '{"seen": 1}', '{"seen": {"a": "b"}}', '{"query": []}'])
async def test_nonsense_from_a_page_is_ignored(message: str) -> None:
    socket = viewer(await somebody("view_service"))
    await socket.connect()
    await socket.send_to(text_data=message)
    assert await socket.receive_nothing(timeout=0.1)
    assert "cards" in (await ask(socket))["html"]
    await socket.disconnect()


async def test_strangers_are_turned_away_with_a_reason() -> None:
    bob = await somebody()
    for user in (AnonymousUser(), bob, None):
        for consumer in (OverviewConsumer, ContainersConsumer, ContainerConsumer):
            socket = viewer(user, consumer, pk=1)
            await socket.connect()
            closed = await socket.receive_output()
            assert (closed["type"], closed["code"]) == ("websocket.close", fragments.NOT_ALLOWED)


async def test_one_who_may_add_services_only_doesnt_look_on() -> None:
    socket = viewer(await somebody("add_service"))
    await socket.connect()
    assert (await socket.receive_output())["code"] == fragments.NOT_ALLOWED


async def test_viewers_who_see_the_same_share_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    real = overview.fragments

    def counted(rights: frozenset[str]) -> Fragments:
        nonlocal looks
        looks += 1
        return real(rights)

    monkeypatch.setattr(overview, "fragments", counted)
    monkeypatch.setattr(fragments, "LOOK_EVERY", 0.3)
    api = await sync_to_async(service)("api")
    user = await somebody("view_service")
    viewers = [viewer(user) for _ in range(6)]
    for socket in viewers:
        await begin(socket)
    looks = 0
    await Service.objects.filter(pk=api.pk).aupdate(status="degraded")
    for socket in viewers:
        assert f"svc-{api.pk}" in (await frame(socket))["html"]
    assert looks < 6
    for socket in viewers:
        await socket.disconnect()


async def test_an_error_ends_the_socket_so_that_the_page_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(rights: frozenset[str]) -> Fragments:
        raise ValueError("broken")

    monkeypatch.setattr(overview, "fragments", broken)
    socket = viewer(await somebody("view_service"))
    await socket.connect()
    await socket.send_to(text_data="{}")
    assert (await socket.receive_output())["code"] == 1011
    assert "A live page ended" in caplog.text


# --- Containers -------------------------------------------------------------------------------------------------------


async def test_a_container_that_ends_changes_its_row() -> None:
    web = await sync_to_async(container)("web-1")
    other = await sync_to_async(container)("web-2")
    socket = viewer(await somebody("view_container"), ContainersConsumer, "/ws/containers/")
    first = await begin(socket)
    assert first["lists"]["rows"] == [f"container-{web.pk}", f"container-{other.pk}"]
    await Container.objects.filter(pk=other.pk).aupdate(state="exited", exit_code=137, oom_killed=True)
    await announce(1)
    change = await frame(socket)
    assert "exited with 137, out of memory" in change["html"][f"container-{other.pk}"][1]
    assert f"container-{web.pk}" not in change["html"]
    assert change["lists"]["rows"] == [f"container-{other.pk}", f"container-{web.pk}"]
    await socket.disconnect()


async def test_filters_and_order_change_over_the_socket() -> None:
    web = await sync_to_async(container)("web-1")
    db = await sync_to_async(container)("db-1")
    socket = viewer(await somebody("view_container"), ContainersConsumer, "/ws/containers/")
    first = await begin(socket, query="q=web")
    assert first["lists"]["rows"] == [f"container-{web.pk}"]
    assert (await ask(socket, query="sort=-name"))["lists"]["rows"] == [f"container-{web.pk}", f"container-{db.pk}"]
    await socket.disconnect()


async def test_the_page_of_a_container_lives_and_survives_its_end() -> None:
    web = await sync_to_async(container)("web-1")
    socket = viewer(await somebody("view_container"), ContainerConsumer, f"/ws/containers/{web.pk}/", pk=web.pk)
    assert "series" in (await begin(socket))["html"]
    await Container.objects.filter(pk=web.pk).aupdate(health="unhealthy")
    await announce(1)
    assert "unhealthy" in (await frame(socket))["html"]["headline"][1]
    await Container.objects.filter(pk=web.pk).adelete()
    await announce(1)
    assert await socket.receive_nothing(timeout=0.3)
    await socket.disconnect()


# --- Fragments --------------------------------------------------------------------------------------------------------


async def test_every_piece_has_the_id_of_its_name_at_its_root() -> None:
    """static/pharos/live.js finds it by that."""
    await sync_to_async(service)("api", "down", "refused")
    web = await sync_to_async(container)("web-1")
    everything = frozenset({*overview.PERMISSIONS, *container_views.PERMISSIONS})
    for found in (
        await sync_to_async(overview.fragments)(everything),
        await sync_to_async(container_views.table)(QueryDict(), everything),
        await sync_to_async(container_views.live_detail)(web.pk, QueryDict(), everything),
    ):
        for name, html in found.html.items():
            tag = html[: html.index(">")]
            assert f'id="{name}"' in tag, name
            assert html.endswith(f"</{tag[1:].split()[0]}>"), name


async def test_rights_are_those_of_the_wanted_that_somebody_has() -> None:
    user = await somebody("view_service")
    assert await sync_to_async(rights_of)(user, overview.PERMISSIONS) == {overview.WATCH}
    assert rights_of(None, overview.PERMISSIONS) == frozenset()
