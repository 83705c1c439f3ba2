"""The page of an incident: what is known, and what people can do there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import evidence_shown, incident_page
from alerts.models import Delivery, EscalationPolicy, EscalationStep, Evidence, Incident, Silence
from alerts.models.incidents import Status, Verb, Via
from core import clock
from logs.records import Level
from tests.alerts import made
from tests.services.fleet import service, signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

HTMX = {"HX-Request": "true"}
RIGHTS = ("view_incident", "respond_incident", "add_silence", "read_records", "view_service")
VERBS = ("acknowledge", "unacknowledge", "resolve", "reopen", "escalate", "assign", "comment", "tick", "silence")


@pytest.fixture
def alice() -> Client:
    return signed_in("alice", *RIGHTS)


def text_of(response: Any) -> str:
    content: str = response.content.decode()
    return " ".join(content.split())


def page_of(client: Client, incident: Incident) -> str:
    return text_of(client.get(f"/incidents/{incident.pk}/"))


def fresh(incident: Incident) -> Incident:
    return Incident.objects.get(pk=incident.pk)


# --- The five questions ----------------------------------------------------------------------------------------------


def test_the_page_says_what_is_wrong_since_when_and_what_has_happened(alice: Client) -> None:
    incident = made.incident("WorkerDown · <worker>", service=service("worker"), summary="redis <refuses>")
    made.alert(incident=incident, labels={"service": "<worker>"}, value=7.5)
    made.event(incident, Verb.OPEN, "readiness <fails>")
    made.event(incident, Verb.COMMENT, "<b>bold</b> claim", actor="on-call", via=Via.API)
    for _ in range(2):
        page = page_of(alice, incident)
        for word in (
            "Open</b>", "WorkerDown · &lt;worker&gt;", "redis &lt;refuses&gt;", "assigned to nobody",
            "readiness &lt;fails&gt;",
            "&lt;b&gt;bold&lt;/b&gt; claim", "(API)", "service=&lt;worker&gt;", "value 7.50", "1 of 1 fires",
            "Nobody yet.", "This is the first of its kind.", "has no runbook here", "It is being collected",
        ):  # fmt: skip
            assert word in page, word


def test_the_page_and_its_verbs_refuse_other_methods(alice: Client) -> None:
    incident = made.incident()
    assert alice.post(f"/incidents/{incident.pk}/").status_code == 405
    for verb in VERBS:
        assert alice.get(f"/incidents/{incident.pk}/{verb}/").status_code == 405, verb


def test_who_may_only_look_sees_no_button_and_can_do_nothing() -> None:
    incident = made.incident()
    carol = signed_in("carol", "view_incident")
    page = page_of(carol, incident)
    assert "WorkerDown" in page
    for word in ("Acknowledge</button>", "Comment</button>", "Silence</button>", "Resolve</button>"):
        assert word not in page
    for verb in VERBS:
        assert carol.post(f"/incidents/{incident.pk}/{verb}/", {"text": "x", "hours": "1"}).status_code == 403, verb
    assert fresh(incident).status == Status.OPEN
    assert not incident.events.exists()
    assert not Silence.objects.exists()


def test_strangers_are_asked_to_log_in_and_others_are_refused() -> None:
    incident = made.incident()
    path = f"/incidents/{incident.pk}/"
    assert Client().get(path)["Location"] == f"/login/?next={path}"
    assert signed_in("bob", "view_service").get(path).status_code == 403
    for verb in VERBS:
        assert Client().post(f"{path}{verb}/").status_code == 302, verb
    assert not incident.events.exists()


def test_an_incident_that_nobody_knows_is_not_found(alice: Client) -> None:
    assert alice.get("/incidents/999/").status_code == 404
    for verb in VERBS:
        assert alice.post(f"/incidents/999/{verb}/", {"text": "x", "hours": "1"}).status_code == 404, verb


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_without_script_a_verb_leads_back_to_the_page(alice: Client) -> None:
    incident = made.incident()
    path = f"/incidents/{incident.pk}/"
    assert alice.post(f"{path}acknowledge/")["Location"] == path
    assert fresh(incident).acknowledged_by == User.objects.get(username="alice")
    page = page_of(alice, incident)
    assert "Unacknowledge</button>" in page
    assert "Acknowledged</b> by <b><bdi>alice" in page


def test_with_script_a_verb_that_worked_says_nothing(alice: Client) -> None:
    incident = made.incident()
    answer = alice.post(f"/incidents/{incident.pk}/acknowledge/", headers=HTMX)
    assert (answer.status_code, text_of(answer)) == (200, "")


def test_two_people_acknowledge_and_the_second_reads_who_was_faster(alice: Client) -> None:
    incident = made.incident()
    bob = signed_in("bob", *RIGHTS)
    bob.post(f"/incidents/{incident.pk}/acknowledge/")
    said = text_of(alice.post(f"/incidents/{incident.pk}/acknowledge/", headers=HTMX))
    assert "Somebody was faster" in said
    assert "acknowledged by bob already" in said
    alice.post(f"/incidents/{incident.pk}/acknowledge/")
    assert "acknowledged by bob already" in page_of(alice, incident)


def test_it_is_escalated_where_there_is_somebody_to_tell(alice: Client) -> None:
    alone = made.incident("alone")
    assert "Escalate</button>" not in page_of(alice, alone)
    assert "neither its rule nor its route has one" in text_of(
        alice.post(f"/incidents/{alone.pk}/escalate/", headers=HTMX)
    )
    policy = EscalationPolicy.objects.create(name="night")
    EscalationStep.objects.create(policy=policy, after=300, receiver=made.channel().receiver)
    incident = made.incident("with one", escalation=policy)
    assert "Escalate</button>" in page_of(alice, incident)
    assert text_of(alice.post(f"/incidents/{incident.pk}/escalate/", {"text": "it spreads"}, headers=HTMX)) == ""
    assert incident.events.get(verb="escalate").actor == "alice"
    assert Delivery.objects.filter(incident=incident, reason="escalation").count() == 1


def test_it_is_resolved_with_words_reopened_and_open_again(alice: Client) -> None:
    incident = made.incident(opened_at=timezone.now() - timedelta(minutes=18))
    path = f"/incidents/{incident.pk}/"
    alice.post(f"{path}resolve/", {"text": "limit raised <to> 512 MB"})
    page = page_of(alice, incident)
    assert "Resolved</b> by <b><bdi>alice" in page
    assert "after 18 min" in page
    assert "limit raised &lt;to&gt; 512 MB" in page
    alice.post(f"{path}reopen/")
    assert fresh(incident).status == Status.OPEN
    alice.post(f"{path}acknowledge/")
    alice.post(f"{path}unacknowledge/")
    assert fresh(incident).status == Status.OPEN
    verbs = list(incident.events.values_list("verb", "via"))
    assert verbs == [(v, "page") for v in ("resolve", "reopen", "acknowledge", "unacknowledge")]


def test_what_is_too_long_is_refused_with_a_sentence(alice: Client) -> None:
    incident = made.incident()
    said = text_of(alice.post(f"/incidents/{incident.pk}/resolve/", {"text": "x" * 1_001}, headers=HTMX))
    assert "Expected at most 1,000 characters" in said
    assert fresh(incident).status == Status.OPEN


def test_a_comment_stands_in_the_timeline_and_an_empty_one_is_refused(alice: Client) -> None:
    incident = made.incident()
    alice.post(f"/incidents/{incident.pk}/comment/", {"text": "see https://wiki.example.com/redis"})
    page = page_of(alice, incident)
    assert '<a href="https://wiki.example.com/redis" rel="nofollow">' in page
    assert "Expected some words." in text_of(
        alice.post(f"/incidents/{incident.pk}/comment/", {"text": " "}, headers=HTMX)
    )


def test_it_is_assigned_to_those_who_may_respond(alice: Client) -> None:
    incident = made.incident()
    bob = User.objects.create_user("bob")
    me = User.objects.get(username="alice")
    path = f"/incidents/{incident.pk}/assign/"
    assert f'value="{bob.pk}" hx-post' not in page_of(alice, incident)
    assert "who may respond" in text_of(alice.post(path, {"to": bob.pk}, headers=HTMX))
    assert fresh(incident).assignee is None
    alice.post(path, {"to": me.pk})
    assert fresh(incident).assignee == me
    alice.post(path, {"to": ""})
    assert fresh(incident).assignee is None


def test_alerts_like_these_are_silenced_for_some_hours(alice: Client) -> None:
    incident = made.incident(labels={"alertname": 'Quote"d', "service": "worker", "severity": "high"})
    path = f"/incidents/{incident.pk}/silence/"
    said = text_of(alice.post(path, {"hours": "4"}, headers=HTMX))
    assert "Silenced for 4 hours." in said
    silence = Silence.objects.get()
    assert silence.matchers == ['alertname="Quote\\"d"', 'service="worker"']
    assert silence.ends_at - silence.starts_at == timedelta(hours=4)
    assert (silence.created_by, silence.comment) == ("alice", f"Incident {incident.pk}: WorkerDown · worker")
    assert "Expected one of these numbers" in text_of(alice.post(path, {"hours": "5"}, headers=HTMX))
    assert Silence.objects.count() == 1


# --- The runbook -----------------------------------------------------------------------------------------------------


def runbook_incident(**fields: Any) -> Incident:
    rule = made.rule(
        what="The worker is **down**.",
        diagnosis="- Is it running? `docker ps`\n- Does Redis answer?",
        resolution="Be quick:\n\n1. Restart it\n   ```\n   docker restart <worker>\n   ```",
    )
    return made.incident(rule=rule, **fields)


def test_the_runbook_is_a_list_to_tick(alice: Client) -> None:
    incident = runbook_incident(ticks=[1])
    page = page_of(alice, incident)
    for word in (
        "1 of 3",
        "<strong>down</strong>",
        "<code>docker ps</code>",
        "docker restart &lt;worker&gt;",
        "Be quick:",
    ):
        assert word in page, word
    assert re.findall(r'aria-checked="(\w+)"', page) == ["false", "true", "false"]
    alice.post(f"/incidents/{incident.pk}/tick/?step=2&done=1")
    alice.post(f"/incidents/{incident.pk}/tick/?step=1&done=0")
    assert fresh(incident).ticks == [2]
    page = page_of(alice, incident)
    assert "has done: <bdi>Restart it" in page
    assert "has not done: <bdi>Does Redis answer?" in page


def test_a_step_that_there_is_not_is_refused(alice: Client) -> None:
    incident = runbook_incident()
    for step in ("3", "-1", "x", ""):
        said = text_of(alice.post(f"/incidents/{incident.pk}/tick/?step={step}&done=1", headers=HTMX))
        assert "The runbook has no such step" in said
    assert fresh(incident).ticks == []


# --- Who was told, and what was before -------------------------------------------------------------------------------


def test_who_was_told_stands_with_the_answer(alice: Client) -> None:
    incident = made.incident()
    made.delivery(incident, made.channel("on-call"), answer="200 <ok>")
    made.delivery(incident, made.channel("boss"), outcome="failed", answer="403: invalid token", attempts=6)
    made.delivery(made.incident("other"), made.channel("strangers"))
    page = page_of(alice, incident)
    for word in ("on-call", "200 &lt;ok&gt;", ", 310 ms", "boss", "failed", "403: invalid token", ", 6 tries"):
        assert word in page, word
    assert "strangers" not in page


def test_similar_incidents_are_those_of_the_same_alerts_or_rule_before(alice: Client) -> None:
    rule, now = made.rule(), timezone.now()
    incident = made.incident("this", rule=rule)
    made.incident("same key", Status.RESOLVED, key="this", opened_at=now - timedelta(days=1), resolution="rolled back")
    made.incident("same rule", Status.RESOLVED, rule=rule, opened_at=now - timedelta(days=2))
    made.incident("later", rule=rule, opened_at=now + timedelta(days=1))
    made.incident("another", opened_at=now - timedelta(days=3))
    page = page_of(alice, incident)
    shown = re.findall(r"<bdi>([^<]+)</bdi></a> <span", page)
    assert shown == ["same key", "same rule"]
    assert "rolled back" in page


# --- Evidence --------------------------------------------------------------------------------------------------------

AT = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)


def iso(seconds: float) -> str:
    return clock.iso(clock.micros(AT + timedelta(seconds=seconds)))


def line(message: str, seconds: float) -> dict[str, Any]:
    at = clock.micros(AT + timedelta(seconds=seconds))
    return {
        "timestamp": at,
        "sequence": 1,
        "level": int(Level.ERROR),
        "service": "worker",
        "message": message,
        "metadata": "{}",
    }


def frozen_incident() -> Incident:
    incident = made.incident(rule=made.rule(pending_for=120), opened_at=AT)
    span = {"start": iso(-300), "end": iso(300), "total": 2, "complete": True}
    lines = [line("receipt <8819> lost", -2), line("and another", 0)]
    for kind, data, note in (
        (Evidence.Kind.MATCHES, {"query": "receipt", "lines": lines[:1], **span}, "1 matching line"),
        (Evidence.Kind.LINES, {"services": ["worker"], "lines": lines, "step": 10, "counts": [], **span}, "2 lines"),
        (
            Evidence.Kind.CHANGES,
            {"changes": [{"at": iso(-1), "service": "worker", "old": "healthy", "new": "down", "reason": "refused"}]},
            "",
        ),
        (
            Evidence.Kind.CONTAINERS,
            {
                "events": [
                    {"at": iso(-94), "service": "redis", "container": "redis-1", "kind": "oom", "detail": "exit 137"},
                    {"at": iso(60), "service": "redis", "container": "redis-1", "kind": "start", "detail": ""},
                ]
            },
            "",
        ),
        (Evidence.Kind.DEPLOY, {"deploys": [{"at": iso(-400), "service": "worker", "what": "2.4.2"}]}, ""),
        (
            Evidence.Kind.SERIES,
            {
                "series": [{"labels": {}, "points": [[iso(-600), 1], [iso(-300), None], [iso(0), 7]]}],
                "unit": "lines",
                "operator": ">",
                "thresholds": [{"severity": "high", "value": 5}],
            },
            "",
        ),
    ):
        made.evidence(incident, kind, data, note)
    return incident


def test_frozen_lines_stand_as_in_the_logs_with_a_link_there(alice: Client) -> None:
    page = page_of(alice, frozen_incident())
    assert "<mark>receipt</mark> &lt;8819&gt; lost" in page
    assert page.count('class="row lv-error') == 3
    assert "/logs/?q=receipt&amp;from=2026-11-21T12%3A00%3A00.000000Z&amp;to=2026-11-21T12%3A10" in page
    assert "/logs/?service=worker&amp;from=" in page


def test_who_may_not_read_lines_sees_none_of_them() -> None:
    incident = frozen_incident()
    carol = signed_in("carol", "view_incident")
    page_of(signed_in("alice", *RIGHTS), incident)  # what is kept for others is not shown to all
    page = page_of(carol, incident)
    assert "8819" not in page
    assert "Reading log lines needs a permission" in page
    assert "healthy → down: refused" in page


def test_what_happened_before_is_the_expected_cause(alice: Client) -> None:
    page = page_of(alice, frozen_incident())
    assert "expected cause: <b><bdi>container redis-1</bdi></b> <bdi>out of memory (exit 137)</bdi>" in page
    order = [page.index(word) for word in ("deploy 2.4.2</bdi>", "healthy → down", ">started")]
    assert order == sorted(order)


def test_the_value_of_the_rule_is_drawn_with_its_limit_and_the_deploy(alice: Client) -> None:
    page = page_of(alice, frozen_incident())
    found = re.search(r'<script id="series-json" type="application/json">(.*?)</script>', page)
    assert found
    data = json.loads(found[1])
    at = clock.micros(AT) // 1_000
    assert data["points"] == [[at - 600_000, 1], [at - 300_000, None], [at, 7]]
    assert data["limits"][0]["value"] == 5
    assert data["marks"] == [{"at": at - 400_000, "text": "deploy 2.4.2"}]
    assert data["rule"] == "> 5 lines for 2 min"


def test_evidence_that_was_collected_again_is_shown_anew(alice: Client) -> None:
    incident = frozen_incident()
    page_of(alice, incident)
    later = {"changes": [{"at": iso(9), "service": "worker", "old": "down", "new": "healthy", "reason": "fine now"}]}
    incident.evidence.filter(kind="changes").update(data=later, taken_at=AT + timedelta(minutes=5))
    assert "fine now" in page_of(alice, incident)


# --- Its cost --------------------------------------------------------------------------------------------------------


def test_the_page_takes_as_many_queries_with_one_of_each_as_with_thirty() -> None:
    incident = frozen_incident()
    user = User.objects.create_user("dan")

    def add(n: int) -> None:
        made.alert(incident=incident, labels={"n": str(n)})
        made.event(incident, Verb.COMMENT, "x", user=user, actor="dan")
        made.delivery(incident, made.channel(f"r{n}"))
        made.incident(
            f"i{n}", Status.RESOLVED, rule=incident.rule, opened_at=AT - timedelta(days=n + 1), resolved_by=user
        )

    def queries() -> int:
        evidence_shown._kept.clear()
        with CaptureQueriesContext(connection) as captured:
            incident_page.fragments(incident_page.incident(incident.pk), frozenset(incident_page.PERMISSIONS))
        return len(captured)

    add(0)
    few = queries()
    for n in range(1, 30):
        add(n)
    assert queries() == few


# --- Description -----------------------------------------------------------------------------------------------------


def description_of(client: Client, incident: Incident) -> str:
    found = re.search(r'<section id="description".*?</section>', page_of(client, incident))
    assert found
    return found[0]


def test_the_description_of_the_worst_alert_is_markdown_and_its_html_is_text(alice: Client) -> None:
    incident = made.incident()
    assert " hidden>" in description_of(alice, incident)
    made.alert(labels={"n": "1"}, severity="low", incident=incident, annotations={"description": "less"})
    made.alert(labels={"n": "2"}, severity="high", incident=incident)
    worst = "**502** of <script>x</script> [y](javascript:z), see https://a.b/"
    made.alert(labels={"n": "3"}, severity="medium", incident=incident, annotations={"description": worst})
    found = description_of(alice, incident)
    assert (
        "<p><strong>502</strong> of &lt;script&gt;x&lt;/script&gt; [y](javascript:z), "
        'see <a href="https://a.b/" class="go"'
    ) in found
    assert "others have their own" in found
    assert "less" not in found


# --- Why -----------------------------------------------------------------------------------------------------------


def test_the_page_explains_why_somebody_was_told(alice: Client) -> None:
    incident = made.incident()
    alert = made.alert(made.rule("Down & out"), labels={"service": "<worker>"}, severity="critical", incident=incident)
    page = page_of(alice, incident)
    assert "Why was nobody told?" in page
    for word in (
        "The rule Down &amp; out finds it true since",
        "No silence hits it.",
        "No other alert keeps it quiet.",
    ):
        assert word in page, word
    receiver = re.search(r"tells ([\w -]+)[.,]", page)
    assert receiver
    channel = made.channel(receiver[1])
    made.delivery(incident, channel, notification={"alerts": [{"fingerprint": alert.fingerprint}]}, answer="200 OK")
    assert "Why was I told?" in page_of(alice, incident)


def test_the_page_says_what_keeps_an_alert_quiet(alice: Client) -> None:
    incident = made.incident(labels={"service": "worker"})
    made.alert(labels={"service": "worker"}, incident=incident)
    alice.post(f"/incidents/{incident.pk}/silence/", {"hours": "1", "text": "we <know>"})
    page = page_of(alice, incident)
    assert "A silence of alice keeps it quiet until" in page
    assert "we &lt;know&gt;" in page
    assert "Here it stops." in page


def test_an_explanation_has_its_times_in_the_readers_zone(alice: Client) -> None:
    incident = made.incident()
    made.alert(incident=incident, active_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert 'true since <time datetime="2026-01-02T03:04:05+00:00">Jan 2 03:04:05</time>: it' in page_of(alice, incident)
    alice.cookies["pharos_tz"] = "Asia/Tokyo"
    assert 'true since <time datetime="2026-01-02T03:04:05+00:00">Jan 2 12:04:05</time>: it' in page_of(alice, incident)


def test_an_incident_without_alerts_explains_nothing(alice: Client) -> None:
    assert '<section id="why" class="card" hidden>' in page_of(alice, made.incident())
