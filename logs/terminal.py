"""Text without what is meant for a terminal."""

from __future__ import annotations

import re

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?|\x1b[ -/]*[0-~]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    """Without colours and other codes, control characters but for \\t and \\n, and white space at the end."""
    if not text.isprintable():
        text = text.replace("\r\n", "\n")
        if "\x1b" in text or "\x9b" in text:
            text = _ANSI.sub("", text)
        # What overwrites itself on a terminal, such as a progress bar, is read as lines.
        text = _CONTROL.sub("", text.replace("\r", "\n"))
        text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text.rstrip()
