"""What the benchmark of messages calls lost, twice, and the doing of a kill."""

from __future__ import annotations

from benchmarks.notify_crash import judge


def test_what_arrived_once_and_is_marked_is_good() -> None:
    outcome = judge(["a"], ["a"], {"a": [1.0]}, [])
    assert outcome.is_good
    assert outcome.answer_lost == []


def test_what_never_arrived_or_is_not_marked_is_lost() -> None:
    assert judge(["a"], ["a", "b"], {"b": [1.0]}, []).lost == ["a", "b"]


def test_what_arrived_twice_without_a_kill_is_wrong() -> None:
    outcome = judge(["a"], ["a"], {"a": [1.0, 32.0]}, [])
    assert outcome.twice == ["a"]
    assert not outcome.is_good


def test_a_kill_shortly_after_the_first_arrival_explains_the_second() -> None:
    outcome = judge(["a"], ["a"], {"a": [1.0, 32.0]}, [1.2])
    assert (outcome.twice, outcome.answer_lost) == ([], ["a"])
    assert outcome.is_good


def test_a_kill_long_after_or_before_explains_nothing() -> None:
    assert judge(["a"], ["a"], {"a": [10.0, 42.0]}, [9.0, 20.0]).twice == ["a"]
