"""Services that are kept for a team: nobody else finds their names or what they say, whichever way they look."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.http import QueryDict
from django.test import AsyncClient, Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts import keys, visibility
from accounts.live_pages import TeamLivePage
from accounts.models import Scope, TeamService
from alerts import silences
from alerts.consumers import AlertsConsumer, IncidentConsumer, IncidentsConsumer
from alerts.models import Evidence, Incident, MuteTime, Receiver, Route, Silence
from core import clock, fragments
from logs import live, saved
from logs.consumers import LogsConsumer
from logs.query import Everything
from logs.records import Level, LogRecord
from logs.store import log_stores
from monitor import overview
from monitor.consumers import OverviewConsumer
from services.consumers import ServicesConsumer
from services.container_consumers import ContainerConsumer, ContainersConsumer
from services.models import Check, CheckHour, Container, ContainerSample, Dependency, HeartbeatPing, Service
from tests.alerts import made as alerting
from tests.alerts import routed
from tests.logs.corpus import entries
from tests.services import fleet, made
from tests.sockets import Socket

plain = pytest.mark.django_db(databases=["default", "logs"])
committed = pytest.mark.django_db(transaction=True, databases=["default", "logs"])  # other threads look, too

HIDDEN: Final = ("vault9", "xyzzy")  # the name of a service, and what it says
READS: Final = (
    "read_records", "view_service", "check_service", "view_container", "view_incident", "respond_incident",
    "view_alert", "add_silence", "view_silence", "view_route", "change_check", "view_channel",
)  # fmt: skip


class World(NamedTuple):
    shop: Service  # all see it
    vault: Service  # the team's
    boxes: tuple[Container, Container]  # of each
    beats: tuple[Check, Check]
    incidents: tuple[Incident, Incident]
    lines: tuple[str, str]  # ids
    silences: tuple[Silence, Silence]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(overview, "_figures", {})
    keys._known.clear()
    fragments._kept.clear()
    live._feeds.clear()
    yield
    visibility.forget()


@pytest.fixture
def world() -> World:
    now = timezone.now()
    vault = made.service("vault9", "down", "xyzzy is broken")
    why = "vault9, which it needs, is down; readiness fails"
    shop = made.service("shop", "down", why, explained_by=vault)
    Dependency.objects.create(child=shop, parent=vault)
    of_shop, of_vault = ({"alertname": "Down", "service": name} for name in ("shop", "vault9"))
    incidents = (
        alerting.incident("Down · shop", summary=f"shop is down: {why}", labels=of_shop, service=shop),
        alerting.incident("Down · vault9", summary="xyzzy is broken", labels=of_vault, service=vault),
    )
    rule = alerting.rule("Down")
    Incident.objects.update(rule=rule)
    for incident, labels, said in zip(incidents, (of_shop, of_vault), (why, "xyzzy is broken"), strict=True):
        alerting.alert(rule, labels=labels, incident=incident, annotations={"summary": said})
    for service in (shop, vault):
        made.change(service, now, "down", reason=service.reason)
        made.result(made.check(service, detail=f"{service.name} answers"), clock.now())
    lines = _store()
    _freeze(incidents[0])
    TeamService.objects.create(pattern="Vault*").groups.add(Group.objects.create(name="finance"))
    boxes = (fleet.container("shop-1", service=shop), fleet.container("vault9-1", service=vault))
    beats = (_beat(shop), _beat(vault))
    other = User.objects.create_user("other")
    saved.save(other, "lines of vault9", shared=True, view=QueryDict("q=service:vault9"))
    alerting.alert(alerting.rule("xyzzy noise"), labels=of_vault | {"alertname": "More"})
    alerting.delivery(incidents[1], outcome="delivered")
    _measure(beats, boxes)
    return World(shop, vault, boxes, beats, incidents, lines, _silence_and_route())


def _measure(beats: tuple[Check, Check], boxes: tuple[Container, Container]) -> None:
    """For the reports of today."""
    now = clock.now()
    for check in beats:
        CheckHour.objects.create(service_check=check, hour=now // clock.HOUR * clock.HOUR, up=1, p95_us=1)
    for box in boxes:
        ContainerSample.objects.create(container=box, at=now - clock.SECOND, cpu_percent=1, memory_bytes=1 << 20)


def _silence_and_route() -> tuple[Silence, Silence]:
    """Silences of each, and one that hits both; routes of each, and one below it that is for both."""
    until = timezone.now() + timedelta(hours=3)
    both = ['service=~"vault9|shop"']
    shop = silences.create(['service="shop"'], None, until, created_by="bob", comment="cart")
    vault = silences.create(both, None, until, created_by="bob", comment="xyzzy of vault9")
    Route.objects.all().delete()
    top = routed.root("everybody")
    routed.route(top, "vault9-pager", 'service="vault9"')
    routed.route(top, "web", 'service=~"shop|vault9"')
    return shop, vault


def _beat(service: Service) -> Check:
    check = made.check(service, "health", kind="heartbeat", interval=3600)
    HeartbeatPing.objects.create(service_check=check, at=clock.now(), kind="success", body=f"{service.name} pinged")
    return check


def _store() -> tuple[str, str]:
    now = clock.now() - 2 * clock.SECOND
    records = [
        LogRecord(now, Level.ERROR, "shop", "cart", request_id="r-1", metadata=b'{"user_id":"7"}'),
        LogRecord(now + 1, Level.ERROR, "vault9", "xyzzy", request_id="r-1", metadata=b'{"user_id":"7"}'),
    ]
    log_stores["default"].append(entries(records))
    found = log_stores["default"].search(Everything(), limit=10).records
    by_service = {record.service: record.id for record in found}
    return by_service["shop"], by_service["vault9"]


def _freeze(incident: Incident) -> None:
    line = {"timestamp": clock.now(), "level": 4, "message": "", "metadata": "{}", "sequence": 1}
    lines = [line | {"service": "shop", "message": "cart"}, line | {"service": "vault9", "message": "xyzzy"}]
    at = clock.iso(clock.now())
    span = {"start": at, "end": at, "total": 2, "complete": True}
    kinds = Evidence.Kind
    freeze = alerting.evidence
    freeze(incident, kinds.MATCHES, {"query": "service:(shop OR vault9)", "lines": lines, **span}, "2 lines")
    freeze(
        incident, kinds.LINES,
        {"services": ["shop", "vault9"], "lines": lines, "step": 10, "counts": [[at, [0, 0, 0, 0, 2, 0]]], **span},
        "2 lines of shop, vault9",
    )  # fmt: skip
    change = {"at": at, "old": "healthy", "new": "down"}
    changes = [change | {"service": "shop", "reason": "vault9, which it needs, is down; x"},
               change | {"service": "vault9", "reason": "xyzzy"}]  # fmt: skip
    freeze(incident, kinds.CHANGES, {"changes": changes})
    events = [{"at": at, "service": "vault9", "container": "vault9-1", "kind": "die", "detail": "xyzzy"}]
    freeze(incident, kinds.CONTAINERS, {"events": events})
    freeze(incident, kinds.DEPLOY, {"deploys": [{"at": at, "service": "vault9", "what": "xyzzy"}]}, "deploy xyzzy")


def somebody(name: str = "ann", *groups: str, permissions: tuple[str, ...] = READS, staff: bool = False) -> User:
    user = User.objects.create_user(name, is_staff=staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    return User.objects.get(pk=user.pk)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(answer: Any) -> str:
    if not answer.streaming:
        return str(answer.content.decode())

    async def whole() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(whole)().decode()


def hidden_in(text: str) -> list[str]:
    return [word for word in HIDDEN if word in text.lower()]


def pages(world: World) -> dict[str, str]:
    """Addresses, "htmx" for a fragment, and what they show of the visible service."""
    shop, box, incident, line = world.shop.pk, world.boxes[0].pk, world.incidents[0].pk, world.lines[0]
    return {
        "/": "shop", "/status/": "",
        "/logs/": "cart", "/logs/?q=r-1": "cart", "/logs/older/ htmx": "cart", "/logs/chart/": "",
        "/logs/services/ htmx": "shop", "/logs/values/?field=service htmx": "shop",
        f"/logs/{line}/": "cart", f"/logs/{line}/?around=service": "cart", f"/logs/{line}/ htmx": "cart",
        "/logs/usage/": "shop", "/logs/connect/": "",
        "/logs/connect/curl/waiting/?service=shop htmx": "", "/services/": "shop", "/services/more/ htmx": "shop",
        f"/services/{shop}/": "shop", f"/services/{shop}/chart/ htmx": "", f"/services/{shop}/lines/ htmx": "cart",
        f"/services/heartbeat/{world.beats[0].pk}/": "shop", "/services/sla/": "shop",
        "/services/sla/export": "shop", "/containers/": "shop-1", f"/containers/{box}/": "shop-1",
        "/incidents/": "Down", f"/incidents/{incident}/": "cart", "/alerts/": "shop",
        "/silences/": "cart", f"/silences/{world.silences[0].pk}/": "shop", "/silences/new/": "",
        f"/silences/new/?from={world.silences[0].pk}": "shop",
        f"/silences/preview/?matchers={quote('service=shop')} htmx": "<b>1</b> alert that fires",
        "/alerts/routes/": "", "/alerts/routes/?labels=service=shop": "goes on below",
        **{f"/reports/{each}/?day={timezone.localdate()}": "shop" for each in ("daily", "weekly", "monthly")},
    }  # fmt: skip


def api_pages(world: World) -> dict[str, str]:
    shop, incident, line = world.shop.pk, world.incidents[0].pk, world.lines[0]
    return {
        "/api/logs": "cart", "/api/logs/?q=request_id:r-1": "cart", "/api/logs/histogram": "error",
        "/api/logs/values?field=service": "shop", f"/api/logs/{line}": "cart",
        f"/api/logs/{line}/context": "cart", "/api/services": "shop", "/api/services/status": "shop",
        "/monitoring/services/status": "shop", f"/api/services/{shop}": "shop", f"/api/services/{shop}/results": "",
        "/api/containers": "shop-1", "/api/incidents": "shop", f"/api/incidents/{incident}": "shop",
        f"/api/incidents/{incident}/evidence": "cart", "/api/v2/alerts": "shop", "/api/v2/alerts/groups": "",
        "/api/v2/silences": "cart", f"/api/v2/silence/{world.silences[0].pk}": "cart", "/api/incidents/times": "shop",
    }  # fmt: skip


def gone(world: World) -> list[str]:
    """Addresses of what is hidden."""
    vault, box, incident, line = world.vault.pk, world.boxes[1].pk, world.incidents[1].pk, world.lines[1]
    return [
        f"/logs/{line}/", f"/services/{vault}/", f"/services/{vault}/chart/", f"/services/{vault}/lines/",
        f"/services/heartbeat/{world.beats[1].pk}/", f"/containers/{box}/", f"/incidents/{incident}/",
        f"/silences/{world.silences[1].pk}/", *api_gone(world),
    ]  # fmt: skip


def api_gone(world: World) -> list[str]:
    vault, incident, line = world.vault.pk, world.incidents[1].pk, world.lines[1]
    return [
        f"/api/logs/{line}", f"/api/logs/{line}/context", f"/api/services/{vault}", f"/api/services/{vault}/results",
        f"/api/incidents/{incident}", f"/api/incidents/{incident}/evidence",
        f"/api/v2/silence/{world.silences[1].pk}",
    ]  # fmt: skip


def look(client: Client, address: str, **headers: str) -> Any:
    path, _, fragment = address.partition(" ")
    return client.get(path, headers=headers | ({"hx-request": "true"} if fragment else {}))


def told(client: Client, addresses: dict[str, str], **headers: str) -> dict[str, str]:
    """What is wrong, by address: a status, what is missing, or what should not be there."""
    wrong = {}
    for address, wanted in addresses.items():
        answer = look(client, address, **headers)
        text = text_of(answer)
        if answer.status_code != 200 or wanted not in text or hidden_in(text):
            wrong[address] = f"{answer.status_code} {hidden_in(text)} {'' if wanted in text else f'no {wanted}'}"
    return wrong


EXPORTS: Final = {"/logs/export": "cart", "/logs/export?format=csv": "cart", "/api/logs/export": "cart"}


# --- Pages and the API ---------------------------------------------------------------------------------------------


@plain
def test_who_is_in_no_team_sees_nothing_of_its_services(world: World) -> None:
    client = client_of(somebody())
    assert told(client, pages(world) | api_pages(world)) == {}
    assert {address: look(client, address).status_code for address in gone(world)} == dict.fromkeys(gone(world), 404)


@plain
def test_a_key_for_some_services_sees_these(world: World) -> None:
    TeamService.objects.all().delete()  # the key alone limits
    headers = {"x-api-key": keys.create("shop", [Scope.READ], services=["shop*"])[1]}
    assert told(Client(), api_pages(world), **headers) == {}
    statuses = {address: look(Client(), address, **headers).status_code for address in api_gone(world)}
    assert statuses == dict.fromkeys(api_gone(world), 404)
    assert look(Client(), "/api/v2/status", **headers).status_code == 403


@committed
def test_exports_are_those_of_the_viewer(world: World) -> None:
    assert told(client_of(somebody()), EXPORTS) == {}
    headers = {"x-api-key": keys.create("shop", [Scope.READ], services=["shop"])[1]}
    assert told(Client(), {"/api/logs/export": "cart"}, **headers) == {}
    team = client_of(somebody("bob", "finance"))
    assert all(hidden_in(text_of(look(team, address))) for address in EXPORTS)


@plain
def test_the_team_finds_it_all(world: World) -> None:
    """Without which the tests above could not fail."""
    client = client_of(somebody("ann", "finance"))
    shown = pages(world) | api_pages(world)
    without = {address for address in shown if not hidden_in(text_of(look(client, address)))}
    # They show numbers, or something of the other service alone.
    numbers = ("/status/", "/logs/chart/", "/logs/connect/", "/api/logs/histogram", "/api/v2/alerts/groups")
    shop, box, line = world.shop.pk, world.boxes[0].pk, world.lines[0]
    own = (f"/services/{shop}/lines/", f"/services/{shop}/chart/", "/services/heartbeat/", f"/containers/{box}/",
           f"/logs/{line}/", f"/api/logs/{line}", f"/api/services/{shop}/results",
           "/silences/new/", "/silences/preview/", f"/silences/{world.silences[0].pk}/",
           f"/api/v2/silence/{world.silences[0].pk}")  # fmt: skip
    assert {address for address in without if not address.startswith((*numbers, *own))} == set()
    assert {look(client, address).status_code for address in gone(world)} <= {200, 302}


@plain
def test_what_is_hidden_cannot_be_changed(world: World) -> None:
    client, vault, incident = client_of(somebody()), world.vault.pk, world.incidents[1].pk
    posts = [f"/services/{vault}/{verb}/" for verb in ("check", "pause", "resume")]
    verbs = ("acknowledge", "unacknowledge", "resolve", "reopen", "escalate", "assign", "comment", "tick", "silence")
    posts += [f"/incidents/{incident}/{verb}/" for verb in verbs]
    assert {path: client.post(path, {"text": "x", "hours": "1"}).status_code for path in posts} == dict.fromkeys(
        posts, 404
    )
    client.post("/incidents/acknowledge/", {"incident": [incident]})
    assert Incident.objects.get(pk=incident).status == "open"
    headers = {"x-api-key": keys.create("shop", [Scope.ADMIN], services=["shop"])[1]}
    posts = [f"/api/services/{vault}/pause", f"/api/services/{vault}/check", f"/api/incidents/{incident}/resolve"]
    assert [client.post(path, headers=headers).status_code for path in posts] == [404, 404, 404]


def _counts(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@plain
def test_reports_count_what_the_viewer_sees(world: World) -> None:
    address = f"/reports/weekly/?day={timezone.localdate()}"
    ann, team = client_of(somebody()), client_of(somebody("bob", "finance"))
    assert "1 opened (0 the time before), 0 of them resolved, 1 not resolved now" in text_of(ann.get(address))
    assert "2 opened (0 the time before)" in text_of(team.get(address))
    # Alerts, notifications, incidents of the rule that is about both.
    assert "Down 1 0 1 0" in _counts(text_of(ann.get(address)))
    assert "Down 2 1 2 0" in _counts(text_of(team.get(address)))
    assert "Looked at</button>" not in text_of(ann.get(address))
    sent = {"day": str(timezone.localdate()), "section": "incidents", "done": "1"}
    assert ann.post("/reports/weekly/tick/", sent).status_code == 403  # others take it for all of it


@plain
def test_only_alerts_of_services_that_one_sees_can_be_silenced(world: World) -> None:
    client = client_of(somebody())
    before = Silence.objects.count()
    for wanted in (
        "severity=high",
        "service=vault9",
        'service=~"shop|vault9"',
        "service=~.+",
        "service=no",
    ):
        sent = {"matchers": wanted, "lasts": "2h", "comment": "deploy"}
        refused = [text_of(client.post("/silences/new/", sent)),
                   text_of(client.get("/silences/preview/", {"matchers": wanted}))]  # fmt: skip
        # One answer for what is hidden and what isn't there.
        assert all("Expected a service that you see" in each for each in refused), wanted
    assert Silence.objects.count() == before
    for wanted in ("service=shop", 'severity=high, service=~"shop"'):
        sent = {"matchers": wanted, "lasts": "2h", "comment": "deploy"}
        assert client.post("/silences/new/", sent).status_code == 302, wanted
    assert Silence.objects.count() == before + 2
    assert client.post(f"/silences/{world.silences[1].pk}/expire/").status_code == 404
    assert client.post(f"/silences/{world.silences[0].pk}/expire/").status_code == 302
    vault = world.incidents[1].alerts.first()
    assert vault is not None
    assert not hidden_in(text_of(client.get("/silences/new/", {"alert": vault.pk})))
    assert client.get("/alerts/routes/", {"alert": vault.pk}).status_code == 200


@plain
def test_a_key_for_some_services_silences_these(world: World) -> None:
    headers = {"x-api-key": keys.create("shop", [Scope.ADMIN], services=["shop*"])[1]}
    times = {"startsAt": "2026-11-21T00:00:00Z", "endsAt": "2999-01-01T00:00:00Z"}
    said = times | {"createdBy": "amtool", "comment": "deploy"}
    for service, status in (("shop-new", 200), ("vault9", 403)):
        wanted = [{"name": "service", "value": service, "isRegex": False, "isEqual": True}]
        sent = json.dumps(said | {"matchers": wanted})
        answer = client_post(sent, headers)
        assert answer.status_code == status, answer.content
    assert Client().delete(f"/api/v2/silence/{world.silences[1].pk}", headers=headers).status_code == 404


def client_post(body: str, headers: dict[str, str]) -> Any:
    return Client().post("/api/v2/silences", body, content_type="application/json", headers=headers)


@plain
def test_the_way_of_an_alert_is_shown_without_names_of_other_teams(world: World) -> None:
    client = client_of(somebody())
    for labels in ("service=vault9", "service=no", "severity=high"):
        answer = client.get("/alerts/routes/", {"labels": labels})
        assert answer.status_code == 400
        assert "Expected a service that you see" in text_of(answer)
    Receiver.objects.filter(name="web").update(name="web and vault9")
    assert told(client, {"/api/v2/alerts": "something", "/api/v2/alerts/groups": "something"}) == {}
    text = text_of(client.get("/alerts/routes/", {"labels": "service=shop"}))
    assert "told to something" not in text  # the whole sentence is hidden, not a part of it
    assert "Told to 1 receiver" in text
    assert "<h3>something</h3>" in text
    assert text.count("<code>") == 1  # the other team's route isn't there
    assert "the silence “cart” hits it" in text
    assert "a silence hits it" in text  # another one, of which nothing is told


@plain
def test_a_mute_time_is_shown_without_names_of_other_teams(world: World) -> None:
    always = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
    night = MuteTime.objects.create(name="night of vault9", intervals=always)
    for route in Route.objects.all():
        route.mute_times.add(night)
    client = client_of(somebody())
    assert told(client, {"/alerts/": "muted: something<"}) == {}
    MuteTime.objects.update(name="night")
    assert told(client, {"/alerts/": "muted: it is the mute time night<"}) == {}


# --- What is not filtered is closed --------------------------------------------------------------------------------


def _views(patterns: Any, namespaces: tuple[str, ...] = (), path: str = "/") -> Iterator[tuple[str, str, Any]]:
    for each in patterns:
        if isinstance(each, URLResolver):
            inner = (*namespaces, each.namespace) if each.namespace else namespaces
            yield from _views(each.url_patterns, inner, f"{path}{each.pattern}")
        elif isinstance(each, URLPattern):
            yield ":".join((*namespaces, each.name or each.lookup_str)), f"{path}{each.pattern}", each.callback


def test_every_view_of_the_table_is_there() -> None:
    names = {name for name, _, _ in _views(get_resolver().url_patterns)}
    assert set(settings.TEAM_VIEWS) <= names


@plain
def test_other_pages_are_closed_to_who_does_not_see_everything(world: World) -> None:
    client = client_of(somebody(permissions=tuple(Permission.objects.values_list("codename", flat=True)), staff=True))
    Permission.objects.get(codename="see_everything").user_set.clear()
    visibility.forget()
    for name, path, view in _views(get_resolver().url_patterns):
        if (
            "<" in path
            or "(" in path
            or name in settings.TEAM_VIEWS
            or view.__module__.startswith(visibility.OPEN_MODULES)
        ):
            continue
        answer = client.get(path)
        assert answer.status_code == 403, path
        assert not hidden_in(answer.content.decode()), path
    shown = client.get("/admin/services/service/").content.decode()
    assert "services of all teams" in shown
    assert "nav-filter" not in shown  # the search asks the admin


@pytest.mark.filterwarnings("ignore:No directory at")
def test_every_live_page_is_one_for_viewers_who_are_limited() -> None:
    from monitor.asgi import ADDRESSES

    consumers = {address.callback.consumer_class for address in ADDRESSES}
    assert {each for each in consumers if not issubclass(each, TeamLivePage)} == {LogsConsumer, ServicesConsumer}


# --- What is live ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def layer() -> AsyncIterator[Any]:
    yield get_channel_layer()
    await get_channel_layer().close_pools() if hasattr(get_channel_layer(), "close_pools") else None


def socket_of(consumer: Any, path: str, user: Any, **more: Any) -> Socket:
    communicator = Socket(consumer.as_asgi(), path, headers=more.pop("headers", []))
    communicator.scope.update(user=user, cookies={}, url_route={"kwargs": more})
    return communicator


@committed
@pytest.mark.asyncio
@pytest.mark.parametrize("who", ["user", "key"])
async def test_live_lines_of_other_teams_do_not_come(who: str, layer: Any) -> None:
    user: Any = AnonymousUser()
    headers = []
    if who == "user":
        await sync_to_async(TeamService.objects.create)(pattern="vault9")
        user = await sync_to_async(somebody)()
    else:
        made_key = await sync_to_async(keys.create)("shop", [Scope.READ], services=["shop"])
        headers = [(b"x-api-key", made_key[1].encode())]
    socket = socket_of(LogsConsumer, "/ws/logs/?format=json", user, headers=headers)
    assert (await socket.connect())[0]
    await socket.send_to(text_data=json.dumps({"since": 0}))
    await sync_to_async(_store)()
    frame = json.loads(await socket.receive_from())
    assert [record["message"] for record in frame["records"]] == ["cart"]
    await socket.disconnect()


@committed
@pytest.mark.asyncio
@pytest.mark.parametrize("who", ["user", "key"])
async def test_lines_of_other_teams_are_not_streamed(who: str, layer: Any) -> None:
    client, headers = AsyncClient(), {}
    if who == "user":
        await sync_to_async(TeamService.objects.create)(pattern="vault9")
        await client.aforce_login(await sync_to_async(somebody)())
    else:
        headers = {"x-api-key": (await sync_to_async(keys.create)("shop", [Scope.READ], services=["shop"]))[1]}
    answer: Any = await client.get("/api/logs/stream", headers=headers)
    parts = aiter(answer.streaming_content)
    assert await anext(parts) == b": connected\n\n"
    await sync_to_async(_store)()
    said = (await anext(parts)).decode()
    assert "cart" in said
    assert not hidden_in(said)
    await parts.aclose()


@committed
@pytest.mark.asyncio
async def test_live_pages_are_those_of_the_viewer(world: World, layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments.LivePage, "rests", 0.01)
    ann, root = await sync_to_async(somebody)(), await sync_to_async(User.objects.create_superuser)("root")
    sockets: list[tuple[Any, str, dict[str, Any]]] = [
        (OverviewConsumer, "/ws/overview/", {}),
        (ContainersConsumer, "/ws/containers/", {}),
        (ContainerConsumer, "/ws/containers/2/", {"pk": world.boxes[1].pk}),
        (IncidentsConsumer, "/ws/incidents/", {}),
        (IncidentConsumer, "/ws/incidents/1/", {"pk": world.incidents[0].pk}),
        (AlertsConsumer, "/ws/alerts/", {}),
    ]
    for consumer, path, route in sockets:
        for user in (root, ann):  # what is kept drawn for one is not shown to the other
            socket = socket_of(consumer, path, user, **route)
            await socket.connect()
            await socket.send_to(text_data=json.dumps({"seen": {}, "query": ""}))
            if user == ann and consumer is ContainerConsumer:
                assert await socket.receive_nothing(0.5)
            else:
                said = await socket.receive_from()
                assert bool(hidden_in(said)) is (user == root), path
            await socket.disconnect()


@committed
@pytest.mark.asyncio
async def test_live_services_are_those_of_the_viewer(world: World, layer: Any) -> None:
    ann = await sync_to_async(somebody)()
    socket = socket_of(ServicesConsumer, "/ws/services/", ann)
    await socket.connect()
    await socket.send_to(text_data=json.dumps({"shown": {}, "until": None}))
    said = await socket.receive_from()
    assert "shop" in said
    assert not hidden_in(said)
    await socket.disconnect()
    socket = socket_of(ServicesConsumer, f"/ws/services/?service={world.vault.pk}", ann)
    await socket.connect()
    assert json.loads(await socket.receive_from()) == {"gone": [world.vault.pk]}
    await socket.disconnect()
