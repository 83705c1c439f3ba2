"""What lines of one kind have in common: their message without what changes from line to line. Pure.

connection to db-01.internal:5432 refused after 1200 ms  →  connection to * refused after * ms
"""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = "@pattern"  # as the name of a field, which no key of the metadata has
TEXT_MAX: Final = 300  # characters of a message that are looked at
LENGTH_MAX: Final = 160

_WORD: Final = r"""[^\s,;()\[\]{}=|"'`<>]"""
# Text in quotes, and words with a digit: numbers, ids, addresses, dates, versions, names of hosts. A word is looked at
# from its beginning only, so that the time grows with the length and no faster.
_CHANGES: Final = re.compile(rf"""\"[^"]*\"|\B'[^']*'\B|`[^`]*`|(?<!{_WORD})(?={_WORD}*[0-9]){_WORD}+""")
_REPEATED: Final = re.compile(r"\*(?:[\s,;]+\*)+")


def of(message: str) -> str:
    """Of the first line that says something."""
    first = message[:TEXT_MAX].lstrip().partition("\n")[0]
    return _REPEATED.sub("*", _CHANGES.sub("*", first)).strip()[:LENGTH_MAX]
