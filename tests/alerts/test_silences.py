"""Silences: made, ended, what they hit, and the warning before they end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from alerts import expiry, matchers, silences
from alerts.models import Delivery, InhibitRule, Silence
from tests.alerts.routed import NOON, ends, fires, no_routes, root, route, second

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _empty(db: None) -> None:
    no_routes()
    InhibitRule.objects.all().delete()


def made(*several: str, hours: float = 4, **fields: Any) -> Silence:
    given = {"comment": "deploy", "created_by": "alice", "now": NOON, **fields}
    return silences.create(several or ["name=a"], None, NOON + hours * HOUR, **given)


def test_who_made_it_and_when() -> None:
    alice = User.objects.create_user("alice")
    silence = silences.create(['name="a"'], None, NOON + HOUR, by=alice, comment="deploy", now=NOON)

    assert (silence.author, silence.created_by) == (alice, "alice")
    assert silence.starts_at == NOON
    assert LogEntry.objects.get().get_change_message() == "Made."
    assert str(silence) == 'name="a" until 2026-11-21 13:00 UTC'


@pytest.mark.parametrize(
    ("several", "hours", "fields", "sentence"),
    [
        (["name=a"], -1, {}, "It would end before it begins."),
        (["name=a"], 0, {}, "It would end before it begins."),
        (["name"], 1, {}, "Expected a label"),
        (["name=~("], 1, {}, "Expected a regular expression"),
        ([], 1, {}, "cannot be blank"),
        (["name=~.*"], 1, {}, "It would hit everything"),
        (["name!=a", "team="], 1, {}, "It would hit everything"),
        (["name=a"], 1, {"comment": ""}, "cannot be blank"),
        (["name=a"], 1, {"created_by": ""}, "cannot be blank"),
    ],
)
def test_what_is_no_silence(several: list[str], hours: float, fields: dict[str, str], sentence: str) -> None:
    given = {"comment": "deploy", "created_by": "alice", "now": NOON, **fields}
    with pytest.raises(ValidationError, match=sentence):
        silences.create(several, None, NOON + hours * HOUR, **given)  # type: ignore[arg-type]
    assert not Silence.objects.exists()


def test_it_does_not_begin_in_the_past() -> None:
    silence = silences.create(["a=b"], NOON - HOUR, NOON + HOUR, comment="late", created_by="alice", now=NOON)

    assert silence.starts_at == NOON


def test_which_are_in_force() -> None:
    now_on, later = made(), made(hours=3)
    waiting = silences.create(["a=b"], NOON + HOUR, NOON + 2 * HOUR, comment="tonight", created_by="alice", now=NOON)

    def active(hours: float) -> list[Silence]:
        return [each.row for each in silences.active(NOON + hours * HOUR)]

    assert active(0) == [now_on, later]
    assert active(1) == [now_on, later, waiting]
    assert active(3) == [now_on]
    assert active(4) == []


def test_it_ends_once() -> None:
    alice = User.objects.create_user("alice")
    silence = made()

    assert silences.expire(silence, by=alice, now=NOON + HOUR)
    assert silence.ends_at == NOON + HOUR
    assert not silences.expire(silence, by=alice, now=NOON + 2 * HOUR)
    assert silence.ends_at == NOON + HOUR
    assert [entry.get_change_message() for entry in LogEntry.objects.all()] == ["Ended."]


def test_one_that_waits_never_begins() -> None:
    silence = silences.create(["a=b"], NOON + HOUR, NOON + 2 * HOUR, comment="x", created_by="alice", now=NOON)

    assert silences.expire(silence, now=NOON)
    assert silence.starts_at == silence.ends_at == NOON
    assert silences.active(NOON) == []


def test_what_it_would_hit() -> None:
    root()
    first, other = fires(0, name="a"), fires(1, name="a", service="api")
    fires(0, name="b")
    ends(fires(0, name="a", service="gone"), 1)

    found = silences.hits(matchers.parse_all(["name=a"]))
    assert [alert.pk for alert in found.alerts] == [other.pk, first.pk]
    assert found.count == 2


def test_a_preview_shows_some_and_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "HITS_MAX", 2)
    root()
    for number in range(3):
        fires(0, name="a", number=str(number))

    found = silences.hits(matchers.parse_all(["name=a"]))
    assert (len(found.alerts), found.count) == (2, 3)


# --- Before it ends --------------------------------------------------------------------------------------------------


def warnings() -> list[tuple[str, dict[str, Any]]]:
    rows = Delivery.objects.filter(reason="expiry").select_related("channel__receiver").order_by("pk")
    return [(row.channel.receiver.name, row.notification) for row in rows]


def test_those_who_would_be_told_then_are_warned_once() -> None:
    top = root()
    route(top, "mail", "name=a", continues=True)
    route(top, "chat", "name=~a|b")
    fires(0, name="a")
    fires(0, name="c")
    made("name=~a|c")

    assert expiry.warn(NOON + 2.9 * HOUR) == 0
    assert expiry.warn(NOON + 3 * HOUR) == 1
    assert expiry.warn(NOON + 3.1 * HOUR) == 0

    assert sorted(name for name, _ in warnings()) == ["all", "chat", "mail"]
    said = dict(warnings())["mail"]
    assert said["title"] == "A silence ends in 1 h: 1 alert will be told then"
    assert said["text"] == "name=~a|c is silent until 2026-11-21 16:00 UTC, by alice: deploy"
    assert [each["labels"]["name"] for each in said["alerts"]] == ["a"]


def test_a_silence_that_hits_nothing_ends_unnoticed() -> None:
    root()
    fires(0, name="b")
    made()

    assert expiry.warn(NOON + 3.5 * HOUR) == 0
    # Until it hits something.
    fires(0, name="a")
    assert expiry.warn(NOON + 3.6 * HOUR) == 1


def test_a_short_silence_warns_late_or_never() -> None:
    root()
    fires(0, name="a")
    made(hours=2)
    made(hours=0.9)

    assert expiry.warn(NOON + 0.8 * HOUR) == 0
    assert expiry.warn(NOON + 1.4 * HOUR) == 0
    assert expiry.warn(NOON + 1.5 * HOUR) == 1


def test_one_that_was_ended_warns_nobody() -> None:
    root()
    fires(0, name="a")
    silences.expire(made(), now=second(10))

    assert expiry.warn(NOON + 3.5 * HOUR) == 0
