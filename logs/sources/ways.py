"""What a way in over HTTP is: which bodies it takes, what lines they hold, and how its protocol puts an answer.

A way is one file beside this one, with one line in `logs.edge.WAYS`. The edge does what they share: key, bounds,
unpacking, the log stream. Later ways (GELF, Elasticsearch's _bulk) need no more than this either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from logs.lines import Lines
from logs.records import lenient

LINE_COST: Final = 64  # bytes that a line counts for, however short: an empty one needs memory, too


class Body(NamedTuple):
    data: bytes  # unpacked, as far as Content-Encoding says how
    content_type: str  # without parameters, in small letters
    received: int  # µs
    longest: int  # bytes that it may have, unpacked


class Parsed(msgspec.Struct):
    """What a body held, with the lines' places as sequences. Rejected lines are (number from 1, reason)."""

    records: Lines
    rejected: list[tuple[int, str]]


class Answer(NamedTuple):
    status: int
    content_type: str = ""
    body: bytes = b""


class Refused(Exception):  # noqa: N818 - an answer
    """Nothing of the body was taken. The text is for the sender."""

    def __init__(
        self, status: int, error: str, retry_after: int = 0, rejected: Sequence[tuple[int, str]] | None = None
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.retry_after, self.rejected = status, error, retry_after, rejected


class Way(ABC):
    name: str  # what its lines are counted under
    content_types: frozenset[str]
    expected: str  # the usual ones of them, for a sentence
    unpacked_by_parse: frozenset[str] = frozenset()  # values of Content-Encoding that are left to `parse`

    @abstractmethod
    def parse(self, body: Body) -> Parsed:
        """The lines of a body. May run in a thread. Raises Refused if it can't be read at all."""

    @abstractmethod
    def taken(self, parsed: Parsed, content_type: str) -> Answer:
        """The answer when the lines are in the log stream."""

    @abstractmethod
    def refused(self, refused: Refused, content_type: str) -> Answer:
        """The answer when none is. Retry-After and WWW-Authenticate are for the edge to add."""


class WrittenOut:
    """Counts what a body holds once that which its lines share (labels, resources) stands in each of them.

    Without this, some megabytes of labels over a million empty lines would fill the memory.
    """

    def __init__(self, longest: int) -> None:
        self.longest = self.left = longest

    def add(self, lines: int, shared: int) -> None:
        """`shared` is the number of bytes that each of the lines gets. Raises Refused."""
        self.left -= lines * (shared + LINE_COST)
        if self.left < 0:
            raise too_long(self.longest)


def too_long(longest: int) -> Refused:
    return Refused(
        413, f"expected at most {longest:,} bytes (PHAROS_LOG_BODY_MAX_BYTES), unpacked; send smaller bodies"
    )


T = TypeVar("T")


def leniently(decode: Callable[[bytes], T], data: bytes) -> T:
    """JSON as serializers write it: also with NaN, half a surrogate pair, bytes that are no UTF-8.

    Raises msgspec.DecodeError, RecordError or RecursionError.
    """
    try:
        return decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return decode(lenient(data, error))
