"""CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

# Spreadsheets run a cell that begins so (OWASP, "CSV injection"); those for East Asia know the wide forms, too.
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")


def safe(text: str) -> str:
    """A text as a cell that is never run: an apostrophe before it makes it text."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def encoded(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
