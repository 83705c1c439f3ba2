"""The search benchmark runs, its tables answer as the store does, and a wrong answer is found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import questions, rows, search, stores
from benchmarks.questions import Facts, Question, TooSlowError, facts
from benchmarks.search import Result
from logs.store.blocks import BlockStore
from tests.benchmarks.conftest import Arguments, on_sqlite

LINES = 3_000
# A statement that ends only if somebody ends it.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT COUNT(*) FROM n"


@pytest.fixture(scope="module")
def known() -> Facts:
    return facts(LINES)


@on_sqlite
@pytest.mark.usefixtures("in_process")
def test_it_asks_everything_and_gets_right_answers(arguments: Arguments, capsys: pytest.CaptureFixture[str]) -> None:
    arguments("--lines", str(LINES), "--repeat", "1", "--limit", "100000")

    assert search.main() == 0

    said = capsys.readouterr().out
    assert "Every answer is right." in said
    assert all(f"\n{name} " in said for name in (*questions.questions(), search.DELETION))


@on_sqlite
@pytest.mark.usefixtures("in_process", "losing")
def test_a_store_that_loses_lines_is_found_out(arguments: Arguments, capsys: pytest.CaptureFixture[str]) -> None:
    arguments("--lines", str(LINES), "--repeat", "1", "--no-rows", "--no-cold", "--limit", "100000")

    assert search.main() == 1

    said = capsys.readouterr().out
    assert "store on sqlite: the answer is wrong: newest 100." in said
    assert "store on sqlite: the answer is wrong: histogram." in said
    assert f"store on sqlite: the answer is wrong: {search.DELETION}." in said


def test_what_was_kept_is_used_and_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: Facts) -> None:
    built: list[int] = []
    monkeypatch.setattr(search, "build", lambda site, lines, row_lines: built.append(lines))
    monkeypatch.setattr(search, "measure", lambda *args, **kwargs: Result("sqlite"))

    for work in ("first", "second"):
        search.run("sqlite", tmp_path / work, tmp_path / "kept", known, None, 1, False)

    assert built == [LINES]
    assert (tmp_path / "kept" / "blocks").is_dir()


@pytest.fixture(params=[stores.SQLITE, pytest.param(stores.POSTGRESQL, marks=pytest.mark.postgres)], scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[rows.Rows]:
    with stores.work_directory() as directory, stores.site(request.param, directory / "site") as site:
        search.fill_rows(site.rows, LINES)
        with rows.opened(site.rows, patience=0.5) as table:
            yield table


@pytest.mark.parametrize("question", questions.questions().values(), ids=lambda question: question.name)
def test_the_tables_answer_as_the_corpus_says(table: rows.Rows, known: Facts, question: Question) -> None:
    assert table.count() == LINES
    assert table.ask(question, known) == known.answer(question)


def test_a_statement_that_takes_too_long_is_given_up(table: rows.Rows) -> None:
    with pytest.raises(TooSlowError):
        table.fetch(ENDLESS)
    assert table.count() == LINES


def test_the_corpus_has_an_answer_to_each_question(known: Facts) -> None:
    found = {name: len(known.answer(question)) for name, question in questions.questions().items()}

    assert found["newest 100"] == found["page in the middle"] == 100
    assert found["context, 50 + 50"] == 101
    assert found["word once"] == found["infix once"] == 1
    assert found["word absent"] == found["infix absent"] == 0
    assert 1 <= found["request id"] == found["trace id"] == found["trace id as text"] <= 8
    assert found["values of service"] == 10
    assert all(
        found[name] for name in ("error + billing", "word in 10 %", "metadata, key exists", "histogram of a word")
    )


@on_sqlite
@pytest.mark.usefixtures("in_process")
def test_a_deletion_that_takes_a_younger_line_is_wrong(
    monkeypatch: pytest.MonkeyPatch, known: Facts, tmp_path: Path
) -> None:
    search.fill_store(stores.Place(tmp_path), LINES)
    delete_before = BlockStore.delete_before
    monkeypatch.setattr(BlockStore, "delete_before", lambda self, time: delete_before(self, known.last))

    assert not search.delete(BlockStore(database="logs"), known).right


def answering(*answers: questions.Answer | None) -> Callable[[], questions.Answer]:
    """None is one that takes too long."""
    left = iter(answers)

    def answer() -> questions.Answer:
        if (said := next(left)) is None:
            raise TooSlowError
        return said

    return answer


def test_an_answer_that_takes_too_long_has_no_times_and_is_not_wrong() -> None:
    timing = search.timed(answering(None), [], 3)

    assert (timing.times, timing.right) == ([], True)
    assert search._ms(timing, 0.5) == "> 10 s"


def test_the_first_answer_must_be_right_and_its_time_counts_only_if_it_is_alone() -> None:
    assert len(search.timed(answering([], []), [], repeat=1).times) == 1
    assert len(search.timed(answering([]), [], repeat=0).times) == 1
    assert not search.timed(answering([(1, "span")]), [], repeat=0).right
    assert not search.timed(answering([(1, "span")], None), [], repeat=1).right


def test_too_much_memory_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result("sqlite", peak_mb=201.0)

    assert search.judge([result], limit=200.0) == 1
    assert "more than 200 MB" in capsys.readouterr().out
    assert search.judge([result], limit=202.0) == 0
