"""Messages on their way: over real connections, with whatever receivers do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from alerts import deliveries, notifiers, sending
from alerts.models import Channel, Delivery
from alerts.models.deliveries import Outcome, Reason
from tests import peers
from tests.alerts.sinks import Sink, http_sink
from tests.alerts.telling import NOW, channel, due, told
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def sink() -> Iterator[Sink]:
    with http_sink() as sink:
        yield sink


@pytest.fixture
def courier() -> Iterator[None]:
    yield
    sending.stop()


def finished() -> bool:
    return not Delivery.objects.filter(due_at__isnull=False).exists()


# --- At once -------------------------------------------------------------------------------------------------------


def test_what_is_due_is_sent_and_its_answer_kept(sink: Sink) -> None:
    [row] = due(channel(sink.url))
    assert sending.send_all(NOW) == 1
    row.refresh_from_db()
    assert (row.outcome, row.answer) == (Outcome.DELIVERED, "200 ok")
    assert [each.json["alerts"][0]["labels"]["alertname"] for each in sink.requests] == ["WorkerDown"]
    assert sending.send_all(NOW) == 0


def test_one_channel_that_fails_does_not_take_the_others_with_it(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, away, fine = (
        channel(sink.url, receiver="broken"),
        channel(f"http://127.0.0.1:{peers.closed_port()}/"),
        channel(sink.url),
    )
    Channel.objects.filter(pk=broken.pk).update(options={"url": 3})
    rows = due(broken, away, fine)
    sending.send_all(NOW)
    said = {
        each.channel_id: (each.outcome, each.answer)
        for each in Delivery.objects.filter(pk__in=[row.pk for row in rows])
    }
    assert said[fine.pk] == (Outcome.DELIVERED, "200 ok")
    assert said[away.pk] == (Outcome.DUE, "connection refused")
    assert said[broken.pk][1].startswith("the settings of this channel don't fit: ")
    broken.refresh_from_db()
    assert broken.disabled_reason == said[broken.pk][1]


def test_an_error_of_the_notifier_itself_says_nothing_secret(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> str:
        raise RuntimeError("https://hooks.example.org/secret-token")

    monkeypatch.setattr(notifiers.notifier("webhook"), "send", fail)
    [row] = due(channel(sink.url))
    sending.send_all(NOW)
    row.refresh_from_db()
    assert (row.outcome, row.answer) == (Outcome.DUE, "the notifier itself failed: RuntimeError")
    assert "secret-token" not in caplog.text


def test_a_receiver_that_hangs_is_left(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIME_LIMIT", 0.1)
    released = threading.Event()
    sink.hold = lambda _: released.wait(30)
    [row] = due(channel(sink.url))
    sending.send_all(NOW)
    released.set()
    row.refresh_from_db()
    assert (row.outcome, row.answer) == (Outcome.DUE, "no answer within 0.1 s")


# --- In the background ---------------------------------------------------------------------------------------------


def test_the_worker_goes_on_at_once_and_the_thread_sends(database: str, sink: Sink, courier: None) -> None:
    there = channel(sink.url)
    now = timezone.now()
    for number in range(60):  # more than are under way at once
        due(there, at=now, alerts=[told(f"Alert{number}")])
    assert sending.send_due(now) == deliveries.CHANNEL_MAX
    until(finished)
    assert len({each.headers["webhook-id"] for each in sink.requests}) == len(sink.requests) == 60
    assert set(Delivery.objects.values_list("outcome", "attempts")) == {(Outcome.DELIVERED, 1)}


def test_a_receiver_that_hangs_holds_up_nobody_else(sink: Sink, courier: None) -> None:
    released = threading.Event()
    with http_sink() as hanging:
        hanging.hold = lambda _: released.wait(30)
        stuck, fine = channel(hanging.url), channel(sink.url)
        now = timezone.now()
        for _ in range(30):
            due(stuck, fine, at=now)
        sending.send_due(now)
        until(lambda: len(sink.requests) == 30)
        assert len(hanging.requests) <= sending.CHANNEL_PLACES
        released.set()
        until(finished)


def test_at_the_end_what_was_not_begun_is_handed_back(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "FINISH", 0.05)
    released = threading.Event()
    sink.hold = lambda _: released.wait(30)
    there, now = channel(sink.url), timezone.now()
    for _ in range(deliveries.CHANNEL_MAX):
        due(there, at=now)
    sending.send_due(now)
    until(lambda: len(sink.requests) == sending.CHANNEL_PLACES)
    sending.stop()
    released.set()
    # Those that were begun may have been taken: they stay ours until the lease ends.
    assert Delivery.objects.filter(claim="").count() == deliveries.CHANNEL_MAX - sending.CHANNEL_PLACES
    assert Delivery.objects.exclude(claim="").count() == sending.CHANNEL_PLACES


def test_an_answer_is_written_once_the_database_is_back(
    sink: Sink, courier: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    real, failures = deliveries.record, [OperationalError("database is locked")]

    def record(*given: object) -> None:
        if failures:
            raise failures.pop()
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(sending, "RETRY", 0.01)
    monkeypatch.setattr(deliveries, "record", record)
    due(channel(sink.url), at=timezone.now())
    sending.send_due(timezone.now())
    until(finished)
    assert len(sink.requests) == 1


# --- Send test -----------------------------------------------------------------------------------------------------


def test_a_test_message_goes_out_now_and_says_what_came_back(sink: Sink) -> None:
    there = channel(sink.url, disabled_reason="403 invalid_token", failing_since=NOW, rate_max=1)
    due(there)
    row = sending.test(there, User(username="ann"))
    assert (row.reason, row.outcome, row.answer) == (Reason.TEST, Outcome.DELIVERED, "200 ok")
    assert sink.requests[0].json["commonAnnotations"]["description"] == "Sent by ann."
    there.refresh_from_db()
    assert there.disabled_reason == ""


def test_a_test_message_is_tried_once(sink: Sink) -> None:
    sink.answer(503, "down")
    row = sending.test(channel(sink.url), None)
    assert (row.outcome, row.answer, row.due_at) == (Outcome.FAILED, "503 down", None)
