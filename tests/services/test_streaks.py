"""When results count: the rule, and that it holds whatever comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.status import Outcome
from services.streaks import Streak, advance

UP, DEGRADED, FAILING, UNREACHABLE = Outcome

outcomes = st.sampled_from(Outcome)
thresholds = st.integers(1, 4)


def after(results: list[Outcome], failures: int = 1, successes: int = 1) -> list[Streak]:
    """The streak after each result; the first is at 1 µs."""
    streaks = [Streak()]
    for at, outcome in enumerate(results, 1):
        streaks.append(advance(streaks[-1], outcome, at, failures=failures, successes=successes))
    return streaks[1:]


def test_one_lost_packet_changes_nothing() -> None:
    last = after([UP, UNREACHABLE, UP, UP], failures=2)[-1]
    assert last == Streak(UP, 1)


def test_a_failure_counts_from_the_first_of_those_that_settled_it() -> None:
    assert after([UP, UP, FAILING, FAILING, FAILING], failures=3)[-1] == Streak(FAILING, 3)


def test_failures_of_different_kinds_count_together() -> None:
    assert after([UP, DEGRADED, UNREACHABLE], failures=2)[-1] == Streak(UNREACHABLE, 2)


def test_what_fails_gets_worse_and_better_with_each_result() -> None:
    found = after([FAILING, UNREACHABLE, DEGRADED], failures=1)
    assert [(streak.outcome, streak.since) for streak in found] == [(FAILING, 1), (UNREACHABLE, 2), (DEGRADED, 3)]


def test_it_works_again_after_so_many_successes_and_since_the_first_of_them() -> None:
    found = after([FAILING, UP, FAILING, UP, UP], successes=2)
    assert [streak.outcome for streak in found] == [FAILING, FAILING, FAILING, FAILING, UP]
    assert found[-1].since == 4


def test_a_new_check_that_fails_is_not_settled_at_once() -> None:
    assert [streak.outcome for streak in after([FAILING, FAILING], failures=2)] == [None, FAILING]


@given(st.lists(outcomes), thresholds, thresholds)
def test_it_never_fails_without_so_many_failures_in_a_row(
    results: list[Outcome], failures: int, successes: int
) -> None:
    settled: Outcome | None = None
    for place, streak in enumerate(after(results, failures, successes)):
        if streak.outcome != settled:
            fails = streak.outcome != UP
            worse_or_better = fails and settled not in (None, UP)
            wanted = 1 if worse_or_better else failures if fails else successes
            last = results[place + 1 - wanted : place + 1]
            assert len(last) == wanted
            # A check that is not settled yet counts whatever comes; from then on they are all of one side.
            if settled is not None:
                assert all((each != UP) == fails for each in last)
            assert results[place] == streak.outcome
        settled = streak.outcome


@given(st.lists(outcomes, min_size=1), thresholds, thresholds)
def test_its_times_are_those_of_results(results: list[Outcome], failures: int, successes: int) -> None:
    before = Streak()
    for at, streak in enumerate(after(results, failures, successes), 1):
        if streak.since is not None:
            assert results[streak.since - 1] == streak.outcome or streak.since < at
            assert streak.since >= (before.since or 1)
        if streak.began is not None:
            assert streak.count == at - streak.began + 1
        assert streak.count < max(failures, successes)
        before = streak


@given(outcomes, st.lists(outcomes), thresholds, thresholds)
def test_enough_of_one_kind_settle_it_on_that(
    outcome: Outcome, results: list[Outcome], failures: int, successes: int
) -> None:
    enough = failures if outcome != UP else successes
    assert after(results + [outcome] * max(enough, 1), failures, successes)[-1].outcome == outcome
