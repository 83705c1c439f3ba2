"""A brace too few and half of the sheet means something else, without a word."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

SHEET = Path(settings.BASE_DIR) / "static" / "pharos" / "pharos.css"


def test_no_conflict_is_left_in_it() -> None:
    assert re.findall(r"^(?:<{7}|={7}|>{7}).*", SHEET.read_text(), flags=re.MULTILINE) == []


def test_every_block_of_the_style_sheet_ends() -> None:
    sheet = SHEET.read_text()
    sheet = re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)
    depth = 0
    for line in sheet.splitlines():
        depth += line.count("{") - line.count("}")
        assert 0 <= depth <= 2, line
        assert not (depth == 2 and line.startswith("@media")), f"the block before {line} has no end"
    assert depth == 0
