"""The readers benchmark runs with all its processes, and knows a wrong page and a missing line."""

from __future__ import annotations

import pytest

from benchmarks import readers, stores
from benchmarks.readers import Load, Outcome, Span, judge, wrong_page
from logs.records import Level, LogRecord

LOAD = Load(seconds=1.0, rate=1_000, commit_lines=100, processes=1, threads=2, every=0.1)


def test_writer_readers_and_upkeep_run_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with stores.work_directory() as directory, stores.site(stores.SQLITE, directory / "site") as site:
        outcome = readers.measure(site.blocks, 2_100, LOAD)

    assert (outcome.before, outcome.appended, outcome.stored) == (2_100, 1_000, 3_100)
    assert len(outcome.appends) == 10
    assert outcome.searches
    assert outcome.upkeep
    assert judge("sqlite", outcome, LOAD) == []
    assert "lines/s" in capsys.readouterr().out


def test_a_missing_line_is_wrong() -> None:
    outcome = Outcome(100, appended=50, stored=149, appends=[Span(0.0, 0.1)])

    assert judge("sqlite", outcome, LOAD) == ["sqlite: 1 lines are missing."]


def page(*times: int) -> list[LogRecord]:
    return [LogRecord(time, Level.INFO, "api", "message") for time in times]


def test_a_page_is_full_and_in_order_and_never_older_than_the_last() -> None:
    newest_first = range(200, 100, -1)

    assert wrong_page(page(*newest_first), (150, 0)) == ""
    assert wrong_page(page(*newest_first), (201, 0)) == "the newest line has gone"
    assert wrong_page(page(*newest_first[1:]), (0, 0)) == "expected 100 lines, got 99"
    assert "not in order" in wrong_page(page(*newest_first[::-1]), (0, 0))
    assert "there twice" in wrong_page(page(200, *newest_first[:-1]), (0, 0))


def test_an_append_is_beside_upkeep_if_they_overlap() -> None:
    upkeep = [Span(1.0, 2.0), Span(3.0, 4.0)]

    assert Span(0.5, 1.1).meets(upkeep)
    assert Span(3.5, 3.6).meets(upkeep)
    assert not Span(2.1, 2.9).meets(upkeep)
