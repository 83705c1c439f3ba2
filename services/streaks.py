"""When a check's result counts: only after so many in a row, so that one lost packet wakes nobody. Pure."""

from __future__ import annotations

import msgspec

from services.status import Outcome


class Streak(msgspec.Struct, frozen=True):
    """What a check is settled on, and the results in a row that speak against it."""

    outcome: Outcome | None = None  # None: not settled yet
    since: int | None = None  # µs: the first result of those that settled it
    count: int = 0  # results in a row that differ
    began: int | None = None  # µs, the first of them


def advance(streak: Streak, outcome: Outcome, at: int, *, failures: int = 1, successes: int = 1) -> Streak:
    """After a result at `at` (µs). A change counts from the first of the results that brought it about.

    `failures` results in a row make a check fail, `successes` make it work again. What fails already gets better or
    worse with each result.
    """
    settled = streak.outcome
    if outcome == settled:
        return Streak(settled, streak.since)
    fails = outcome != Outcome.UP
    if fails and settled not in (None, Outcome.UP):
        return Streak(outcome, at)
    began = at if streak.began is None else streak.began
    count = streak.count + 1
    if count >= (failures if fails else successes):
        return Streak(outcome, began)
    return Streak(settled, streak.since, count, began)
