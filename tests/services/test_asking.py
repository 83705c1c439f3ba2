"""What was claimed is asked: in time, each alone, and never more at once than may be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import OperationalError

from core import clock
from services import asking, polling, probes, recording
from services.asking import Asker, Question
from services.models import Check, CheckResult
from services.probes import Measurement
from services.recording import Observation
from services.status import Outcome
from tests.services.watched import many, watched
from tests.waiting import until

SECOND = clock.SECOND


def question(check: int, due: int | None = None, **fields: Any) -> Question:
    now = clock.now()
    given: dict[str, Any] = {
        "target": f"http://host-{check}/",
        "timeout": 5.0,
        "interval": 10.0,
        "lease_end": now + 60 * SECOND,
    }
    return Question(
        check=check, kind="http", options={}, secrets={}, slow_ms=None, token="mine", due=due or now, **(given | fields)
    )


class Answers:
    """A probe that answers at once, or when it is told to, or never; and what was written."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []  # check, µs
        self.under_way = self.most = 0
        self.written: list[list[Observation]] = []
        self.hangs: Callable[[Question], bool] = lambda _: False
        self.fails: list[Exception] = []
        self._free = asyncio.Event()

    async def ask(self, question: Question) -> Measurement:
        self.asked.append((question.check, clock.now()))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.hangs(question):
                await self._free.wait()
        finally:
            self.under_way -= 1
        return Measurement(latency_ms=1.0)

    def write(self, observations: Sequence[Observation]) -> None:
        if self.fails:
            raise self.fails.pop()
        self.written.append(list(observations))

    @property
    def results(self) -> dict[int, Observation]:
        return {each.check: each for batch in self.written for each in batch}


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, int]]:
    left: list[tuple[int, str, int]] = []
    monkeypatch.setattr(polling, "release", left.extend)
    return left


