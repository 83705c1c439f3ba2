"""Rows of the admin decide which lines are kept and what is added to them; what isn't spoken of stays as it was."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import Client
from msgspec.structs import replace

from logs import pipelines, plain, stream
from logs.lines import Lines
from logs.models import Pipeline
from logs.records import Level, LogRecord, parse_timestamp
from logs.rules import CHANGED, DROPPED_BY_EXPRESSION, DROPPED_BY_LEVEL, DROPPED_BY_QUERY, SAMPLED_OUT, Rule, RuleError
from tests.logs.ingesting import messages, records, running
from tests.waiting import until

NOW = parse_timestamp("2026-11-21T10:30:45Z")


def line(message: str = "m", level: Level = Level.INFO, service: str = "api", **more: Any) -> LogRecord:
    metadata = json.dumps(more.pop("metadata", {}), separators=(",", ":")).encode()
    return LogRecord(NOW, level, service, message, metadata=metadata, **more)


def run(rule: Rule, *given: LogRecord) -> list[LogRecord]:
    return list(rule.run(Lines.of(given), Counter()))


# --- What goes -----------------------------------------------------------------------------------------------------


def test_debug_is_dropped_when_the_minimum_is_info() -> None:
    counts: Counter[str] = Counter()
    left = Rule(minimum="info").run(Lines.of([line(level=level) for level in Level]), counts)
    assert left.level == [Level.INFO, Level.WARN, Level.ERROR, Level.FATAL]
    assert counts[DROPPED_BY_LEVEL] == 2


def test_ten_per_cent_keeps_a_tenth_of_info_and_every_error() -> None:
    many = [line(f"{number}", level) for number in range(10_000) for level in (Level.INFO, Level.WARN, Level.ERROR)]
    counts: Counter[str] = Counter()
    left = Counter(Rule(keep=10).run(Lines.of(many), counts).level)
    assert 900 < left[Level.INFO] < 1_100
    assert left[Level.ERROR] == left[Level.WARN] == 10_000
    assert counts[SAMPLED_OUT] == 10_000 - left[Level.INFO]


@pytest.mark.parametrize("field", ["request_id", "trace_id"])
def test_the_lines_of_a_request_stay_or_go_together(field: str) -> None:
    many = [replace(line(f"{number} {step}"), **{field: f"r-{number}"}) for number in range(1_000) for step in "abc"]
    left = Counter(getattr(record, field) for record in run(Rule(keep=30), *many))
    assert set(left.values()) == {3}
    assert 200 < len(left) < 400


def test_a_line_meets_the_same_fate_every_time() -> None:
    many = [line(f"{number}") for number in range(100)]
    assert run(Rule(keep=50), *many) == run(Rule(keep=50), *many)


@pytest.mark.parametrize(("keep", "left"), [(0, 0), (100, 1_000)])
def test_nothing_and_everything_are_exact(keep: int, left: int) -> None:
    assert len(run(Rule(keep=keep), *[line(f"{number}") for number in range(1_000)])) == left


def test_a_query_drops_what_it_finds() -> None:
    counts: Counter[str] = Counter()
    given = Lines.of([line("GET /healthz"), line("GET /orders"), line("GET /healthz", Level.ERROR)])
    left = Rule(drop="healthz AND level:<=info").run(given, counts)
    assert [record.message for record in left] == ["GET /orders", "GET /healthz"]
    assert counts[DROPPED_BY_QUERY] == 1


def test_a_regular_expression_drops_what_it_finds() -> None:
    counts: Counter[str] = Counter()
    given = Lines.of([line("GET /healthz 200"), line("POST /healthz"), line("GET /metrics 200")])
    left = Rule(drop_expression="^GET /(healthz|metrics)").run(given, counts)
    assert left.message == ["POST /healthz"]
    assert counts[DROPPED_BY_EXPRESSION] == 2


def test_only_lines_of_its_services_are_touched() -> None:
    given = [line(service=name) for name in ("api-1", "api-2", "API-3", "web")]
    assert [record.service for record in run(Rule(services="api-*", keep=0), *given)] == ["API-3", "web"]
    assert [record.service for record in run(Rule(services="web", keep=0), *given)] == ["api-1", "api-2", "API-3"]


def test_places_stay_with_their_lines() -> None:
    lines = Lines.of([line("a"), line("b", Level.DEBUG), line("c")])
    lines.sequence = range(3)
    assert list(Rule(minimum="info").run(lines, Counter()).sequence) == [0, 2]


# --- What is added -------------------------------------------------------------------------------------------------


def test_labels_are_added_where_they_are_missing() -> None:
    rule = Rule(labels={"team": "shop", "tier": 1})
    found = run(rule, line(), line(metadata={"team": "own", "n": 1}), line(metadata={"team": 1, "tier": 2}))
    assert [json.loads(record.metadata) for record in found] == [
        {"team": "shop", "tier": 1},
        {"team": "own", "n": 1, "tier": 1},
        {"team": 1, "tier": 2},
    ]


def test_groups_set_fields_and_others_become_metadata() -> None:
    rule = Rule(
        expression=r"^(?P<timestamp>\S+) (?P<severity>[A-Z]+) (?P<service>\w+) user=(?P<user_id>\w+) "
        r"(?P<req_id>\S+) (?P<message>.*)"
    )
    (record,) = run(rule, line("2026-11-21T09:00:00Z WARN shop user=u7 r-1 sold out", metadata={"n": 1}))
    assert record == LogRecord(
        parse_timestamp("2026-11-21T09:00:00Z"),
        Level.WARN,
        "shop",
        "sold out",
        request_id="r-1",
        metadata=b'{"n":1,"user_id":"u7"}',
    )


def test_a_group_that_can_not_be_the_field_is_kept_as_metadata() -> None:
    (record,) = run(
        Rule(expression=r"(?P<level>\w+) (?P<timestamp>\w+) (?P<service>\w+)"), line("odd later " + "s" * 300)
    )
    assert (record.level, record.timestamp, record.service) == (Level.INFO, NOW, "api")
    assert json.loads(record.metadata) == {"level": "odd", "timestamp": "later", "service": "s" * 300}


def test_a_line_without_a_match_is_not_changed() -> None:
    counts: Counter[str] = Counter()
    lines = Lines.of([line("nothing")])
    assert list(Rule(expression=r"user=(?P<user_id>\w+)").run(lines, counts)) == [line("nothing")]
    assert counts[CHANGED] == 0


def test_what_was_extracted_counts_for_the_minimum() -> None:
    assert run(Rule(expression=r"^(?P<level>\w+):", minimum="info"), line("debug: x"), line("info: y")) == [
        line("info: y")
    ]


def test_the_lines_that_were_given_stay_as_they_were() -> None:
    lines = Lines.of([line("user=u7"), line("x", Level.DEBUG)])
    before = list(lines)
    Rule(expression=r"user=(?P<message>\w+)", minimum="info", labels={"a": 1}).run(lines, Counter())
    assert list(lines) == before


def test_a_hard_expression_takes_linear_time() -> None:
    assert run(Rule(expression=r"(?P<a>(x+x+)+y)"), line("x" * 10_000)) == [line("x" * 10_000)]


# --- What is wrong with a row --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "sentence"),
    [
        ({"expression": "user=(?P<user_id>"}, "expression", "at character 6: missing )"),
        (
            {"expression": r"ab(?=x)(?P<n>c)"},
            "expression",
            "at character 3: invalid perl operator '(?='. It has no look-around",
        ),
        ({"expression": r"\w+"}, "expression", "Expected at least one group with a name"),
        ({"expression": r"(?P<a>x)(?P<a>y)"}, "expression", "Two groups are called 'a'"),
        ({"drop": "level:("}, "drop", "position"),
        (
            {"drop_expression": "a**"},
            "drop_expression",
            "This is no regular expression at character 3: multiple repeat",
        ),
    ],
)
def test_a_row_says_what_is_wrong_and_where(settings: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(RuleError) as error:
        Rule(**settings)
    assert error.value.field == field
    assert sentence in str(error.value)
    with pytest.raises(ValidationError) as refused:
        Pipeline(name="x", **settings).clean()
    assert sentence in refused.value.message_dict[field][0]


def test_labels_are_an_object() -> None:
    with pytest.raises(ValidationError, match="Expected a JSON object"):
        Pipeline(name="x", labels=["a"]).clean()


# --- Rows at work --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "_rules", ())
    monkeypatch.setattr(pipelines, "_counts", {})


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


def test_without_rows_lines_are_not_touched() -> None:
    lines = Lines.of([line()])
    assert pipelines.apply(lines) is lines


@pytest.mark.django_db
def test_rows_act_in_their_order() -> None:
    Pipeline.objects.create(name="second", position=2, services="shop", keep=0)
    Pipeline.objects.create(name="first", position=1, expression=r"^(?P<service>shop) ")
    Pipeline.objects.create(name="off", position=0, keep=0, enabled=False)
    pipelines.refresh()
    assert [record.message for record in pipelines.apply(Lines.of([line("shop x"), line("bar x")]))] == ["bar x"]


@pytest.mark.django_db
def test_counts_are_written_to_the_rows() -> None:
    row = Pipeline.objects.create(name="a", minimum="info", labels={"team": "shop"}, keep=0)
    pipelines.refresh()
    pipelines.apply(Lines.of([line(level=Level.DEBUG), line(), line(level=Level.ERROR)]))
    pipelines.write_counts()
    row.refresh_from_db()
    assert (row.dropped, row.sampled, row.changed) == (1, 1, 1)
    pipelines.write_counts()
    row.refresh_from_db()
    assert row.dropped == 1


@pytest.mark.django_db
def test_a_row_that_did_not_change_is_not_made_again() -> None:
    row = Pipeline.objects.create(name="a", minimum="info")
    pipelines.refresh()
    before = pipelines._rules
    pipelines.refresh()
    assert pipelines._rules[0] is before[0]
    row.minimum = "warn"
    row.save()
    pipelines.refresh()
    assert len(pipelines.apply(Lines.of([line()]))) == 0


@pytest.mark.django_db
def test_a_row_that_is_no_rule_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    Pipeline.objects.create(name="broken", drop="level:(")
    Pipeline.objects.create(name="whole", minimum="info")
    pipelines.refresh()
    assert len(pipelines.apply(Lines.of([line(), line(level=Level.DEBUG)]))) == 1
    assert "The pipeline broken is not used" in caplog.text


def test_what_was_known_holds_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> Any:
        raise OperationalError("gone")

    monkeypatch.setattr(pipelines, "_rules", (Rule(minimum="info"),))
    monkeypatch.setattr(Pipeline.objects, "filter", away)
    pipelines.refresh()
    assert len(pipelines.apply(Lines.of([line(level=Level.DEBUG)]))) == 0


def test_a_rule_that_fails_costs_no_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    rule = Rule(name="odd", drop="x", minimum="info")
    monkeypatch.setattr(rule, "_drop", lambda record: 1 / 0)
    monkeypatch.setattr(pipelines, "_rules", (rule,))
    assert len(pipelines.apply(Lines.of([line(), line(), line(level=Level.DEBUG)]))) == 2
    assert caplog.text.count("which passes") == 1


def test_chunks_have_only_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "_rules", (Rule(minimum="warn"),))
    assert stream.chunks([line(), line(level=Level.DEBUG)]) == []
    (chunk,) = stream.chunks([line(), line("left", Level.WARN)])
    assert stream.incoming("pharos:logs", "1800000000000-0", chunk).lines == 1


@pytest.mark.django_db(transaction=True, databases=["default", "logs"])
def test_dropped_entries_are_acknowledged_and_never_stored(redis_client: redis.Redis) -> None:
    Pipeline.objects.create(name="a", minimum="info", drop="healthz", labels={"team": "shop"})
    pipelines.refresh()
    with redis_client.pipeline() as pipe:
        pipe.xadd("pharos:logs", {"line": json.dumps({"message": "alone"})})
        pipe.xadd("pharos:logs", {"line": json.dumps({"message": "GET /healthz"})})
        pipe.xadd("pharos:logs", {"line": "no line"})
        pipe.xadd("pharos:logs", {"message": "flat", "level": "warn"})
        pipe.xadd("pharos:logs", {"message": "flat and gone", "level": "debug"})
        pipe.xadd("pharos:logs", {"lines": '[{"message": "of two"}, {"message": "gone", "level": "debug"}]'})
        pipe.xadd("pharos:logs", {"line": json.dumps({"message": "gone", "level": "debug"})})
        pipe.xadd("pharos:logs", {"line": json.dumps({"message": "last"})})
        pipe.execute()
    with running():
        until(lambda: messages() == ["alone", "flat", "last", "of two"])
        until(lambda: redis_client.xpending("pharos:logs", stream.GROUP)["pending"] == 0)
    assert {record.metadata for record in records()} == {b'{"team":"shop"}'}
    row = Pipeline.objects.get()
    assert (row.dropped, row.changed) == (4, 4)


def test_a_line_is_shown_what_each_row_does_with_it() -> None:
    rules = [
        Rule(name="user", expression=r"user=(?P<user_id>\w+)"),
        Rule(name="web", services="web", keep=0),
        Rule(name="least", expression="^(?P<logger>user)", minimum="warn"),
        Rule(name="never asked", keep=0),
    ]
    record, taken = pipelines.steps(plain.read("user=u7", NOW, service="api"), rules)
    assert (json.loads(record.metadata), record.logger) == ({"user_id": "u7"}, "user")
    assert taken == [
        ("user", "Changed.", False),
        ("web", "Not for lines of the service 'api'.", False),
        ("least", "Dropped: its level is below the minimum.", True),
    ]


# --- The admin -----------------------------------------------------------------------------------------------------

TRY = "/admin/logs/pipeline/try/"
ROW = {"name": "edited", "position": "5", "services": "*", "keep": "100", "enabled": "on", "labels": "{}"}


@pytest.mark.django_db
def test_a_line_is_tried_on_a_row_as_it_is_edited(admin: Client) -> None:
    row = Pipeline.objects.create(name="saved", position=5, keep=0)
    Pipeline.objects.create(name="first", position=1, labels={"team": "<b>shop</b>"})
    answer = admin.post(
        TRY, {**ROW, "minimum": "warn", "try_row": row.pk, "try_line": "ERROR: <script>"}
    ).content.decode()
    assert answer.index("first") < answer.index("edited")
    assert "&lt;b&gt;shop&lt;/b&gt;" in answer
    assert "&lt;script&gt;" in answer
    assert "Nothing to do." in answer
    row.refresh_from_db()
    assert row.name == "saved"
    dropped = admin.post(TRY, {**ROW, "minimum": "warn", "try_row": row.pk, "try_line": "INFO: x"}).content.decode()
    assert "Dropped: its level is below the minimum." in dropped


@pytest.mark.django_db
def test_a_row_that_can_not_be_saved_can_not_be_tried(admin: Client) -> None:
    answer = admin.post(TRY, {**ROW, "expression": "(", "labels": "[1]", "try_line": "x"}).content.decode()
    assert "Expected a JSON object" in answer
    answer = admin.post(TRY, {**ROW, "expression": "(", "try_line": "x"}).content.decode()
    assert "This is no regular expression at character 1" in answer
    assert "Paste a line first" in admin.post(TRY, {**ROW, "try_line": " "}).content.decode()
    assert not Pipeline.objects.exists()


@pytest.mark.django_db
def test_only_who_may_edit_rows_tries_lines(client: Client) -> None:
    assert client.post(TRY, {**ROW, "try_line": "x"}).status_code == 302
    client.force_login(User.objects.create_user("viewer", is_staff=True))
    assert client.post(TRY, {**ROW, "try_line": "x"}).status_code == 403


@pytest.mark.django_db
def test_empty_labels_are_none(admin: Client) -> None:
    assert admin.post("/admin/logs/pipeline/add/", {**ROW, "labels": ""}).status_code == 302
    assert Pipeline.objects.get().labels == {}
