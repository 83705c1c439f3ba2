"""Opsgenie: an alert there is created, acknowledged and closed."""

from __future__ import annotations

import pytest

from alerts import notifiers
from alerts.models.deliveries import Reason
from alerts.notifiers import NotifierError
from alerts.samples import sample
from tests.alerts.notifiers.telling import tell, to
from tests.alerts.sinks import Sink
from tests.alerts.telling import notification

KEY = "0123abcd-0123-abcd-0123-0123456789ab"


@pytest.mark.parametrize(
    ("reason", "path"),
    [
        (Reason.FIRING, "/v2/alerts"),
        (Reason.REPEAT, "/v2/alerts"),
        (Reason.ACKNOWLEDGED, "/v2/alerts/pharos%2F1/acknowledge?identifierType=alias"),
        (Reason.RESOLVED, "/v2/alerts/pharos%2F1/close?identifierType=alias"),
    ],
)
async def test_each_message_is_about_the_same_alert(sink: Sink, reason: str, path: str) -> None:
    sink.answer(202, "Request will be processed")
    target = to("opsgenie", {"endpoint": sink.url}, {"api_key": KEY})
    answer = await tell("opsgenie", notification(reason, dedup_key="pharos/1", by="ann"), target)
    assert answer.startswith("202 Request will be processed (")
    [request] = sink.requests
    assert request.path == path
    assert request.headers["authorization"] == f"GenieKey {KEY}"
    if reason == Reason.FIRING:
        assert request.json["alias"] == "pharos/1"
        assert (request.json["message"], request.json["priority"]) == ("HIGH WorkerDown · worker", "P2")
        assert "redis connection refused" in request.json["description"]
        assert "service=worker" in request.json["tags"]
    if reason == Reason.ACKNOWLEDGED:
        assert request.json["user"] == "ann"


async def test_a_test_is_closed_again(sink: Sink) -> None:
    await tell("opsgenie", sample("ops"), to("opsgenie", {"endpoint": sink.url}, {"api_key": KEY}))
    assert [each.path.rpartition("/")[2].partition("?")[0] for each in sink.requests] == ["alerts", "close"]


async def test_a_wrong_key_is_wrong_for_good(sink: Sink) -> None:
    sink.answer(401, "Key is not valid")
    with pytest.raises(NotifierError) as caught:
        await tell("opsgenie", notification(), to("opsgenie", {"endpoint": sink.url}, {"api_key": KEY}))
    assert caught.value.permanent
    assert KEY not in str(caught.value)


def test_a_key_is_asked_for() -> None:
    assert notifiers.problems("opsgenie", {}, {}, {}) == {"options": ["Expected the key of an integration."]}


async def test_a_reminder_makes_no_second_alert_there(sink: Sink) -> None:
    target = to("opsgenie", {"endpoint": sink.url}, {"api_key": KEY})
    assert (await tell("opsgenie", notification(Reason.REMINDER), target)).endswith("reminds by itself")
    assert sink.requests == []
