"""Reading over HTTP: search, histogram, one record, its surroundings."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import Scope
from core import clock
from logs.records import Level, LogRecord
from logs.store import log_stores
from tests.logs.corpus import corpus, entries, stored

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])


@pytest.fixture
def alice(client: Client) -> Client:
    """May read logs, and nothing else."""
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="read_records"))
    client.force_login(user)
    return client


@pytest.fixture
def records() -> list[LogRecord]:
    """Stored records, newest first, of the last minutes."""
    batch = entries(corpus(300, start=clock.now() - 5 * clock.MINUTE))
    log_stores["default"].append(batch)
    return stored(batch)


def get(client: Client, path: str = "", **params: Any) -> Any:
    answer = client.get(f"/api/logs{path}?{urlencode(params, doseq=True)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


# --- Who may ask ---------------------------------------------------------------------------------------------------

ADDRESSES = ["", "/histogram", "/values?field=service", "/1790000000000000-1", "/1790000000000000-1/context", "/stream"]


@pytest.mark.parametrize("path", ADDRESSES)
def test_without_login_or_key_nothing_is_said(client: Client, path: str) -> None:
    answer = client.get("/api/logs" + path)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ADDRESSES)
def test_an_account_without_the_permission_is_refused(client: Client, path: str) -> None:
    client.force_login(User.objects.create_user("bob"))
    assert client.get("/api/logs" + path).status_code == 403


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_key_without_the_scope_is_refused(client: Client, path: str) -> None:
    _, plain = keys.create("sender", [Scope.INGEST])
    assert client.get("/api/logs" + path, headers={"authorization": f"Bearer {plain}"}).status_code == 403
    assert client.get("/api/logs" + path, headers={"authorization": "Bearer nonsense"}).status_code == 401


@pytest.mark.parametrize("path", ADDRESSES)
def test_only_get_is_answered(alice: Client, path: str) -> None:
    for method in (alice.post, alice.put, alice.delete):
        answer = method("/api/logs" + path)
        assert answer.status_code == 405
        assert answer.json() == {"error": "expected GET"}


def test_a_key_that_reads_is_enough(client: Client, records: list[LogRecord]) -> None:
    _, plain = keys.create("reader", [Scope.READ])
    answer = client.get("/api/logs", headers={"x-api-key": plain})
    assert len(answer.json()["records"]) == 100


# --- Search --------------------------------------------------------------------------------------------------------


def test_the_newest_come_first_and_pages_follow_each_other(alice: Client, records: list[LogRecord]) -> None:
    found, after = [], ""
    while True:
        page = get(alice, limit=70, after=after)
        found += page["records"]
        assert page["complete"]
        if page["next"] is None:
            break
        after = page["next"]
    assert [record["id"] for record in found] == [record.id for record in records]


def test_a_record_is_shown_whole(alice: Client) -> None:
    now = clock.now()
    metadata = b'{"userId":"u-1","n":12345678901234567890123}'
    record = LogRecord(now, Level.WARN, "api", "hi", "Title", "app", "r-1", "t-1", "s-1", metadata)
    batch = entries([record])
    log_stores["default"].append(batch)
    answer = alice.get("/api/logs")
    assert b'"n":12345678901234567890123' in answer.content
    shown = answer.json()["records"][0]
    assert shown.pop("id") == stored(batch)[0].id
    assert shown.pop("received").endswith("Z")
    assert shown == {
        "timestamp": clock.iso(now), "level": "warn", "service": "api", "logger": "app", "title": "Title",
        "message": "hi", "request_id": "r-1", "trace_id": "t-1", "span_id": "s-1",
        "metadata": {"userId": "u-1", "n": 12345678901234567890123},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"q": "level:error"}, lambda r: r.level is Level.ERROR),
        ({"level": "error,fatal"}, lambda r: r.level >= Level.ERROR),
        ({"level": ["error", "critical"]}, lambda r: r.level >= Level.ERROR),
        ({"service": "api,Über-Dienst"}, lambda r: r.service in {"api", "Über-Dienst"}),
        ({"source": "worker", "level": "warn"}, lambda r: r.service == "worker" and r.level is Level.WARN),
        ({"q": "timeout -service:api"}, lambda r: "timeout" in r.message and r.service != "api"),
    ],
)
def test_parameters_narrow_the_search(
    alice: Client, records: list[LogRecord], params: dict[str, Any], wanted: Any
) -> None:
    found = get(alice, limit=1_000, **params)["records"]
    assert [record["id"] for record in found] == [record.id for record in records if wanted(record)]
    assert found


def test_times_are_absolute_or_relative(alice: Client, records: list[LogRecord]) -> None:
    middle = records[150].timestamp
    since = get(alice, limit=1_000, **{"from": clock.iso(middle)})["records"]
    until = get(alice, limit=1_000, to=str(middle))["records"]
    assert len(since) + len(until) == 300
    assert get(alice, limit=1_000, **{"from": "-1h"})["records"]
    assert get(alice, limit=1_000, **{"from": "-1s", "to": "now"})["records"] == []


@pytest.mark.parametrize(
    ("params", "parameter", "error"),
    [
        ({"from": "yesterday"}, "from", "expected ISO 8601, an epoch number or a time like -15m, got 'yesterday'"),
        ({"to": "-15x"}, "to", "got '-15x'"),
        ({"from": "-5m", "to": "-10m"}, "from", "must be before to"),
        ({"level": "loud"}, "level", "expected one of trace, debug, info, warn, error, fatal, got 'loud'"),
        ({"limit": "0"}, "limit", "from 1 to 1,000, got '0'"),
        ({"limit": "1e3"}, "limit", "got '1e3'"),
        ({"after": "1; DROP TABLE logs"}, "after", "expected an id"),
        ({"q": "level:loud"}, "q", "loud"),
        ({"q": "x" * 3_000}, "q", "2,000"),
        ({"service": ",".join(map(str, range(200)))}, "service", "at most 100"),
    ],
)
def test_a_bad_parameter_is_a_400_that_says_where_and_why(
    alice: Client, params: dict[str, str], parameter: str, error: str
) -> None:
    answer = alice.get("/api/logs", params)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == parameter
    assert error in answer.json()["error"]


@pytest.mark.parametrize("text", ["' UNION SELECT 1 --", '"; DROP TABLE x; --', "(a+)+$", "%' AND '%'='", "a" * 1_999])
def test_hostile_text_is_text(alice: Client, records: list[LogRecord], text: str) -> None:
    assert get(alice, q=text)["records"] == []


# --- Histogram -----------------------------------------------------------------------------------------------------


def test_the_histogram_counts_by_level(alice: Client, records: list[LogRecord]) -> None:
    answer = get(alice, "/histogram", **{"from": "-1h", "step": 60})
    assert answer["step"] == 60
    assert answer["complete"]
    assert 60 <= len(answer["buckets"]) <= 61
    counts: dict[str, int] = {}
    for bucket in answer["buckets"]:
        for level, lines in bucket["counts"].items():
            counts[level] = counts.get(level, 0) + lines
    assert counts["error"] == sum(record.level is Level.ERROR for record in records)
    assert sum(counts.values()) == 300


def test_without_a_step_there_are_about_sixty_buckets(alice: Client) -> None:
    for since, step in (("-1m", 1), ("-15m", 15), ("-1h", 60), ("-24h", 1_800), ("-30d", 43_200)):
        answer = get(alice, "/histogram", **{"from": since})
        assert answer["step"] == step
        assert len(answer["buckets"]) <= 62


# --- Values --------------------------------------------------------------------------------------------------------


def test_the_values_of_a_field_are_counted(alice: Client, records: list[LogRecord]) -> None:
    answer = get(alice, "/values", field="service", limit=2, **{"from": "-1h"})
    expected = Counter(record.service for record in records)
    assert (answer["field"], answer["complete"]) == ("service", True)
    assert {row["value"]: row["count"] for row in answer["values"]}.items() <= expected.items()
    assert [row["count"] for row in answer["values"]] == sorted(expected.values(), reverse=True)[:2]


@pytest.mark.parametrize(("params", "said"), [({}, "name of a field"), ({"field": "timestamp"}, "timestamp")])
def test_a_field_without_values_is_a_400(alice: Client, params: dict[str, str], said: str) -> None:
    answer = alice.get("/api/logs/values", params)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == "field"
    assert said in answer.json()["error"]


def test_too_fine_a_step_is_refused(alice: Client) -> None:
    answer = alice.get("/api/logs/histogram", {"from": "-30d", "step": "1"})
    assert answer.status_code == 400
    assert "make the step wider" in answer.json()["error"]


# --- One record ----------------------------------------------------------------------------------------------------


def test_a_record_has_an_address(alice: Client, records: list[LogRecord]) -> None:
    assert get(alice, f"/{records[7].id}")["message"] == records[7].message


def test_its_surroundings_have_one_too(alice: Client, records: list[LogRecord]) -> None:
    around = get(alice, f"/{records[100].id}/context", before=3, after=2)["records"]
    assert [record["id"] for record in around] == [record.id for record in records[98:104]]
    assert len(get(alice, f"/{records[100].id}/context")["records"]) == 101


@pytest.mark.parametrize("path", ["/1790000000000000-5", "/1790000000000000-5/context"])
def test_a_record_that_is_not_there_is_a_404(alice: Client, path: str) -> None:
    assert alice.get("/api/logs" + path).status_code == 404


@pytest.mark.parametrize("path", ["/nonsense", "/1-2-3", "/-1", "/9999999999999999999999-1"])
def test_what_is_no_id_is_a_400(alice: Client, path: str) -> None:
    assert alice.get("/api/logs" + path).status_code == 400


def test_a_session_that_ended_is_refused(alice: Client) -> None:
    alice.logout()
    assert alice.get("/api/logs").status_code == 401


def test_times_in_the_future_are_no_error(alice: Client) -> None:
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    assert get(alice, **{"from": tomorrow})["records"] == []