@pytest.fixture
def asker(answers: Answers, released: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    monkeypatch.setattr(asking, "GATHER", 0.01)
    monkeypatch.setattr(asking, "RETRY", 0.01)
    monkeypatch.setattr(asking, "FINISH", 0.01)
    made = Asker(answers.ask, answers.write)
    yield made
    made.stop()


def test_each_is_asked_at_its_time_and_not_before(asker: Asker, answers: Answers) -> None:
    now = clock.now()
    asker.take([question(1, now + SECOND // 5), question(2, now - SECOND), question(3, now + SECOND // 10)])
    until(lambda: len(answers.results) == 3)
    asked = dict(answers.asked)
    assert [check for check, _ in answers.asked] == [2, 3, 1]
    assert asked[1] >= now + SECOND // 5
    assert answers.results[1].at >= now + SECOND // 5


def test_a_result_brings_the_next_deadline_and_the_claim(asker: Asker, answers: Answers) -> None:
    due = clock.now()
    asker.take([question(1, due)])
    until(lambda: answers.results)
    (result,) = answers.results.values()
    assert (result.claim, result.next_due) == ("mine", due + 10 * SECOND)
    assert result.measurement == Measurement(latency_ms=1.0)


def test_results_are_written_together(asker: Asker, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "WRITE_MAX", 40)
    asker.take([question(check) for check in range(100)])
    until(lambda: len(answers.results) == 100)
    assert max(len(batch) for batch in answers.written) <= 40
    assert len(answers.written) < 20


def test_who_hangs_delays_nobody(asker: Asker, answers: Answers) -> None:
    answers.hangs = lambda question: question.check < 200
    asker.take([question(check) for check in range(250)])
    until(lambda: len(answers.results) == 50)
    assert min(answers.results) == 200


def test_a_probe_that_does_not_keep_to_its_time_is_given_up(
    asker: Asker, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "GRACE", 0.0)
    answers.hangs = lambda _: True
    asker.take([question(1, timeout=0.05)])
    until(lambda: answers.results)
    found = answers.results[1].measurement
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no answer within 0.05 s")
    until(lambda: answers.under_way == 0)


def test_even_one_that_does_not_want_to_end(
    answers: Answers, released: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "GRACE", 0.0)
    monkeypatch.setattr(asking, "GATHER", 0.01)
    ends, ended = threading.Event(), threading.Event()

    async def stubborn(_: Question) -> Measurement:
        while not ends.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        ended.set()
        return Measurement()

    asker = Asker(stubborn, answers.write)
    asker.take([question(1, timeout=0.05)])
    until(lambda: answers.results)
    ends.set()
    assert ended.wait(10)
    asker.stop()
    assert [len(batch) for batch in answers.written] == [1]


def test_an_error_of_a_probe_is_a_result_and_is_told(
    answers: Answers, released: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asking, "GATHER", 0.01)

    async def broken(_: Question) -> Measurement:
        raise ZeroDivisionError

    asker = Asker(broken, answers.write)
    asker.take([question(7)])
    until(lambda: answers.results)
    asker.stop()
    assert answers.results[7].measurement.outcome == Outcome.UNREACHABLE
    assert caplog.messages == ["Check 7 (http) broke off"]


def test_no_more_are_under_way_than_may_be(asker: Asker, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "UNDER_WAY_MAX", 5)
    monkeypatch.setattr(polling, "GRACE", 0.0)
    answers.hangs = lambda _: True
    asker.take([question(check, timeout=0.02) for check in range(30)])
    until(lambda: len(answers.results) == 30)
    assert answers.most == 5


def test_a_host_gets_no_more_at_once_than_it_may_and_others_go_on(
    asker: Asker, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "HOST_MAX", 3)
    answers.hangs = lambda question: "slow" in question.target
    asker.take([question(check, target=f"http://bob:secret@slow:80/{check}") for check in range(10)])
    asker.take([question(check, target=f"http://quick:80/{check}") for check in range(10, 20)])
    until(lambda: len(answers.results) == 10)
    assert sorted(answers.results) == list(range(10, 20))
    assert answers.under_way == 3


def test_what_waited_too_long_for_a_place_is_left_to_its_lease(
    asker: Asker, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = question(1, lease_end=clock.now() + 9 * SECOND)
    asker.take([late, question(2)])
    until(lambda: answers.results)
    assert list(answers.results) == [2]


def test_results_wait_for_a_database_that_is_away(
    asker: Asker, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    answers.fails = [OperationalError("database is locked")] * 3
    asker.take([question(1), question(2)])
    until(lambda: len(answers.results) == 2)
    assert caplog.messages == ["Results of checks wait: the database can't take them: database is locked"]


def test_at_the_end_everything_is_written_or_handed_back(
    asker: Asker, answers: Answers, released: list[tuple[int, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "GATHER", 3_600)
    answers.hangs = lambda question: question.check == 2
    later = clock.now() + 3_600 * SECOND
    hanging = question(2)
    asker.take([question(1), hanging, question(3, later)])
    until(lambda: len(answers.asked) == 2)
    asker.stop()
    assert list(answers.results) == [1]
    assert sorted(released) == [(2, "mine", hanging.due), (3, "mine", later)]


# --- With the database -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_from_the_claim_to_the_result(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers()
    monkeypatch.setattr(probes, "ask", answers.ask)
    ids = many(120, due_at=clock.now(), interval=10, secrets={"password": "hunter2"})
    claim = polling.claim(clock.now())
    for batch in claim.batches():
        asking.ask(claim.token, batch)
    until(lambda: CheckResult.objects.count() == len(ids))
    asking.stop()
    asking.stop()
    times = dict(claim.due)
    found = Check.objects.values_list("pk", "due_at", "claim", "outcome")
    assert set(found) == {(pk, times[pk] + 10 * SECOND, "", Outcome.UP) for pk in ids}


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_only_what_is_still_claimed_is_asked(database: str) -> None:
    mine, other = watched("mine", due_at=1, secrets={"password": "hunter2"}), watched("other", due_at=1)
    claim = polling.claim(1)
    Check.objects.filter(pk=other.pk).update(claim="of another")
    (found,) = asking.questions(claim.token, claim.due)
    assert (found.check, found.due, found.secrets) == (mine.pk, 1, {"password": "hunter2"})


@pytest.mark.django_db(transaction=True)
def test_a_result_that_cannot_be_written_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = watched("good"), watched("bad")
    record = recording.record

    def picky(observations: Sequence[Observation], now: Any) -> Any:
        if any(each.check == bad.pk for each in observations):
            raise ValueError
        return record(observations, now)

    monkeypatch.setattr(recording, "record", picky)
    asking._write([Observation(check.pk, 1, Measurement()) for check in (bad, good)])
    assert CheckResult.objects.get().service_check == good
    assert caplog.messages == [f"A result of check {bad.pk} can't be written"]


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://bob:pw@shop.example:8443/health", "shop.example:8443"),
        ("db.example:5432", "db.example:5432"),
        ("http://[::1/", "http://[::1/"),
        ("", ""),
    ],
)
def test_what_counts_as_one_host(target: str, host: str) -> None:
    assert asking.host_of(target) == host
