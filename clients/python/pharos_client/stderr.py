"""The last way out for a line, and for a word to the operator."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress


def write(lines: Iterable[bytes]) -> None:
    """Never raises. To the stream that the process began with: what `sys.stderr` became may well be a logger."""
    with suppress(Exception):
        text = b"\n".join(lines).decode("utf-8", "replace")
        if text and sys.__stderr__:
            sys.__stderr__.write(f"{text}\n")
            sys.__stderr__.flush()
