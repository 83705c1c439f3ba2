"""PagerDuty: an alert there is triggered, acknowledged and resolved."""

from __future__ import annotations

from typing import Any

import pytest

from alerts import links, notifiers
from alerts.models.deliveries import Reason
from alerts.notifiers import NotifierError, RefusedError
from alerts.samples import sample
from tests.alerts.notifiers.telling import tell, to
from tests.alerts.sinks import Sink
from tests.alerts.telling import notification, told

KEY = "0123456789abcdef0123456789abcdef"
TAKEN = '{"status":"success","message":"Event processed","dedup_key":"pharos-1"}'


async def event(sink: Sink, reason: str, **fields: Any) -> Any:
    sink.answer(202, TAKEN)
    target = to("pagerduty", {"endpoint": sink.url}, {"routing_key": KEY})
    answer = await tell("pagerduty", notification(reason, **fields), target)
    assert answer == f"202 Event processed ({ACTIONS[Reason(reason)]})"
    [request] = sink.requests
    assert request.path == "/v2/enqueue"
    return request.json


ACTIONS = {
    Reason.FIRING: "trigger",
    Reason.REPEAT: "trigger",
    Reason.ESCALATION: "trigger",
    Reason.ACKNOWLEDGED: "acknowledge",
    Reason.RESOLVED: "resolve",
}


@pytest.mark.parametrize("reason", ACTIONS)
async def test_each_message_is_an_event_of_the_same_alert(sink: Sink, reason: str) -> None:
    said = await event(sink, reason)
    assert (said["event_action"], said["dedup_key"], said["routing_key"]) == (ACTIONS[Reason(reason)], "pharos-1", KEY)
    assert ("payload" in said) == (ACTIONS[Reason(reason)] == "trigger")


async def test_an_alert_says_what_where_how_bad_and_where_to_look(sink: Sink) -> None:
    annotations = {"summary": "worker is down", "runbook_url": "https://wiki.example.org/worker"}
    said = await event(sink, Reason.FIRING, incident=12, alerts=[told(annotations=annotations)])
    payload = said["payload"]
    assert payload["summary"] == "HIGH WorkerDown · worker: worker is down"
    assert (payload["severity"], payload["source"], payload["class"]) == ("error", "worker", "WorkerDown")
    assert payload["custom_details"]["labels"]["service"] == "worker"
    assert [each["href"] for each in said["links"]] == [
        links.incident("https://pharos.example.org", 12),
        "https://wiki.example.org/worker",
    ]
    assert said["client_url"] == "https://pharos.example.org"


async def test_a_long_summary_is_cut(sink: Sink) -> None:
    said = await event(sink, Reason.FIRING, incident_title="x" * 2_000)
    assert len(said["payload"]["summary"]) == 1_024


async def test_a_test_wakes_nobody_for_long(sink: Sink) -> None:
    sink.answer(202, TAKEN)
    target = to("pagerduty", {"endpoint": sink.url}, {"routing_key": KEY})
    assert await tell("pagerduty", sample("ops"), target) == "202 Event processed (trigger), and resolved again"
    assert [each.json["event_action"] for each in sink.requests] == ["trigger", "resolve"]
    assert len({each.json["dedup_key"] for each in sink.requests}) == 1


@pytest.mark.parametrize(
    ("text", "kind", "permanent"),
    [
        ('{"status":"invalid event","errors":["Length of \'routing_key\' is incorrect (should be 32 characters)"]}',
         NotifierError, True),
        ('{"status":"invalid event","errors":["\'payload.summary\' is missing or blank"]}', RefusedError, False),
    ],
)  # fmt: skip
async def test_a_wrong_key_is_told_from_a_wrong_event(sink: Sink, text: str, kind: type, permanent: bool) -> None:
    sink.answer(400, text)
    target = to("pagerduty", {"endpoint": sink.url}, {"routing_key": KEY})
    with pytest.raises(NotifierError) as caught:
        await tell("pagerduty", notification(), target)
    assert (type(caught.value), caught.value.permanent) == (kind, permanent)


def test_a_key_that_can_be_none_is_refused_when_saved() -> None:
    wrong = {"options": ["Expected a routing key of 32 characters."]}
    assert notifiers.problems("pagerduty", {}, {"routing_key": "short"}, {}) == wrong
    assert notifiers.problems("pagerduty", {}, {"routing_key": KEY}, {}) == {}


async def test_a_reminder_makes_no_second_alert_there(sink: Sink) -> None:
    target = to("pagerduty", {"endpoint": sink.url}, {"routing_key": KEY})
    assert (await tell("pagerduty", notification(Reason.REMINDER), target)).endswith("reminds by itself")
    assert sink.requests == []
