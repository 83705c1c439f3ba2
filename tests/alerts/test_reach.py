"""Whether some more lines could make a value pass a limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import reach, thresholds

LIMITS = [{"severity": "critical", "value": 100}, {"severity": "high", "value": 10}]


@pytest.mark.parametrize(
    ("values", "lines", "could"),
    [
        ([], 10, False),
        ([], 11, True),  # a group that isn't there yet
        ([8], 2, False),
        ([8], 3, True),
        ([50, 8], 2, False),  # 50 has passed the first limit, and is far from the second
        ([50, 8], 3, True),
        ([95], 5, False),
        ([95], 6, True),
        ([200], 10, False),
    ],
)
def test_counts(values: list[float], lines: int, could: bool) -> None:
    kept = [[{"service": str(number)}, value] for number, value in enumerate(values)]
    assert reach.could_fire("log_count", 300, ">", LIMITS, kept, 50, lines) is could


def test_a_rate_is_lines_a_minute() -> None:
    assert not reach.could_fire("log_rate", 600, ">", LIMITS, [[{}, 9]], 50, 10)
    assert reach.could_fire("log_rate", 600, ">", LIMITS, [[{}, 9]], 50, 11)


def test_groups_that_are_not_listed_are_as_high_as_the_last_one() -> None:
    assert reach.could_fire("log_count", 300, ">", LIMITS, [[{}, 9], [{}, 9]], 2, 2)
    assert not reach.could_fire("log_count", 300, ">", LIMITS, [[{}, 8], [{}, 8]], 2, 2)


@pytest.mark.parametrize(
    ("kind", "comparison", "limits"),
    [
        ("log_ratio", ">", LIMITS),
        ("log_count", "<", LIMITS),
        ("log_count", "==", LIMITS),
        ("log_count", ">", "nonsense"),
    ],
)
def test_what_is_not_known_could_fire(kind: str, comparison: str, limits: object) -> None:
    assert reach.could_fire(kind, 300, comparison, limits, [], 50, 1)


COUNTS = st.lists(st.integers(0, 120), max_size=6)


@given(before=COUNTS, more=COUNTS, comparison=st.sampled_from(reach.RISING))
def test_no_value_passes_a_limit_that_was_out_of_reach(before: list[int], more: list[int], comparison: str) -> None:
    """Each group gets some lines; there may be new groups."""
    before.sort(reverse=True)
    padded = [*before, *[0] * (len(more) - len(before))]
    after = [value + extra for value, extra in zip(padded, [*more, *[0] * len(padded)], strict=False)]
    wanted = thresholds.parse(LIMITS)
    passed = [
        (set(thresholds.passed(wanted, comparison, now)) - set(thresholds.passed(wanted, comparison, then)))
        for then, now in zip(padded, after, strict=True)
    ]
    if any(passed):
        kept = [[{"service": str(number)}, value] for number, value in enumerate(before)]
        assert reach.could_fire("log_count", 300, comparison, LIMITS, kept, 50, sum(more))
