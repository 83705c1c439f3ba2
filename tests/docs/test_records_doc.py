"""docs/records.md says what logs/records.py does: its tables are made from the code here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from logs import records
from logs.records import ALIASES, LEVEL_MEANINGS, LEVELS, Level, parse_level

PAGE = Path(settings.BASE_DIR) / "docs" / "records.md"
NUMBERS = range(-1, 102)


def aliases() -> list[str]:
    rows = [
        f"| `{field}` | {', '.join(f'`{name}`' for name in names if name != field) or '–'} |"
        for field, names in ALIASES.items()
    ]
    return ["| field | is also called |", "|---|---|", *rows]


def levels() -> list[str]:
    rows = [
        f"| `{level.label}` | {meaning} | {', '.join(f'`{word}`' for word in synonyms(level))} |"
        for level, meaning in LEVEL_MEANINGS.items()
    ]
    return ["| level | means | is also written |", "|---|---|---|", *rows]


def synonyms(level: Level) -> list[str]:
    words = {**records._LEVEL_WORDS, **records._LEVEL_LETTERS}
    return [word for word, meant in words.items() if meant is level and word != level.label]


def numbers() -> list[str]:
    rows = [f"| `{level.label}` | {spans(level, 0, 9)} | {spans(level, 10, 101)} |" for level in Level]
    return ["| level | syslog | pino, bunyan |", "|---|---|---|", *rows]


def spans(level: Level, low: int, high: int) -> str:
    found = [number for number in NUMBERS if low <= number <= high and parse_level(number) is level]
    if not found:
        return "–"
    assert found == list(range(found[0], found[-1] + 1))
    return str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"


@pytest.mark.parametrize("table", [aliases, levels, numbers], ids=lambda table: table.__name__)
def test_a_table_is_what_the_code_does(table: object) -> None:
    assert callable(table)
    name, wanted = getattr(table, "__name__", ""), "\n".join(table())
    found = re.search(rf"<!-- table: {name} -->\n(.*?)\n<!-- end -->", PAGE.read_text(), re.DOTALL)

    assert found, f"docs/records.md has no table {name}"
    assert found[1] == wanted, f"the table {name} in docs/records.md has to read:\n{wanted}"


def test_every_level_has_a_meaning() -> None:
    assert [level.label for level in LEVEL_MEANINGS] == list(LEVELS)


def test_numbers_between_and_beyond_are_no_level() -> None:
    assert [number for number in NUMBERS if parse_level(number) is None] == [-1, 8, 9, 101]


@pytest.mark.parametrize("word", sorted({*records._LEVEL_WORDS, *records._LEVEL_LETTERS}))
def test_a_word_of_the_table_is_read_in_any_case(word: str) -> None:
    assert parse_level(word) is parse_level(word.upper()) is parse_level(f" {word.title()} ") is not None


def test_the_limits_are_those_of_the_page() -> None:
    text = PAGE.read_text()

    assert records.LINE_MAX == 1 << 20
    assert "A line may have 1 MiB." in text
    assert records.ID_MAX == records.NAME_MAX == 200
    assert "may have 200 characters, the ids as well" in text
