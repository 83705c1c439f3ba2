"""The append benchmark runs, and says when a line is missing."""

from __future__ import annotations

import pytest

from benchmarks import append
from tests.benchmarks.conftest import Arguments, on_sqlite

pytestmark = [on_sqlite, pytest.mark.usefixtures("in_process")]


def test_it_compares_the_store_with_rows(arguments: Arguments, capsys: pytest.CaptureFixture[str]) -> None:
    arguments("--lines", "4500", "--rounds", "2")

    assert append.main() == 0

    said = capsys.readouterr().out
    assert "store on sqlite" in said
    assert "rows on sqlite" in said
    assert "Every line is stored once." in said


@pytest.mark.usefixtures("losing")
def test_a_store_that_loses_lines_is_found_out(arguments: Arguments, capsys: pytest.CaptureFixture[str]) -> None:
    arguments("--lines", "4000", "--rounds", "1")

    assert append.main() == 1
    assert "store on sqlite: 4,000 lines were sent, 2,048 are stored." in capsys.readouterr().out
