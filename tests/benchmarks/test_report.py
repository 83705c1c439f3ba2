"""The table that a benchmark prints."""

from __future__ import annotations

import math

from benchmarks.report import percentile, table


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(100, 0, -1)]

    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0
    assert math.isnan(percentile([], 0.5))


def test_columns_are_aligned() -> None:
    said = table("Title", "somewhere", ("name", "count", "ms"), [("a", 12_345, 1.25), ("longer", None, math.nan)])

    assert said.splitlines() == [
        "",
        "Title",
        "somewhere",
        "",
        "name     count   ms",
        "-------------------",
        "a       12,345  1.2",
        "longer       –    –",
    ]
