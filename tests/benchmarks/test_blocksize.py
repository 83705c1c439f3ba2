"""The comparison of block sizes runs, and says when an answer is wrong."""

from __future__ import annotations

import pytest

from benchmarks import blocksize
from tests.benchmarks.conftest import Arguments, on_sqlite

pytestmark = [on_sqlite, pytest.mark.usefixtures("in_process")]


@pytest.fixture(autouse=True)
def small(arguments: Arguments) -> None:
    arguments("--lines", "3000", "--repeat", "1", "--sizes", "2048")


def test_it_has_a_row_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert blocksize.main() == 0

    said = capsys.readouterr().out
    assert all(name in said for name in (*blocksize.ASKED, "append, lines/s", "B/line", "Every answer is right."))


@pytest.mark.usefixtures("losing")
def test_a_store_that_loses_lines_is_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert blocksize.main() == 1
    assert "sqlite, blocks of 2,048: the answer is wrong: newest 100." in capsys.readouterr().out
