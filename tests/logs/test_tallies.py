"""What is remembered of blocks stays bounded, whatever is asked."""

from __future__ import annotations

import pytest

from logs.query import parse
from logs.store import tallies
from logs.store.tallies import Tallies, Tally

TALLY = Tally(False, ((0, 3, 1),))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "QUERIES_MAX", 2)


def test_queries_of_which_nothing_is_kept_are_forgotten_too() -> None:
    kept = Tallies()
    for number in range(10):
        kept.of(parse(f"word{number}"))
    assert len(kept._by_query) == 2


def test_the_query_that_was_asked_last_stays() -> None:
    kept, first, second = Tallies(), parse("first"), parse("second")
    for node in (first, second):
        kept.of(node)
        kept.keep(node, 1, TALLY)
    kept.of(first)
    kept.of(parse("third"))
    assert kept.of(first) == {1: TALLY}
    assert kept._size == tallies._size(TALLY)
