"""The webhook: Alertmanager's body, a signature, and what answers mean."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from django.test import override_settings

from alerts import notifiers
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers import NotifierError, RefusedError, webhook
from tests.alerts.sinks import Sink
from tests.alerts.telling import notification, told


async def tell(sink: Sink, said: Notification | None = None, **secrets: Any) -> str:
    to = notifiers.target("webhook", {"url": f"{sink.url}/hook"}, secrets, {}, delivery="pharos-7", timeout=5)
    return await notifiers.send("webhook", said or notification(), to)


async def failure(sink: Sink) -> NotifierError:
    with pytest.raises(NotifierError) as caught:
        await tell(sink)
    return caught.value


# --- The body ------------------------------------------------------------------------------------------------------


async def test_the_body_is_alertmanagers(sink: Sink) -> None:
    assert await tell(sink) == "200 ok"
    [request] = sink.requests
    assert request.path == "/hook"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "pharos-7"
    [alert] = request.json["alerts"]
    assert alert == {
        "status": "firing",
        "labels": {"alertname": "WorkerDown", "service": "worker", "severity": "high"},
        "annotations": {"description": "readiness fails: redis connection refused", "summary": "worker is down"},
        "startsAt": "2026-11-21T13:58:03.12Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://pharos.example.org/alerts/",
        "fingerprint": told().fingerprint,
    }
    assert list(request.json) == [
        "receiver", "status", "alerts", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "version",
        "groupKey", "truncatedAlerts",
    ]  # fmt: skip
    assert (request.json["version"], request.json["status"], request.json["truncatedAlerts"]) == ("4", "firing", 0)


def test_an_alert_that_ended_says_when() -> None:
    said = json.loads(webhook.body(notification(Reason.RESOLVED)))
    assert (said["status"], said["alerts"][0]["status"]) == ("resolved", "resolved")
    assert said["alerts"][0]["endsAt"] == "2026-11-21T14:03:00Z"


def test_what_means_something_in_html_is_written_as_gos_encoder_does() -> None:
    content = webhook.body(notification(common_annotations={"summary": "<b>&</b>\u2028"}))
    assert rb'{"summary":"\u003cb\u003e\u0026\u003c/b\u003e\u2028"}' in content
    assert content.endswith(b"}\n")


async def test_a_message_about_no_alerts_is_not_sent(sink: Sink) -> None:
    with pytest.raises(RefusedError, match="about none"):
        await tell(sink, notification(alerts=[], reason=Reason.DIGEST, title="The week"))
    assert sink.requests == []


# --- The signature -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "meant"), [("hunter2", b"hunter2"), (f"whsec_{base64.b64encode(b'0123456789').decode()}", b"0123456789")]
)
async def test_a_receiver_can_verify_who_sent_it_and_when(sink: Sink, key: str, meant: bytes) -> None:
    await tell(sink, signing_key=key)
    [request] = sink.requests
    said = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    digest = base64.b64encode(hmac.new(meant, said, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{digest}"


async def test_without_a_key_there_is_no_signature(sink: Sink) -> None:
    await tell(sink, headers={"Authorization": "Bearer t"})
    assert "webhook-signature" not in sink.requests[0].headers
    assert sink.requests[0].headers["authorization"] == "Bearer t"


# --- Answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "permanent", "refused"),
    [
        (400, False, True), (401, True, False), (403, True, False), (404, False, False), (410, True, False),
        (413, False, True), (422, False, True), (429, False, False), (500, False, False), (503, False, False),
        (302, False, False), (301, True, False),
    ],
)  # fmt: skip
async def test_what_an_answer_means(sink: Sink, status: int, permanent: bool, refused: bool) -> None:
    sink.answer(status, "no\x1b[31m\nreason")
    error = await failure(sink)
    assert (error.permanent, isinstance(error, RefusedError)) == (permanent, refused)
    assert str(error).startswith(f"{status}")
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(("said", "seconds"), [("120", 120.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)])
async def test_retry_after_is_read(sink: Sink, said: str, seconds: float | None) -> None:
    sink.answer(429, "", Retry_After=said)
    assert (await failure(sink)).retry_after == seconds


async def test_a_redirect_is_not_followed(sink: Sink) -> None:
    sink.answer(307, "", Location=f"{sink.url}/elsewhere")
    await failure(sink)
    assert [each.path for each in sink.requests] == ["/hook"]


async def test_an_address_that_must_not_be_reached_is_wrong_for_good(sink: Sink) -> None:
    with override_settings(OUTBOUND_PRIVATE=False):
        error = await failure(sink)
    assert error.permanent
    assert "127.0.0.1 is refused" in str(error)
    to = notifiers.target("webhook", {"url": "http://169.254.169.254/latest/meta-data/"}, {}, {}, timeout=5)
    with pytest.raises(NotifierError, match="link-local"):
        await notifiers.send("webhook", notification(), to)


async def test_it_takes_its_time_and_no_more(sink: Sink) -> None:
    sink.hold = lambda _: asyncio.run(asyncio.sleep(1))
    to = notifiers.target("webhook", {"url": sink.url}, {}, {}, timeout=0.05)
    with pytest.raises(NotifierError, match=r"no answer within 0\.05 s"):
        await notifiers.send("webhook", notification(), to)


# --- Settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "secrets", "wrong"),
    [
        ({"url": "https://hooks.example.org/x"}, {}, {}),
        ({}, {"url": "https://hooks.example.org/x"}, {}),
        ({}, {}, {"options": ["Expected an address that begins with https:// or http://."]}),
        ({"url": "file:///etc/passwd"}, {}, {"options": ["Expected an address that begins with https:// or http://."]}),
        ({"uri": "x"}, {}, {"options": ["Object contains unknown field `uri`."]}),
        ({"url": "https://a.example/"}, {"signing_key": "whsec_?"},
         {"options": ["Expected base64 behind whsec_ in the signing key."]}),
        ({"url": "https://a.example/"}, {"token": "x"}, {"secrets": ["Object contains unknown field `token`."]}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_when_saved(options: Any, secrets: Any, wrong: dict[str, list[str]]) -> None:
    assert notifiers.problems("webhook", options, secrets, {}) == wrong
