"""Slack: blocks, and that nothing hostile gets through them."""

from __future__ import annotations

from typing import Any

import pytest

from alerts import links, notifiers
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers import NotifierError, slack
from tests.alerts.notifiers.telling import HOSTILE, tell, to
from tests.alerts.sinks import Sink
from tests.alerts.telling import notification, told


def said(message: Notification, **templates: str) -> tuple[str, list[Any]]:
    """The colour and the texts."""
    made = slack.message(message, to("slack", templates=templates))
    [attachment] = made["attachments"]
    texts = [each.get("text") or each["elements"][0] for each in attachment["blocks"]]
    return attachment["color"], [each["text"] for each in texts]


async def test_a_message_of_blocks_arrives(sink: Sink) -> None:
    assert (
        await tell("slack", notification(incident=12), to("slack", secrets={"url": f"{sink.url}/services/T0"}))
        == "200 ok"
    )
    [request] = sink.requests
    assert request.path == "/services/T0"
    [attachment] = request.json["attachments"]
    assert [each["type"] for each in attachment["blocks"]] == ["header", "section", "context"]
    assert request.json["text"] == "🟠 HIGH WorkerDown · worker"


def test_it_says_what_where_and_why() -> None:
    colour, [title, text, footer] = said(notification(incident=12))
    assert title == "🟠 HIGH WorkerDown · worker"
    assert text == "🟠 *WorkerDown* · worker\nworker is down\nreadiness fails: redis connection refused"
    assert footer == f"<{links.incident('https://pharos.example.org', 12)}|Open the incident>   ops"
    assert colour == slack.COLOURS["high"]


def test_the_end_is_green() -> None:
    colour, [title, text, *_] = said(notification(Reason.RESOLVED))
    assert (colour, title) == (slack.GREEN, "🟢 resolved: HIGH WorkerDown · worker")
    assert "_resolved_" in text


def test_hostile_text_calls_nobody_and_links_nowhere() -> None:
    bad = told(
        HOSTILE, annotations={"summary": HOSTILE, "description": HOSTILE, "runbook_url": f"javascript:{HOSTILE}"}
    )
    message = notification(alerts=[bad], incident_title=HOSTILE, group_labels={"alertname": HOSTILE}, title="")
    made = slack.message(message, to("slack"))
    [attachment] = made["attachments"]
    header, section, context = attachment["blocks"]
    for text in (made["text"], section["text"]["text"], context["elements"][0]["text"]):
        assert "<!" not in text
        assert "<@" not in text
        assert "<https://evil" not in text
        assert "<script" not in text
        assert "javascript" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert section["text"]["verbatim"] is True
    assert header["text"]["type"] == "plain_text"
    assert "&lt;!channel&gt;" in section["text"]["text"]


def test_a_long_message_is_cut_where_slack_can_still_read_it() -> None:
    many = [told(f"Alert{number}", annotations={"summary": "&" * 200}) for number in range(50)]
    _, [title, text, *_] = said(notification(alerts=many, incident_title="x" * 400))
    assert len(title) <= slack.TITLE_MAX
    assert len(text) <= slack.TEXT_MAX
    assert text.endswith(" …")
    assert text.count("&") == text.count(";")


def test_more_alerts_than_are_listed_are_counted() -> None:
    many = [told(f"Alert{number}", annotations={}) for number in range(50)]
    _, [_, text, *_] = said(notification(alerts=many, left_out=7))
    assert text.endswith("and 37 more")


def test_a_channel_words_it_its_own_way() -> None:
    _, [title, text, *_] = said(
        notification(),
        title="{{ .CommonLabels.service | toUpper }} {{ .Status }}",
        text="{{ range .Alerts }}{{ .Annotations.summary }}{{ end }}",
    )
    assert (title, text) == ("WORKER firing", "worker is down")


def test_a_template_that_fails_is_as_if_there_were_none() -> None:
    _, [title, *_] = said(notification(), title="{{ .nope | nope }}")
    assert title == "🟠 HIGH WorkerDown · worker"
    assert "there is no function nope" in str(
        notifiers.problems("slack", {}, {"url": "https://a.example"}, {"title": "{{ nope }}"})
    )


@pytest.mark.parametrize(
    ("status", "text", "permanent"),
    [
        (404, "no_service", True),
        (403, "invalid_token", True),
        (410, "channel_is_archived", True),
        (500, "rollup_error", False),
    ],
)
async def test_what_slack_answers(sink: Sink, status: int, text: str, permanent: bool) -> None:
    sink.answer(status, text)
    with pytest.raises(NotifierError) as caught:
        await tell("slack", notification(), to("slack", secrets={"url": sink.url}))
    assert (str(caught.value), caught.value.permanent) == (f"{status} {text}", permanent)
