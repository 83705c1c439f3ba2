"""Lines that belong together: a stack trace, or what is indented below a line. Pure: the time is handed in.

Stack traces of Python, Java, Go, JavaScript, .NET, Rust, Ruby and PHP are known by how they are written.
"""

from __future__ import annotations

import re
from typing import Final, Generic, NamedTuple, TypeVar

from core import clock
from logs import formats
from logs.records import Level
from logs.terminal import clean

LINES_MAX: Final = 1_000  # of a group
CHARACTERS_MAX: Final = 256 << 10  # of a group; a line that is longer is a group by itself
GAP_MAX: Final = clock.SECOND  # µs: what comes later than this after a line does not belong to it

M = TypeVar("M")


class Group(NamedTuple, Generic[M]):
    """Lines joined by \\n. `at` is of the first, in µs; `mark` of the last: the position up to which it reaches."""

    text: str
    at: int
    mark: M


# --- How traces are written ----------------------------------------------------------------------------------------

_PYTHON = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):")
_PYTHON_AGAIN = re.compile(r"During handling of the above exception|The above exception was the direct cause")
_PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]*(?::|$)")
_GO = re.compile(r"panic: |fatal error: |goroutine \d+ \[")
_GO_WITHIN = re.compile(
    r"goroutine \d+ \[|created by |\[signal |exit status \d|panic: |runtime(?:\.| stack)|[\w./*()\[\]{}$·-]+\(.*\)$"
)
_RUST = re.compile(r"thread '.*' (?:\(\d+\) )?panicked at ")
_SCRIPT = re.compile(r"\S+\.[cm]?[jt]sx?:\d+$")  # Node shows the place before the error
_CARETS = re.compile(r"\s*[\^~]+$")
# The class of an error, as a line begins with it.
_ERROR = re.compile(
    r"(?:Uncaught |Unhandled [Ee]xception[.:] |Exception in thread \S+ )*"
    r"(?:[A-Za-z_$][\w$]*(?:\.|::|\\))*(?:[A-Z][\w$]*)?(?:Error|Exception|Throwable)(?::| \(| \[|\s*$)"
)
_BEGINS = re.compile(
    "|".join(
        (
            *(each.pattern for each in (_PYTHON, _GO, _RUST, _SCRIPT, _ERROR)),
            r"Exception in thread |Unhandled [Ee]xception|PHP Fatal error: |\S+\.rb:\d+:in ",
        )
    )
)
_FRAME = re.compile(
    r'^(?:\s+(?:at \S|File ".+", line \d+|from \S+:\d+|\d+: +\S)|goroutine \d+ \[|#\d+ |\t\S+\.go:\d+)', re.MULTILINE
)
_WITHIN = re.compile(
    r"Caused by: |Suppressed: |\.\.\. \d+ (?:more|common)|Stack trace:|#\d+ |stack backtrace:|note: |--- End of "
)
_CLOSED = re.compile(r"[\]})]+[,;]?$")


def begins_trace(line: str) -> bool:
    """Whether a trace begins with this line, rather than a line of a log that one follows."""
    return _BEGINS.match(line) is not None


def is_trace(text: str) -> bool:
    return _FRAME.search(text) is not None or any(each.match(text) for each in (_PYTHON, _GO, _RUST))


def error_of(text: str) -> str:
    """The line that names the error, for traces that begin with another one; "" for the others."""
    first, *lines = text.split("\n")
    if _PYTHON.match(first):
        return next((line for line in reversed(lines) if line and line[0] not in " \t"), "")
    if _SCRIPT.match(first):
        return next(filter(_ERROR.match, lines), "")
    return f"{first} {lines[0]}" if _RUST.match(first) and first.endswith(":") else ""


# --- Grouping ------------------------------------------------------------------------------------------------------


class Grouper(Generic[M]):
    """Groups the lines of one stream: a container's stdout, a file. Every line comes out again, but for empty ones."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._first = self._last = 0  # µs
        self._mark: M
        self._blank = 0  # empty lines since the last one
        self._trace: re.Pattern[str] | None = None  # how the trace under way began

    def feed(self, text: str, at: int, mark: M) -> list[Group[M]]:
        """Takes a line, written or received at `at`. Returns the group that it ends, if it ends one."""
        line = clean(text)
        if not line:
            self._blank += 1
            return []
        ended = [] if self._lines and self._belongs(line, at) else self.flush()
        self._lines += [""] * (self._blank if self._lines else 0)
        self._lines.append(line)
        self._size += len(line) + self._blank + 1
        self._first = at if len(self._lines) == 1 else self._first
        self._last, self._mark, self._blank = at, mark, 0
        if len(self._lines) == 1 or self._trace is None or _PYTHON.match(line):
            self._trace = _kind(line) or self._trace
        return ended

    def flush(self, older_than: int | None = None) -> list[Group[M]]:
        """The group under way, if its last line is not younger than `older_than` (µs)."""
        if not self._lines or (older_than is not None and self._last > older_than):
            return []
        group = Group("\n".join(self._lines), self._first, self._mark)
        self._lines, self._size, self._blank, self._trace = [], 0, 0, None
        return [group]

    def _belongs(self, line: str, at: int) -> bool:
        if at - self._last > GAP_MAX or len(self._lines) + self._blank >= LINES_MAX:
            return False
        if self._size + len(line) > CHARACTERS_MAX or _is_object(line) or _is_object(self._lines[0]):
            return False
        if self._trace is not None:
            return self._continues(line, self._trace)
        if self._blank:
            return False
        if line[0] in " \t":
            return True
        if len(self._lines) > 1:
            return _CLOSED.match(line) is not None
        return begins_trace(line) and _is_bad(self._lines[0])

    def _continues(self, line: str, trace: re.Pattern[str]) -> bool:
        last = self._lines[-1]
        if line[0] in " \t":
            return True
        if trace is _PYTHON:
            if _PYTHON_AGAIN.match(line):
                return True
            if _PYTHON.match(line):
                return _PYTHON_AGAIN.match(last) is not None
            inside = last[0] in " \t" or _PYTHON.match(last) is not None
            return inside and _PYTHON_ERROR.match(line) is not None and formats.read_head(line, 0).level is None
        if trace is _GO:
            return _GO_WITHIN.match(line) is not None
        if _RUST.match(last) and last.endswith(":"):
            return True
        if _CARETS.match(last) and _ERROR.match(line):
            return True
        return _WITHIN.match(line) is not None or (not self._blank and _CLOSED.match(line) is not None)


def _kind(line: str) -> re.Pattern[str] | None:
    """How a trace goes on that this line begins, or is a frame of; None: it does neither."""
    for pattern in (_PYTHON, _GO, _RUST):
        if pattern.match(line):
            return pattern
    return _FRAME if _BEGINS.match(line) or _FRAME.match(line) else None


def _is_object(line: str) -> bool:
    return line[0] == "{" and line[-1] == "}" and len(line) > 2


def _is_bad(line: str) -> bool:
    """Whether it is a line of a log that says that something failed: a trace below it is what."""
    level = formats.read_head(line, 0).level
    return level is not None and level >= Level.WARN
