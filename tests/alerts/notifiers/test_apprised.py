"""Through Apprise: every kind sends over our own HTTP, and reaches only what that may reach."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

import pytest
from aiohttp import web as server

from alerts import notifiers
from alerts.notifiers import NotifierError, RefusedError, apprised
from core import http
from tests import peers
from tests.alerts.notifiers.telling import HOSTILE, tell, to
from tests.alerts.sinks import Sink
from tests.alerts.telling import notification, told

ADDRESSES = {
    "teams": "workflows://prod-1.westeurope.logic.azure.com:443/643e69cf12345/iyoaUI9abc/",
    "telegram": "tgram://123456789:abcdefg_hijklmnop/12315544/",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "googlechat": "gchat://workspace/key/token/",
    "mattermost": "mmosts://chat.example.org/3ccdd113474722377935511fc85d3dd4",
    "rocketchat": "rockets://webhook1/webhook2@chat.example.org/%23ops",
    "webex": f"wxteams://{'WebexToken' * 10}",
    "zulip": "zulip://botname@apprise/a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4/general",
    "pushover": "pover://uzoe7kqhs7mufbp5wvdhfgrpx4bzu8@azoe7kqhs7mufbp5wvdhfgrpx4bzu8",
    "ntfy": "ntfys://ntfy.example.org/ops",
    "gotify": "gotifys://gotify.example.org/abcdefghijklmno",
    "twilio": "twilio://AC0123456789012345678901234567890f:0123456789abcdef0123456789abcdef@15551234567/15557654321",
}


def test_each_kind_has_a_label_and_an_example() -> None:
    assert set(ADDRESSES) == set(apprised.KINDS)
    assert {kind: each.LABEL for kind, each in apprised.KINDS.items()}.items() <= notifiers.NOTIFIERS.items()


@pytest.mark.parametrize("kind", ADDRESSES)
async def test_every_kind_sends_over_our_own_http(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    async def fetch(url: str, **given: Any) -> http.Answer:
        asked.append({"url": url, **given})
        return http.Answer(200, "OK", {}, b'{"ok": true, "status": 1, "success": true}', False, url)

    monkeypatch.setattr(http, "fetch", fetch)
    assert notifiers.problems(kind, {}, {"url": ADDRESSES[kind]}, {}) == {}
    assert (await tell(kind, notification(), to(kind, secrets={"url": ADDRESSES[kind]}))).startswith("200")
    assert asked
    assert all(each["url"].startswith("https://") and each["redirects"] == 0 for each in asked)
    bodies = " ".join(unquote_plus(each["body"].decode()) for each in asked)
    assert "redis connection refused" in bodies


async def test_a_message_arrives_with_title_and_text(sink: Sink) -> None:
    address = sink.url.replace("http://", "ntfy://") + "/ops"
    assert await tell("ntfy", notification(), to("ntfy", secrets={"url": address})) == "200 ok"
    [request] = sink.requests
    assert "WorkerDown" in request.body.decode() + str(request.headers)


@pytest.mark.parametrize(
    ("status", "kind", "permanent"),
    [(403, NotifierError, True), (429, NotifierError, False), (503, NotifierError, False), (400, RefusedError, False)],
)
async def test_what_the_service_answers_is_known(sink: Sink, status: int, kind: type, permanent: bool) -> None:
    sink.answer(status, "no", Retry_After="7")
    address = sink.url.replace("http://", "gotify://") + "/abcdefghijklmno"
    with pytest.raises(NotifierError) as caught:
        await tell("gotify", notification(), to("gotify", secrets={"url": address}))
    assert (type(caught.value), caught.value.permanent) == (kind, permanent)
    assert str(caught.value) == f"{status} no"
    assert caught.value.retry_after == (7.0 if status in (429, 503) else None)


async def test_what_must_not_be_reached_is_not_reached(caplog: pytest.LogCaptureFixture) -> None:
    address = "gotify://169.254.169.254/abcdefghijklmno"
    with pytest.raises(NotifierError, match="link-local") as caught:
        await tell("gotify", notification(), to("gotify", secrets={"url": address}))
    assert caught.value.permanent


async def test_redirects_are_not_followed() -> None:
    async def away(request: server.Request) -> server.StreamResponse:
        return server.Response(status=302, headers={"Location": "http://169.254.169.254/"})

    async with peers.http_server(away) as url:
        with pytest.raises(NotifierError, match="redirect"):
            await tell(
                "gotify",
                notification(),
                to("gotify", secrets={"url": f"{url.replace('http', 'gotify', 1)}/abcdefghijklmno"}),
            )
    await http.close()


@pytest.mark.parametrize(
    "address",
    [
        "json://localhost/",
        "file:///etc/passwd",
        "mailto://user:pass@example.org",
        f"{ADDRESSES['teams']}?template=/etc/passwd",
        f"{ADDRESSES['teams']}?retry=5",
        f"{ADDRESSES['teams']}?+X-Header=1",
        "workflows://",
    ],
)
def test_addresses_that_do_something_else_are_refused(address: str) -> None:
    assert notifiers.problems("teams", {}, {"url": address}, {})["options"]


def test_one_channel_has_one_recipient() -> None:
    several = notifiers.problems("telegram", {}, {"url": f"{ADDRESSES['telegram']}/99999/"}, {})
    assert several == {"options": ["Expected one recipient, got 2: make a channel for each."]}


def test_plugins_get_nothing_else_of_requests() -> None:
    with pytest.raises(AttributeError, match="not available"):
        _ = apprised._OURS.Session


def test_hostile_text_calls_nobody() -> None:
    bad = told(annotations={"summary": HOSTILE})
    said = apprised.KINDS["discord"].preview(notification(alerts=[bad], incident_title=HOSTILE), to("discord"))
    for text in said.values():
        assert "@everyone" not in text
        assert "<@" not in text
        assert "<!" not in text
