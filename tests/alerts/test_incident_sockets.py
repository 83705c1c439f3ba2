"""The pages of incidents live: what has changed comes over the WebSocket, to those who may see it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import Permission, User

from alerts import incidents, live
from alerts.consumers import AlertsConsumer, IncidentConsumer, IncidentsConsumer
from alerts.models import Alert
from alerts.models.incidents import Via
from core import fragments
from monitor import health, overview
from monitor.consumers import OverviewConsumer
from tests.alerts import made
from tests.sockets import Socket

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.asyncio]


@pytest.fixture(autouse=True)
async def _fresh(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(health, "readiness", lambda: {"status": "ready", "checks": {}})
    monkeypatch.setattr(fragments.LivePage, "rests", 0.01)
    monkeypatch.setattr(fragments, "LOOK_EVERY", 60.0)  # nothing comes without news
    monkeypatch.setattr(overview, "_figures", {})
    fragments._kept.clear()
    yield
    await get_channel_layer().close_pools() if hasattr(get_channel_layer(), "close_pools") else None


async def somebody(*permissions: str) -> Any:
    user = await User.objects.acreate(username="-".join(permissions) or "bob")
    await user.user_permissions.aset(Permission.objects.filter(codename__in=permissions))
    return user


async def look(consumer: Any, user: Any, query: str = "", **route: Any) -> tuple[Any, Any]:
    """The socket, and the first frame of a page that has nothing yet."""
    socket = Socket(consumer.as_asgi(), f"/ws/{consumer.__name__}/")
    socket.scope.update(user=user, cookies={}, url_route={"kwargs": route})
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"seen": {}, "query": query}))
    return socket, await frame(socket)


async def frame(socket: Any) -> Any:
    return json.loads(await socket.receive_from())


async def announce(*changed: int) -> None:
    """As `live.announce` does, without waiting for its thread."""
    await get_channel_layer().group_send(live.GROUP, {"type": live.EVENT, "news": list(changed)})


async def acknowledge(incident: Any) -> None:
    await sync_to_async(incidents.acknowledge)(incident, by="bob", via=Via.API)
    await announce(incident.pk)


async def test_a_new_incident_comes_into_the_list_and_an_acknowledged_one_changes_its_row() -> None:
    first = await sync_to_async(made.incident)("first")
    socket, begun = await look(IncidentsConsumer, await somebody("view_incident"))
    assert begun["lists"]["rows"] == [f"incident-{first.pk}"]
    second = await sync_to_async(made.incident)("second <b>", severity="critical")
    await announce(second.pk)
    change = await frame(socket)
    assert change["lists"]["rows"] == [f"incident-{second.pk}", f"incident-{first.pk}"]
    assert "second &lt;b&gt;" in change["html"][f"incident-{second.pk}"][1]
    assert f"incident-{first.pk}" not in change["html"]
    await acknowledge(second)
    change = await frame(socket)
    assert change["lists"]["rows"] == [f"incident-{first.pk}", f"incident-{second.pk}"]
    assert "acknowledged</span>" in change["html"][f"incident-{second.pk}"][1]
    await socket.disconnect()


async def test_the_list_keeps_to_the_filters_of_its_page() -> None:
    await sync_to_async(made.incident)("first", "acknowledged")
    socket, begun = await look(IncidentsConsumer, await somebody("view_incident"), "status=open")
    assert begun["lists"]["rows"] == []
    await socket.disconnect()


async def test_who_looks_at_an_incident_sees_what_others_do() -> None:
    incident = await sync_to_async(made.incident)()
    user = await somebody("view_incident", "respond_incident")
    socket, begun = await look(IncidentConsumer, user, pk=incident.pk)
    assert "Acknowledge</button>" in begun["html"]["verbs"][1]
    assert begun["lists"]["timeline"] == []
    await acknowledge(incident)
    change = await frame(socket)
    assert "Unacknowledge</button>" in change["html"]["verbs"][1]
    assert len(change["lists"]["timeline"]) == 1
    assert "runbook" not in change["html"]
    await socket.disconnect()


async def test_who_may_not_respond_gets_no_buttons() -> None:
    incident = await sync_to_async(made.incident)()
    socket, begun = await look(IncidentConsumer, await somebody("view_incident"), pk=incident.pk)
    assert "verbs" not in begun["html"]
    await socket.disconnect()


async def test_an_incident_that_is_deleted_leaves_its_page_as_it_is() -> None:
    incident = await sync_to_async(made.incident)()
    socket, _ = await look(IncidentConsumer, await somebody("view_incident"), pk=incident.pk)
    await sync_to_async(incident.delete)()
    await announce(incident.pk or 1)
    assert await socket.receive_nothing(timeout=0.3)
    await socket.disconnect()


async def test_active_alerts_come_and_go() -> None:
    alert = await sync_to_async(made.alert)()
    socket, begun = await look(AlertsConsumer, await somebody("view_alert"))
    assert begun["lists"]["rows"] == [f"alert-{alert.pk}"]
    await Alert.objects.filter(pk=alert.pk).aupdate(state="resolved")
    await announce(1)
    assert (await frame(socket))["lists"]["rows"] == []
    await socket.disconnect()


async def test_the_start_page_hears_of_incidents() -> None:
    socket, begun = await look(OverviewConsumer, await somebody("view_incident", "respond_incident"))
    assert begun["lists"] == {"incidents": ["no-incident"]}
    incident = await sync_to_async(made.incident)("first")
    await announce(incident.pk)
    change = await frame(socket)
    assert change["lists"]["incidents"] == [f"incident-{incident.pk}"]
    assert "Acknowledge</button>" in change["html"][f"incident-{incident.pk}"][1]
    await socket.disconnect()


@pytest.mark.parametrize("consumer", [IncidentsConsumer, IncidentConsumer, AlertsConsumer])
async def test_who_may_not_look_is_turned_away(consumer: Any) -> None:
    incident = await sync_to_async(made.incident)()
    socket = Socket(consumer.as_asgi(), "/ws/")
    socket.scope.update(user=await somebody("view_service"), cookies={}, url_route={"kwargs": {"pk": incident.pk}})
    await socket.connect()
    assert await socket.receive_output() == {
        "type": "websocket.close",
        "code": fragments.NOT_ALLOWED,
        "reason": "your session ended or lacks the right to look on",
    }
