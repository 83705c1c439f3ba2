"""What the rules remove, and what they leave."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import Client
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logs import intake
from logs.lines import Lines
from logs.models import RedactionRule
from logs.records import Level, LogRecord
from logs.redaction import BUILT_IN, BY_CHOICE, DEFAULTS, DETECTOR, KEY, PATTERN, Hits, Redactor, Rule
from tests.logs.corpus import corpus

ALL = Redactor([*BUILT_IN, Rule(PATTERN, r"customer-\d+"), Rule(PATTERN, r"pin (\d{4})")])


def text(given: str, redactor: Redactor = ALL) -> str:
    return redactor.text(given, Counter())


def metadata(given: object) -> Any:
    return json.loads(ALL.json(json.dumps(given, separators=(",", ":")).encode(), Counter()))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("login password=hunter2 ok", "login password=[redacted] ok"),
        ("db_password=hunter2", "db_password=[redacted]"),
        ("userToken: abc123, next", "userToken: [redacted], next"),
        ("X-Api-Key: k1", "X-Api-Key: [redacted]"),
        ("Invalid API key: k1", "Invalid API key: [redacted]"),
        ("password=a&b;c,d", "password=[redacted]"),
        ("password=a&user=b", "password=[redacted]&user=b"),
        ("Authorization: Bearer x", "Authorization: Bearer [redacted]"),
        ("Authorization: Basic dXNlcg== 200", "Authorization: Basic [redacted] 200"),
        ('Authorization: Digest username="a", response="b"', "Authorization: Digest [redacted]"),
        ("GET /x?token=abc&page=1 HTTP/1.1", "GET /x?token=[redacted]&page=1 HTTP/1.1"),
        ("next=%2Fx%3Ftoken%3Dabc%26a", "next=%2Fx%3Ftoken%3D[redacted]%26a"),
        ('{"user":"bob","password":"hun\\"ter2","n":1}', '{"user":"bob","password":"[redacted]","n":1}'),
        (r"body={\"password\":\"x y\",\"a\":1}", r"body={\"password\":\"[redacted]\",\"a\":1}"),
        ("{'api_key': 'abc', 'b': 2}", "{'api_key': '[redacted]', 'b': 2}"),
        ('{"password": 123456, "a": 1}', '{"password": "[redacted]", "a": 1}'),
        ('{"secret": {"a":[1,2]}, "b": 1}', '{"secret": "[redacted]", "b": 1}'),
        ('{"password": "cut in the mid', '{"password": "[redacted]'),
        ("Cookie: a=b; c=d", "Cookie: [redacted]"),
        ("curl -H 'Cookie: a=b; c=d' http://x", "curl -H 'Cookie: [redacted]' http://x"),
        ("mysql --password hunter2 --user bob", "mysql --password [redacted] --user bob"),
        ("<password>hunter2</password>", "<password>[redacted]</password>"),
        ("password=[redacted]hunter2", "password=[redacted]"),
        ("card 4111 1111 1111 1111 12/26", "card [redacted:card] 12/26"),
        ("2026 5555-5555-5555-4444", "2026 [redacted:card]"),
        ("378282246310005", "[redacted:card]"),
        ("got bearer abc12345", "got bearer [redacted:token]"),
        ("jwt eyJhbGciOi.eyJzdWIiOiIx.abc-def ok", "jwt [redacted:jwt] ok"),
        ("postgres://bob:hunter2@db/x", "postgres://bob:[redacted]@db/x"),
        ("redis://:p@ss@host:6379", "redis://:[redacted]@host:6379"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\nb", "a\n[redacted:private-key]\nb"),
        ("private_key=-----BEGIN PRIVATE KEY-----\nx", "private_key=[redacted:private-key]"),
        ("mail to bob@example.com", "mail to [redacted:email]"),
        ("DE89 3704 0044 0532 0130 00 EUR", "[redacted:iban] EUR"),
        ("of customer-123", "of [redacted]"),
        ("pin 1234 ok", "pin [redacted] ok"),
    ],
)
def test_secrets_of_a_text_go_and_the_rest_stays(before: str, after: str) -> None:
    assert text(before) == after


@pytest.mark.parametrize(
    "given",
    [
        "token_count=5 tokens_used: 7 max_tokens=100",
        "password_reset_url=/x password_length: 12",
        "password=None token: null secret=true pwd= passwd=***",
        "bearer authentication failed",
        "session id=8c6189e0 worker=w15",
        "ts=1790000000003 at 1790000000000003",
        "order 4111111111111112, ratio 0.4111111111111111, id 4111-1111-1111-1111-4111",
        "a4111111111111111 is no card",
        "http://host:8080/a/@b",
        "Unexpected token } in JSON",
        "DE88 3704 0044 0532 0130 00",
        "the secret of good coffee, the cookie jar",
    ],
)
def test_what_only_looks_like_a_secret_stays(given: str) -> None:
    assert text(given) == given


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"password": "x", "n": 1}, {"password": "[redacted]", "n": 1}),
        ({"a": {"b": [{"userToken": "x"}]}}, {"a": {"b": [{"userToken": "[redacted]"}]}}),
        ({"DB-PASSWORD2": 1}, {"DB-PASSWORD2": "[redacted]"}),
        ({"secret": {"a": [1]}, "b": 2}, {"secret": "[redacted]", "b": 2}),
        ({"secret": {}, "token": None, "pwd": True}, {"secret": {}, "token": None, "pwd": True}),
        ({"h": [["Cookie", "a=b"], ["x", "y"]]}, {"h": [["Cookie", "[redacted]"], ["x", "y"]]}),
        ({"h": [{"name": "Cookie", "value": "x"}]}, {"h": [{"name": "Cookie", "value": "[redacted]"}]}),
        ({"4111111111111111": 4111111111111111}, {"[redacted:card]": "[redacted:card]"}),
        ({"body": '{"password":"x"}'}, {"body": '{"password":"[redacted]"}'}),
        ({"missing": ["password", "email"]}, {"missing": ["password", "email"]}),
        ({"tokens": 5, "token_count": 7}, {"tokens": 5, "token_count": 7}),
    ],
)
def test_metadata_loses_its_secrets_at_any_depth(before: object, after: object) -> None:
    assert metadata(before) == after


def test_what_is_no_secret_stays_as_it_is_written() -> None:
    given = rb'{"a":1.10,"b":1e400,"c":12345678901234567890123,"p\u0061ssword":"x","d":"\u00e4\/"}'
    assert ALL.json(given, Counter()) == given.replace(b'"x"', b'"[redacted]"')


def record(**fields: Any) -> LogRecord:
    return LogRecord(1, Level.INFO, fields.pop("service", "shop"), fields.pop("message", ""), **fields)


def test_each_field_of_many_lines_is_looked_at() -> None:
    secret = "4111111111111111"
    names = ("title", "message", "service", "logger", "request_id")
    lines = [record(message="nothing"), *(record(**{name: secret}) for name in names), record(message="é token=x")]
    found = ALL.redact(Lines.of(lines))
    assert found.places == frozenset(range(1, 7))
    assert found.hits == {Rule(DETECTOR, "card"): 5, Rule(KEY, "token"): 1}
    assert [getattr(found.lines[n], name) for n, name in enumerate(names, 1)] == ["[redacted:card]"] * 5
    assert found.lines[6].message == "é token=[redacted]"


def test_lines_without_secrets_are_the_same_lines() -> None:
    lines = Lines.of(corpus(500))
    assert ALL.redact(lines).lines is lines


def test_a_secret_at_the_end_of_one_line_hides_none_in_the_next() -> None:
    found = Redactor().redact(Lines.of([record(message="password"), record(message="=token=x"), record(message="x")]))
    assert [line.message for line in found.lines] == ["password", "=token=[redacted]", "x"]


def test_an_own_pattern_goes_for_every_column() -> None:
    lines = Lines.of([record(message="x"), record(metadata=b'{"a":["customer-7",1]}'), record(title="customer-8")])
    found = ALL.redact(lines)
    assert [line.metadata for line in found.lines] == [b"{}", b'{"a":["[redacted]",1]}', b"{}"]
    assert found.lines[2].title == "[redacted]"


@pytest.mark.parametrize(
    "given",
    ["eyJ" * 100_000, 'password:["' * 30_000, "\\" * 300_000 + "password=" + "\\" * 300_000, "://a:" * 80_000,
     "token=[{" * 40_000, "password:" * 40_000, '"' + '\\"' * 100_000 + 'password:["' + '\\"' * 100_000,
     "-----BEGIN PRIVATE KEY-----" * 10_000, "4111 " * 60_000, "--token " * 40_000],
)  # fmt: skip
def test_a_long_line_of_ill_will_takes_time_as_it_is_long(given: str) -> None:
    began = time.process_time()
    text(given)
    assert time.process_time() - began < 20  # quadratic ways take minutes


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["password", "token", "=", ":", '"', "'", "\\", "{", "}", "[", "]", ",", "&", " ", "Cookie: ",
         "Bearer abc12345",
         "4111111111111111", "://u:p@h", "[redacted]", "[redacted:card]", "eyJhbGci.eyJzdWIi.x", "customer-1",
         "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "bob@example.com", "pin 1234", "--secret "]
    ),
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_twice_is_once(given: str) -> None:
    hits: Hits = Counter()
    once = ALL.text(given, hits)
    again: Hits = Counter()
    assert ALL.text(once, again) == once
    assert not again
    if not hits:
        assert once == given


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(TEXTS, JSON, max_size=5), TEXTS)
@example(given={"": [["--SECRET A", 0]]}, message="")
def test_metadata_stays_json_and_twice_is_once(given: dict[str, object], message: str) -> None:
    data = json.dumps(given, separators=(",", ":")).encode()
    once = ALL.redact(Lines.of([record(message=message, metadata=data)])).lines
    assert isinstance(json.loads(once[0].metadata), dict)
    assert list(ALL.redact(once).lines) == list(once)


# --- The rows -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_rows_begin_as_the_built_in_rules() -> None:
    rows = RedactionRule.objects.all()
    assert {row.rule for row in rows} == set(BUILT_IN)
    assert {row.rule for row in rows if not row.enabled} == BY_CHOICE


@pytest.mark.django_db
def test_a_row_that_is_switched_off_holds_no_more_and_an_own_one_does() -> None:
    RedactionRule.objects.filter(value="token").update(enabled=False)
    RedactionRule.objects.create(kind="pattern", value="s3[a-z]+")
    intake.rules.refresh()
    assert intake.without_secrets("token=abc of s3cret") == "token=abc of [redacted]"


@pytest.mark.django_db
def test_what_was_removed_is_counted() -> None:
    intake.prepare(Lines.of([record(message="password=a password=b"), record(message="token=x")]))
    intake.rules.write()
    intake.rules.write()
    found = {row.value: row.hits for row in RedactionRule.objects.filter(hits__gt=0, last_hit__isnull=False)}
    assert found == {"password": 2, "token": 1}


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (PATTERN, "a(", "missing )"),
        (PATTERN, "a*", "matches the empty text"),
        (PATTERN, "(a)(b)", "one group at most"),
        (KEY, "-_", "expected a name"),
        (DETECTOR, "everything", "expected one of"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(kind: str, value: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason.replace(")", r"\)")):
        RedactionRule(kind=kind, value=value).clean()
    assert Redactor([Rule(kind, value), *DEFAULTS]).text("token=x", Counter()) == "token=[redacted]"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


PAGE = "/admin/logs/redactionrule/"


@pytest.mark.django_db
def test_rules_are_tried_as_they_are_edited(admin: Client) -> None:
    def tried(**fields: str) -> str:
        return admin.post(f"{PAGE}try/", {"sample": "customer 7, token=abc", **fields}).content.decode()

    assert "customer 7, token=[redacted]" in tried()
    new = {"edited": "new", "kind": "pattern", "value": r"customer (\d)", "enabled": "on"}
    assert "customer [redacted], token=[redacted]" in tried(**new)
    assert "missing )" in tried(**{**new, "value": "a("})
    token = str(RedactionRule.objects.get(value="token").pk)
    assert "token=abc" in tried(edited=token, kind="key", value="token")
    assert not RedactionRule.objects.filter(kind="pattern").exists()
    assert "Try the rules" in admin.get(PAGE).content.decode()
    assert "Try the rules" in admin.get(f"{PAGE}{token}/change/").content.decode()


@pytest.mark.django_db
def test_strangers_try_nothing(client: Client) -> None:
    assert client.post(f"{PAGE}try/", {"sample": "x"}).status_code == 302
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert client.post(f"{PAGE}try/", {"sample": "x"}).status_code == 403


@pytest.mark.django_db
def test_the_built_in_rules_are_restored(admin: Client) -> None:
    RedactionRule.objects.filter(value="token").delete()
    RedactionRule.objects.filter(value="email").update(enabled=True)
    RedactionRule.objects.create(kind="key", value="ssn")
    admin.post(f"{PAGE}restore/", {"_form_submitted": "on"})
    rows = {row.rule: row.enabled for row in RedactionRule.objects.all()}
    assert rows == {Rule(KEY, "ssn"): True, **{rule: rule not in BY_CHOICE for rule in BUILT_IN}}


@pytest.mark.django_db
def test_while_the_database_is_away_the_last_rules_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("away")

    intake.prepare(Lines.of([record(message="password=a")]))
    RedactionRule.objects.create(kind="key", value="ssn")
    intake.rules.refresh()
    monkeypatch.setattr(RedactionRule.objects, "filter", away)
    intake.rules.refresh()
    intake.rules.write()
    assert intake.without_secrets("ssn=1 token=x") == "ssn=[redacted] token=[redacted]"
