"""What a check of the doctor says."""

from __future__ import annotations

from typing import Final

import msgspec

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"
LEVELS: Final = (OK, WARNING, PROBLEM)  # from good to bad

GUIDE: Final = "docs/troubleshooting.md"


class Finding(msgspec.Struct, frozen=True):
    """`said` is a sentence; what is not ok also says what to do, and may name a section of docs/troubleshooting.md."""

    level: str
    said: str
    to_do: str = ""
    section: str = ""  # "redis-is-away"


def ok(said: str) -> Finding:
    return Finding(OK, said)


def warning(said: str, to_do: str, section: str = "") -> Finding:
    return Finding(WARNING, said, to_do, section)


def problem(said: str, to_do: str, section: str = "") -> Finding:
    return Finding(PROBLEM, said, to_do, section)


class CannotTell(Exception):  # noqa: N818 - an answer
    """Something else has to work first; the text is a sentence."""
