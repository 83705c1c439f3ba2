"""How long lines are kept: what rules mean, what is deleted, what the disk budget drops, and what is said about it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django import Settings

from core import clock
from logs import retention, tasks
from logs.models import RetentionRule, StoreEvent
from logs.query import Everything
from logs.records import Level, LogRecord
from logs.retention import DEBUG_LEVELS, OTHER_LEVELS, Deletion, Policy
from logs.store import BaseLogStore, Dropped, log_stores
from logs.store.blocks import BlockStore
from tests.logs.corpus import START, corpus, entries

NOW = START + 100 * clock.DAY
USUAL = Policy(30, 7)
PLENTY = 60.0
ALL, DEBUG = RetentionRule.Lines.ALL, RetentionRule.Lines.DEBUG


def rule(service: str, lines: str, days: int) -> RetentionRule:
    return RetentionRule(service=service, lines=lines, days=days)


def deletion(days: int, levels: frozenset[Level] | None = None, only: str = "", but: str = "") -> Deletion:
    return Deletion(
        time=NOW - days * clock.DAY,
        levels=levels,
        services=frozenset(only.split()) if only else None,
        except_services=frozenset(but.split()),
        days=days,
    )


# --- What rules and defaults mean ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        (Policy(30, 7), [deletion(30), deletion(7, DEBUG_LEVELS)]),
        (Policy(30, 30), [deletion(30)]),
        (Policy(7, 30), [deletion(30), deletion(7, OTHER_LEVELS)]),
        (Policy(0, 7), [deletion(7, DEBUG_LEVELS)]),
        (Policy(30, 0), [deletion(30, OTHER_LEVELS)]),
        (Policy(0, 0), []),
    ],
)
def test_without_rules_the_defaults_hold_for_every_service(default: Policy, expected: list[Deletion]) -> None:
    assert retention.plan([], default, NOW) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(
            [("a", ALL, 90)],
            [deletion(30, but="a"), deletion(7, DEBUG_LEVELS, but="a"), deletion(90, only="a")],
            id="every level means debug, too",
        ),
        pytest.param(
            [("a", DEBUG, 2)],
            [deletion(30, but="a"), deletion(7, DEBUG_LEVELS, but="a"), deletion(30, only="a"),
             deletion(2, DEBUG_LEVELS, only="a")],
            id="what no rule speaks of follows the defaults",
        ),
        pytest.param(
            [("a", ALL, 90), ("a", DEBUG, 2)],
            [deletion(30, but="a"), deletion(7, DEBUG_LEVELS, but="a"), deletion(90, only="a"),
             deletion(2, DEBUG_LEVELS, only="a")],
            id="debug goes before every level",
        ),
        pytest.param(
            [("a", DEBUG, 90)],
            [deletion(30, but="a"), deletion(7, DEBUG_LEVELS, but="a"), deletion(90, only="a"),
             deletion(30, OTHER_LEVELS, only="a")],
            id="a rule may keep debug longer than the others",
        ),
        pytest.param(
            [("a", ALL, 0)],
            [deletion(30, but="a"), deletion(7, DEBUG_LEVELS, but="a")],
            id="nought is for ever",
        ),
        pytest.param(
            [("a", ALL, 1), ("b", ALL, 1), ("c", ALL, 2)],
            [deletion(30, but="a b c"), deletion(7, DEBUG_LEVELS, but="a b c"), deletion(1, only="a b"),
             deletion(2, only="c")],
            id="services that are kept alike go together",
        ),
        pytest.param(
            [("a", DEBUG, 7)],
            [deletion(30), deletion(7, DEBUG_LEVELS)],
            id="a rule that says what holds anyway changes nothing",
        ),
    ],
)  # fmt: skip
def test_a_rule_goes_before_the_defaults(rules: Sequence[tuple[str, str, int]], expected: list[Deletion]) -> None:
    assert retention.plan([rule(*each) for each in rules], USUAL, NOW) == expected


@pytest.mark.parametrize(
    ("days", "debug_days", "expected"),
    [(30, 7, (30, 7)), (3, 7, (3, 3)), (0, 7, (0, 7)), (30, 0, (30, 0)), (0, 0, (0, 0))],
)
def test_debug_lines_do_not_outlive_the_others_by_default(
    settings: Settings, days: int, debug_days: int, expected: tuple[int, int]
) -> None:
    settings.LOG_RETENTION_DAYS, settings.LOG_RETENTION_DEBUG_DAYS = days, debug_days
    assert retention.defaults() == expected


# --- Deleting, in a real store -------------------------------------------------------------------------------------

in_a_store = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(params=["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> BaseLogStore:
    return BlockStore(database=request.param)


def fill(store: BaseLogStore, ages: Sequence[float], services: Sequence[str] = ("api", "worker")) -> None:
    """A debug and an error line of each service for each age in days. All of an age share a block."""
    for number, age in enumerate(ages):
        time = int(NOW - age * clock.DAY)
        records = [
            LogRecord(time, level, service, f"{service} {level.label} {age:g}")
            for service in services
            for level in (Level.DEBUG, Level.ERROR)
        ]
        store.append(entries(records, first=number))


def messages(store: BaseLogStore) -> set[str]:
    return {record.message for record in store.search(Everything(), limit=1_000).records}


@in_a_store
def test_debug_lines_go_after_a_week_and_the_others_after_a_month(store: BaseLogStore) -> None:
    fill(store, [1, 6.9, 7.1, 29.9, 30.1], services=["api"])
    done = retention.apply(retention.plan([], USUAL, NOW), store, PLENTY)
    assert messages(store) == {"api debug 1", "api error 1", "api debug 6.9", "api error 6.9", "api error 7.1",
                               "api error 29.9"}  # fmt: skip
    assert [(each.days, lines) for each, lines in done] == [(30, 2), (7, 2)]
    assert retention.apply(retention.plan([], USUAL, NOW), store, PLENTY) == []


@in_a_store
def test_a_service_with_a_rule_keeps_its_lines_in_the_blocks_of_others(store: BaseLogStore) -> None:
    fill(store, [8, 31, 91])
    rules = [rule("worker", ALL, 90)]
    retention.apply(retention.plan(rules, USUAL, NOW), store, PLENTY)
    assert messages(store) == {"api error 8", "worker debug 8", "worker error 8", "worker debug 31", "worker error 31"}


@in_a_store
def test_a_service_may_be_kept_shorter_than_the_others(store: BaseLogStore) -> None:
    fill(store, [0.5, 2])
    retention.apply(retention.plan([rule("api", ALL, 1)], USUAL, NOW), store, PLENTY)
    assert messages(store) == {"api debug 0.5", "api error 0.5", "worker debug 0.5", "worker error 0.5",
                               "worker debug 2", "worker error 2"}  # fmt: skip


@in_a_store
def test_names_are_exact(store: BaseLogStore) -> None:
    fill(store, [2], services=["api", "API", "api-2"])
    retention.apply(retention.plan([rule("api", ALL, 1)], USUAL, NOW), store, PLENTY)
    assert not [message for message in messages(store) if message.startswith("api ")]
    assert len(messages(store)) == 4


class Recorder:
    """A store that notes what it is told, and takes its time."""

    def __init__(self) -> None:
        self.budgets: list[float] = []

    def delete_before(self, time: int, *, budget: float, **_: Any) -> int:
        self.budgets.append(budget)
        return 0


def test_each_deletion_has_its_share_of_the_time() -> None:
    recorder: Any = Recorder()
    retention.apply([deletion(1), deletion(2), deletion(3)], recorder, 30.0)
    # The recorder needs no time, so those behind get what the first left.
    assert recorder.budgets == pytest.approx([10, 15, 30], abs=0.1)


def test_out_of_time_no_deletion_gets_a_negative_share() -> None:
    recorder: Any = Recorder()
    retention.apply([deletion(1), deletion(2)], recorder, -1.0)
    assert recorder.budgets == [0, 0]


# --- What is said --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planned", "sentence"),
    [
        (deletion(30), "lines older than 30 days"),
        (deletion(1, DEBUG_LEVELS), "debug and trace lines older than 1 day"),
        (deletion(7, OTHER_LEVELS, only="a"), "lines of info and above of a older than 7 days"),
        (deletion(7, only="b a"), "lines of a and b older than 7 days"),
        (deletion(7, but="a b c"), "lines of every service but a, b and c older than 7 days"),
        (deletion(7, only="a b c d e"), "lines of a, b, c and 2 more older than 7 days"),
        (deletion(7, only="a\x1b[31m\u202eb"), "lines of a\\u202eb older than 7 days"),
    ],
)
def test_a_deletion_says_what_it_deletes(planned: Deletion, sentence: str) -> None:
    assert str(planned) == sentence


@pytest.mark.parametrize(
    ("service", "policy", "sentence"),
    [
        ("", USUAL, "Lines of services without a rule are kept for 30 days, debug and trace for 7 days."),
        ("api", Policy(1, 1), "Lines of api are kept for 1 day, whatever their level."),
        ("api", Policy(3650, 0), "Lines of api are kept for 3,650 days, debug and trace for ever."),
        ("api", Policy(0, 0), "Lines of api are kept for ever, whatever their level."),
    ],
)
def test_a_policy_is_a_sentence(service: str, policy: Policy, sentence: str) -> None:
    assert retention.meaning(service, policy) == sentence


@in_a_store
def test_the_log_says_how_many_lines_went_by_which_rule(store: BaseLogStore, caplog: pytest.LogCaptureFixture) -> None:
    fill(store, [2, 31])
    RetentionRule.objects.create(service="api", lines=ALL, days=1)
    with caplog.at_level(logging.INFO, "logs.retention"):
        assert retention.retain(store, PLENTY, NOW) == 6
    assert caplog.messages == [
        "Retention deleted 2 lines of every service but api older than 30 days",
        "Retention deleted 4 lines of api older than 1 day",
    ]


@in_a_store
def test_the_log_says_nothing_when_nothing_went(store: BaseLogStore, caplog: pytest.LogCaptureFixture) -> None:
    fill(store, [1])
    with caplog.at_level(logging.DEBUG, "logs.retention"):
        assert retention.retain(store, PLENTY, NOW) == 0
    assert caplog.messages == []


@in_a_store
def test_beat_has_the_lines_of_the_default_store_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    fill(log_stores["default"], [1, 40])
    monkeypatch.setattr(clock, "now", lambda: NOW)
    assert tasks.retain() == 4
    assert len(messages(log_stores["default"])) == 4


def test_beat_knows_the_task_and_a_late_tick_is_forgotten(settings: Settings) -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["retain-logs"]
    assert entry["task"] == tasks.retain.name
    assert tasks.RETENTION_BUDGET < entry["options"]["expires"] <= entry["schedule"]


# --- The disk budget -----------------------------------------------------------------------------------------------


def fill_days(store: BaseLogStore, days: int) -> int:
    """Blocks of a hundred lines, one for each day, the first at START; says how many bytes they take."""
    for day in range(days):
        store.append(entries(corpus(100, seed=day, start=START + day * clock.DAY), first=day))
    return store.stats()["bytes"]


@in_a_store
def test_the_oldest_lines_go_when_the_disk_budget_is_used_up(
    store: BaseLogStore, caplog: pytest.LogCaptureFixture
) -> None:
    size = fill_days(store, 10)
    limit = size // 2
    with caplog.at_level(logging.WARNING, "logs.retention"):
        dropped = retention.enforce_disk_budget(store, limit, NOW)
    assert dropped is not None
    stats = store.stats()
    assert stats["bytes"] == size - dropped.bytes <= limit * 95 // 100
    # No more than needed: one block more would have been too many.
    assert stats["bytes"] > limit * 95 // 100 - size // 5
    assert stats["lines"] == 1_000 - dropped.lines
    assert stats["oldest"] == START + dropped.lines // 100 * clock.DAY
    assert caplog.messages == [
        f"The disk budget of {limit:,} bytes is used up: dropped the oldest {dropped.lines} lines "
        f"({dropped.bytes:,} bytes), the oldest is now of {clock.iso(stats['oldest'])}"
    ]


@in_a_store
@pytest.mark.parametrize("limit_above", [None, 0, 1])
def test_nothing_goes_without_a_budget_or_within_it(store: BaseLogStore, limit_above: int | None) -> None:
    size = fill_days(store, 3)
    limit = 0 if limit_above is None else size + limit_above
    assert retention.enforce_disk_budget(store, limit, NOW) is None
    assert store.stats()["bytes"] == size
    assert not StoreEvent.objects.exists()


@in_a_store
def test_when_nothing_is_left_the_log_says_so(store: BaseLogStore, caplog: pytest.LogCaptureFixture) -> None:
    fill_days(store, 1)
    retention.enforce_disk_budget(store, 1, NOW)
    assert store.stats()["lines"] == 0
    assert caplog.messages[0].endswith("none is left")


@in_a_store
def test_a_drop_is_remembered(store: BaseLogStore) -> None:
    size = fill_days(store, 4)
    dropped = retention.enforce_disk_budget(store, size - 1, NOW)
    event = StoreEvent.objects.get()
    assert (event.kind, event.at) == ("dropped", clock.moment(NOW))
    assert dropped is not None
    assert event.detail == {
        "lines": dropped.lines, "bytes": dropped.bytes, "limit": size - 1, "oldest": store.stats()["oldest"]
    }  # fmt: skip


class Overfull:
    """A store that is never small enough."""

    def stats(self) -> dict[str, int]:
        return {"lines": 1, "bytes": 1_000, "restored_bytes": 0, "oldest": START}

    def drop_oldest(self, size: int, keep: Sequence[Any]) -> Dropped:
        return Dropped(1, size, START)


@pytest.mark.django_db
def test_only_the_newest_events_are_kept() -> None:
    overfull: Any = Overfull()
    for n in range(retention.EVENTS_KEPT + 5):
        retention.enforce_disk_budget(overfull, 100, NOW + n)
    events = StoreEvent.objects.all()
    assert len(events) == retention.EVENTS_KEPT
    assert events[0].at == clock.moment(NOW + retention.EVENTS_KEPT + 4)


@in_a_store
def test_age_and_disk_are_looked_at_in_one_go(store: BaseLogStore, settings: Settings) -> None:
    fill(store, [1, 2, 40])
    settings.LOG_DISK_MAX = store.stats()["bytes"] // 2
    assert retention.retain(store, PLENTY, NOW) == 8
    assert all(message.endswith(" 1") for message in messages(store))


def test_a_disk_budget_that_was_meant_in_gigabytes_is_refused() -> None:
    code = "import monitor.settings"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PHAROS_LOG_DISK_MAX_BYTES": "50"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "PHAROS_LOG_DISK_MAX_BYTES must be 0 (no limit) or at least 1,048,576 bytes, but it is 50." in ran.stderr


# --- Rules in the admin --------------------------------------------------------------------------------------------

RULES = "/admin/logs/retentionrule/"


@pytest.fixture
def admin(client: Client, settings: Settings) -> Client:
    settings.LOG_RETENTION_DAYS, settings.LOG_RETENTION_DEBUG_DAYS = USUAL
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


@pytest.mark.django_db
def test_a_rule_is_added_and_its_form_says_what_holds(admin: Client) -> None:
    form = admin.get(f"{RULES}add/").content.decode()
    assert "Lines of services without a rule are kept for 30 days, debug and trace for 7 days." in form
    admin.post(f"{RULES}add/", {"service": " billing ", "lines": "all", "days": "3650", "comment": "by law"})
    made = RetentionRule.objects.get()
    assert (made.service, made.lines, made.days) == ("billing", "all", 3650)
    RetentionRule.objects.create(service="billing", lines=DEBUG, days=2)
    form = admin.get(f"{RULES}{made.pk}/change/").content.decode()
    assert "Lines of billing are kept for 3,650 days, debug and trace for 2 days." in form


@pytest.mark.django_db
def test_rules_are_listed_in_words(admin: Client) -> None:
    RetentionRule.objects.create(service="<b>api", lines=DEBUG, days=0)
    page = admin.get(RULES).content.decode()
    assert "&lt;b&gt;api" in page
    assert "debug and trace only" in page
    assert "for ever" in page


@pytest.mark.django_db
@pytest.mark.parametrize("days", ["-1", "36501", "x", ""])
def test_days_that_are_no_number_of_days_are_refused(admin: Client, days: str) -> None:
    answer = admin.post(f"{RULES}add/", {"service": "api", "lines": "all", "days": days})
    assert answer.status_code == 200
    assert not RetentionRule.objects.exists()


@pytest.mark.django_db
def test_a_service_has_one_rule_for_the_same_lines() -> None:
    RetentionRule.objects.create(service="api", lines=ALL, days=1)
    rule("api", DEBUG, 2).full_clean()
    with pytest.raises(ValidationError, match="already exists"):
        rule("api", ALL, 2).full_clean()


@pytest.mark.django_db
def test_who_only_reads_logs_changes_no_rule(client: Client) -> None:
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert client.get(RULES).status_code == 403
    assert client.post(f"{RULES}add/", {"service": "a", "lines": "all", "days": "0"}).status_code == 403
    assert not RetentionRule.objects.exists()
