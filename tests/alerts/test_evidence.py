"""What is frozen into an incident: lines, what happened, the rule's value; when, how much, and that it stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from alerts import evidence, incidents
from alerts.conditions import ConditionError
from alerts.evidence import lines
from alerts.labels import fingerprint
from alerts.models import Alert, AlertRule, Evidence, Incident
from core import clock
from logs.records import Level, LogRecord
from logs.store import log_stores
from services.models import Container, ContainerEvent, Dependency, DockerHost, Service
from tests.logs.corpus import entries
from tests.services import made

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NOW = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5, seconds=11)
KINDS = Evidence.Kind


def line(seconds: float, message: str = "job failed", **fields: Any) -> LogRecord:
    known: dict[str, Any] = {"level": Level.ERROR, "service": "worker"} | fields
    return LogRecord(timestamp=clock.micros(NOW) + round(seconds * clock.SECOND), message=message, **known)


def store(*records: LogRecord, first: int = 0) -> None:
    log_stores["default"].append(entries(sorted(records, key=lambda record: record.timestamp), first=first))


def opened(config: dict[str, Any] | None = None, began: datetime = NOW, **labels: str) -> Incident:
    rule = AlertRule(name="WorkerDown", kind="log_count", config=config or {}, interval=15, thresholds=[{"value": 5}])
    AlertRule.objects.bulk_create([rule])  # nobody evaluates it
    whole = {"alertname": "WorkerDown", **labels}
    alert = Alert.objects.create(
        rule=rule, fingerprint=fingerprint(whole), labels=whole, state="firing", active_at=began, true_at=NOW
    )
    return incidents.attach(alert, "k", whole, NOW)


def taken(incident: Incident, kind: Evidence.Kind) -> Any:
    found = incident.evidence.filter(kind=kind).first()
    return found and found.data


def messages(data: Any) -> list[str]:
    return [record.message for record in lines.records(data["lines"])]


def test_lines_that_match_and_lines_of_the_service_are_frozen() -> None:
    Service.objects.create(name="worker")
    store(
        line(-301, "too early"), line(-30, "started", level=Level.INFO), line(-2), line(-1, "elsewhere", service="web"),
    )  # fmt: skip
    incident = opened({"query": "failed"}, service="worker")
    assert evidence.run_due(NOW) == 1
    assert messages(taken(incident, KINDS.MATCHES)) == ["job failed"]
    data = taken(incident, KINDS.LINES)
    assert (messages(data), data["services"], data["total"], data["complete"]) == (
        ["started", "job failed"], ["worker"], 2, True,
    )  # fmt: skip
    assert (data["start"], data["end"]) == ("2026-11-21T12:00:00.000000Z", "2026-11-21T12:05:00.000000Z")
    assert sum(sum(counts) for _, counts in data["counts"]) == 2
    event = incident.events.get(verb="evidence")
    assert event.text == "1 matching line, 2 lines of worker"


def test_five_minutes_later_what_was_said_meanwhile_is_added_and_then_no_more() -> None:
    Service.objects.create(name="worker")
    store(line(-1, "before"))
    incident = opened(service="worker")
    evidence.run_due(NOW)
    assert evidence.run_due(NOW + timedelta(minutes=5)) == 0
    store(line(1, "after"), line(299, "last"), line(301, "too late"), first=100)
    assert evidence.run_due(LATER) == 1
    assert messages(taken(incident, KINDS.LINES)) == ["before", "after", "last"]
    assert evidence.run_due(LATER + timedelta(days=1)) == 0
    assert incident.events.filter(verb="evidence").count() == 1


def test_it_stays_when_the_lines_are_gone() -> None:
    Service.objects.create(name="worker")
    store(line(-1, "before"))
    incident = opened(service="worker")
    evidence.run_due(NOW)
    log_stores["default"].delete_before(clock.micros(NOW) + clock.DAY)
    assert messages(taken(incident, KINDS.LINES)) == ["before"]


def test_it_begins_when_the_alert_was_true_first() -> None:
    Service.objects.create(name="worker")
    store(line(-400, "the cause"), line(-1))
    incident = opened(began=NOW - timedelta(minutes=2), service="worker")
    evidence.freeze(incident, NOW)
    assert messages(taken(incident, KINDS.LINES)) == ["the cause", "job failed"]


def test_of_many_lines_the_nearest_are_kept_and_warnings() -> None:
    Service.objects.create(name="worker")
    noise = [line(-second, f"noise {second}", level=Level.INFO) for second in range(1, 251)]
    store(
        line(-290, "disk full", level=Level.WARN), *noise, *(line(second, f"after {second}") for second in range(120))
    )
    incident = opened(service="worker")
    evidence.freeze(incident, LATER)
    data = taken(incident, KINDS.LINES)
    kept = messages(data)
    assert (len(kept), data["total"]) == (201, 371)
    assert (kept[0], kept[1], kept[100], kept[-1]) == ("disk full", "noise 100", "noise 1", "after 99")
    assert incident.evidence.get(kind=KINDS.LINES).note == "201 of 371 lines of worker"


def test_long_lines_are_cut_and_all_of_it_is_bounded() -> None:
    Service.objects.create(name="worker")
    store(*(line(-second, "x" * 50_000, metadata=b'{"a":"%s"}' % (b"y" * 5_000)) for second in range(1, 101)))
    incident = opened(service="worker")
    evidence.freeze(incident, NOW)
    found = lines.records(taken(incident, KINDS.LINES)["lines"])
    assert {(len(record.message), record.metadata) for record in found} == {(2_000, b"{}")}
    assert len(msgspec.json.encode(taken(incident, KINDS.LINES))) < 2 * lines.BYTES_MAX
    assert 50 < len(found) < 100


def test_a_line_comes_back_as_it_was(database: str) -> None:
    Service.objects.create(name="worker")
    kept = line(
        -1, "a\0b “ü” \U0001f600 [redacted]", logger="jobs", title="Failed", request_id="r", trace_id="t", span_id="s",
        metadata=b'{"n":1,"password":"[redacted]"}',
    )  # fmt: skip
    store(kept)
    incident = opened(service="worker")
    evidence.freeze(incident, NOW)
    found = lines.records(taken(Incident.objects.get(pk=incident.pk), KINDS.LINES)["lines"])
    assert found == [msgspec.structs.replace(kept, message=kept.message.replace("\0", "␀"), sequence=found[0].sequence)]


def test_of_a_rule_by_groups_only_the_lines_of_the_group_match() -> None:
    store(line(-2, service="web"), line(-1, service="a b"))
    incident = opened({"query": "job OR else", "group_by": ["service"]}, service="a b")
    evidence.freeze(incident, NOW)
    data = taken(incident, KINDS.MATCHES)
    assert (data["query"], len(data["lines"])) == ('(job OR else) service:"a b"', 1)
    assert taken(incident, KINDS.LINES)["services"] == ["a b"]


def test_a_rule_that_names_no_service_brings_those_whose_lines_match() -> None:
    store(line(-3, service="web"), line(-2, "fine", service="web"), line(-1, "fine", service="other"))
    incident = opened({"query": "failed"})
    evidence.freeze(incident, NOW)
    data = taken(incident, KINDS.LINES)
    assert (data["services"], messages(data)) == (["web"], ["job failed", "fine"])


def test_what_happened_to_the_service_and_to_what_it_needs_is_frozen() -> None:
    worker, redis, other = (Service.objects.create(name=name) for name in ("worker", "redis", "other"))
    Dependency.objects.create(child=worker, parent=redis)
    host = DockerHost.objects.create(name="here", address="unix:///x")
    known = {"host": host, "state": "running", "state_since": NOW}
    box = Container.objects.create(container_id="1", name="redis-1", service=redis, **known)
    for service, minutes in [(redis, -2), (worker, -1), (other, -1), (worker, -90), (worker, 2)]:
        made.change(service, NOW + timedelta(minutes=minutes), "down", reason="refused")
        ContainerEvent.objects.create(
            container=box, service=service, at=NOW + timedelta(minutes=minutes), kind="oom", detail="137"
        )
    for days, what in [(-8, "too old"), (-2, "worker:1 → worker:2"), (-1, "worker:2 → worker:3")]:
        ContainerEvent.objects.create(
            container=box, service=worker, at=NOW + timedelta(days=days), kind="deploy", detail=what
        )
    incident = opened(service="worker")
    evidence.freeze(incident, NOW)
    changes = taken(incident, KINDS.CHANGES)["changes"]
    assert [(each["service"], each["at"][11:16], each["new"], each["reason"]) for each in changes] == [
        ("redis", "12:03", "down", "refused"),
        ("worker", "12:04", "down", "refused"),
    ]
    events = taken(incident, KINDS.CONTAINERS)["events"]
    assert [(each["service"], each["container"], each["kind"], each["detail"]) for each in events] == [
        ("redis", "redis-1", "oom", "137"),
        ("worker", "redis-1", "oom", "137"),
    ]
    told = taken(incident, KINDS.DEPLOY)["deploys"]
    assert [each["what"] for each in told] == ["worker:2 → worker:3", "worker:1 → worker:2"]
    assert "2 changes of status, 2 container events, deploy worker:2 → worker:3" in incident.events.last().text  # type: ignore[union-attr]

    evidence.freeze(incident, LATER)
    assert len(taken(incident, KINDS.CHANGES)["changes"]) == 3


def test_a_container_without_a_service_is_found_by_its_name() -> None:
    host = DockerHost.objects.create(name="here", address="unix:///x")
    box = Container.objects.create(host=host, container_id="1", name="cron-1", state="exited", state_since=NOW)
    ContainerEvent.objects.create(container=box, at=NOW - timedelta(seconds=1), kind="die", detail="exit code 1")
    incident = opened(container="cron-1")
    evidence.freeze(incident, NOW)
    [event] = taken(incident, KINDS.CONTAINERS)["events"]
    assert (event["container"], event["service"], event["detail"]) == ("cron-1", "", "exit code 1")


def test_the_values_of_the_rule_are_frozen_that_of_the_alert_first() -> None:
    store(*(line(second, service="other") for second in (-95, -91)), line(-90))
    incident = opened({"window": 60, "group_by": ["service"]}, service="worker")
    evidence.freeze(incident, NOW)
    data = taken(incident, KINDS.SERIES)
    assert (data["unit"], data["operator"], data["thresholds"]) == ("lines", ">", [{"value": 5}])
    assert [each["labels"] for each in data["series"]] == [{"service": "worker"}, {"service": "other"}]
    points = data["series"][0]["points"]
    assert {value for _, value in points} == {1.0}
    assert "2026-11-21T12:03:30" <= points[0][0] <= points[-1][0] <= "2026-11-21T12:04:45"


def test_what_cant_be_had_costs_nothing_else(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    worker = Service.objects.create(name="worker")
    made.change(worker, NOW - timedelta(minutes=1), "down")

    def fails(*_: Any, **__: Any) -> Any:
        raise ConditionError("the log store is away")

    monkeypatch.setattr(type(log_stores["default"]), "search", fails)
    incident = opened(service="worker")
    evidence.run_due(NOW)
    assert set(incident.evidence.values_list("kind", flat=True)) == {"changes", "series"}
    assert "No evidence of the kind lines" in caplog.text
    incident.refresh_from_db()
    assert incident.evidence_at == clock.micros(NOW + timedelta(minutes=5, seconds=10))


def test_an_incident_without_anything_has_no_evidence_and_no_event() -> None:
    alert = Alert.objects.create(fingerprint="f", labels={}, state="firing", active_at=NOW, true_at=NOW)
    incident = incidents.attach(alert, "k", {}, NOW)
    assert evidence.run_due(NOW) == 1
    assert not incident.evidence.exists()
    assert list(incident.events.values_list("verb", flat=True)) == ["open"]


def test_what_a_killed_worker_had_taken_is_taken_by_another_when_the_lease_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened(service="worker")

    def dies(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(evidence, "freeze", dies)
        with pytest.raises(SystemExit):
            evidence.run_due(NOW)
    assert evidence.run_due(NOW + timedelta(seconds=59)) == 0
    assert evidence.run_due(NOW + timedelta(seconds=60)) == 1
