"""Regular expressions in linear time (RE2): whatever somebody writes, no text takes long."""

from __future__ import annotations

from typing import Any

MEMORY = 32 << 20  # bytes that a compiled expression may take


def compiled(expression: str | bytes, *, memory: int = MEMORY, octets: bool = False) -> Any:
    """A pattern of re2, whose interface is that of `re`. With `octets`, `.` is a byte and no letter.

    Raises ValueError with RE2's sentence.
    """
    import re2  # type: ignore[import-untyped]  # when there is one, and not before: it takes memory

    options = re2.Options()
    options.log_errors, options.max_mem = False, memory
    if octets:
        options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        said = error.args[0]
        raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None
