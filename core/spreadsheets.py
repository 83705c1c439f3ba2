"""CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

# Spreadsheets run a cell that begins so (OWASP, "CSV injection"); those for East Asia know the wide forms, too.
# What has an apostrophe of its own gets one, too, so that it can be taken off again.
_MARKED: Final = tuple("=+-@\t\r\n＝＋－＠'")


def safe(text: str) -> str:
    """A text as a cell that is never run: an apostrophe before it makes it text."""
    return f"'{text}" if text.startswith(_MARKED) else text


def plain(cell: str) -> str:
    """What `safe` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_MARKED) else cell


def encoded(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
