"""What the crash benchmark calls lost, stored twice, and the sender's own doing."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from benchmarks.clients import BrokenError
from benchmarks.crash import ACKNOWLEDGED, Attempt, Outcome, Sender, Unit, judge


def attempt(request: bytes) -> int:
    raise AssertionError("nothing is sent here")


def judged(unit: Unit, *stored: str) -> Outcome:
    answers = Counter({ACKNOWLEDGED: 1})
    sender = Sender("post", 2, 1.0, b"".join, attempt, units=[unit], answers=answers)
    return judge([sender], Counter(stored), recovery=1.0)


def test_an_acknowledged_line_that_is_not_stored_is_lost() -> None:
    outcome = judged(Unit("a", 2, acknowledged_at=1.0), "a.0")

    assert outcome.lost == ["a.1"]
    assert (outcome.acknowledged, outcome.stored) == (2, 1)
    assert not outcome.is_good


def test_a_line_that_was_sent_once_and_is_there_twice_is_wrong() -> None:
    outcome = judged(Unit("a", 2, acknowledged_at=1.0), "a.0", "a.1", "a.1")

    assert outcome.twice == ["a.1"]
    assert not outcome.is_good


def test_a_line_that_was_sent_again_may_be_there_again() -> None:
    outcome = judged(Unit("a", 2, acknowledged_at=1.0, ambiguous=1), "a.0", "a.0", "a.1", "a.1")

    assert (outcome.twice, outcome.again, outcome.ambiguous) == ([], 2, 2)
    assert outcome.is_good


def test_a_line_that_was_never_acknowledged_can_not_be_lost() -> None:
    assert judged(Unit("a", 2, ambiguous=1)).is_good


@pytest.mark.parametrize("status", [400, 401, 413])
def test_an_answer_that_blames_the_sender_is_wrong(status: int) -> None:
    outcome = judged(Unit("a", 1, acknowledged_at=1.0), "a.0")
    outcome.answers[status] += 1

    assert outcome.wrong_answers == [status]
    assert not outcome.is_good


def answering(*answers: int | Exception) -> Attempt:
    left = iter(answers)

    def attempt(request: bytes) -> int:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return attempt


def test_a_sender_tries_until_it_is_acknowledged_and_counts_what_it_can_not_know() -> None:
    sender = Sender("post", 1, 1.0, b"".join, answering(503, BrokenError(), 429, ACKNOWLEDGED))
    unit = Unit("a", 1)

    sender.deliver(unit, b"", threading.Event())

    assert unit.acknowledged_at
    assert unit.ambiguous == 2
    assert sender.answers == {503: 1, 429: 1, ACKNOWLEDGED: 1}
