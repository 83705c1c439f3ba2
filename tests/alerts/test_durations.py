"""Lengths of time as Prometheus writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5_400),
        ("250ms", 0.25),
        ("1d", 86_400),
        ("2w", 1_209_600),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_it_is_read(text: str, seconds: float) -> None:
    assert durations.read(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5m", "1.5h", "m", "30m1h", "soon"])
def test_what_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time like 30s, 5m or 1h30m, got"):
        durations.read(text)


def test_it_is_written_short() -> None:
    assert [durations.write(each) for each in (0, 0.25, 90, 3_600, 10_800.5, 90_000)] == [
        "0s", "250ms", "1m30s", "1h", "3h500ms", "1d1h",
    ]  # fmt: skip


@given(st.integers(0, 10**11))
def test_what_is_written_is_read(milliseconds: int) -> None:
    assert round(durations.read(durations.write(milliseconds / 1_000)) * 1_000) == milliseconds
