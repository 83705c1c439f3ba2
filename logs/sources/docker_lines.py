"""The log of a container as an engine sends it: bytes in, lines with their place in it out. Pure.

It comes in two forms. Without a terminal, each message has a header of 8 bytes that names its stream and length
("Stream format" in the Engine API's ContainerAttach); with a terminal there is only text. In both a message begins with
its time, in nanoseconds. The engine cuts a line of more than 16 KiB into messages that all have the time of the first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import msgspec

CUT: Final = b" ... [cut by Pharos: the line is longer than 1 MiB]"
LINE_MAX: Final = (1 << 20) - len(CUT)  # bytes; the rest of a longer line is dropped
MESSAGE_MAX: Final = 2 << 20  # bytes of one message; what says that it is longer is no message
STREAMS: Final = ("stdout", "stderr")
# Two streams are written by two threads of the engine, and clocks are set back a little: a message may stand behind one
# of the other stream that is younger by so much.
SKEW: Final = 10_000_000_000  # ns

_HEADER: Final = struct.Struct(">BxxxI")
_KINDS: Final = {0: "stdout", 1: "stdout", 2: "stderr"}  # 0 is stdin, which engines write on stdout
_ENGINE_ERROR: Final = 3
_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")


class LogError(ValueError):
    """The log can't be read any further. The text is a sentence for people."""


class Line(NamedTuple):
    stream: str
    at: int  # ns since the epoch, as the engine took it
    text: bytes


@lru_cache(maxsize=1_024)
def _second(date: bytes, zone: bytes) -> int:
    return int(datetime.fromisoformat((date + zone).decode()).timestamp())


def nanoseconds(text: bytes) -> int:
    """RFC 3339 with up to nine digits, as engines write it. Raises LogError."""
    found = _TIME.match(text + b" ")
    if not found:
        raise LogError(f"expected a time like 2026-11-21T10:30:45.123456789Z, got {text[:40]!r}")
    return _moment(found)


def _moment(found: re.Match[bytes]) -> int:
    date, fraction, zone = found.groups()
    try:
        return _second(date, zone) * 1_000_000_000 + int((fraction or b"").ljust(9, b"0"))
    except ValueError as error:
        raise LogError(f"expected a time, got {found[0]!r}: {error}") from None


# --- Reading -------------------------------------------------------------------------------------------------------


class _Part:
    """The beginning of a line whose end has not come. Never more than LINE_MAX bytes are kept."""

    def __init__(self, stream: str, at: int) -> None:
        self.stream, self.at = stream, at
        self._text = bytearray()
        self._cut = False

    def add(self, text: bytes) -> None:
        room = LINE_MAX - len(self._text)
        self._text += text[:room]
        self._cut |= len(text) > room

    def line(self) -> Line:
        return Line(self.stream, self.at, bytes(self._text) + CUT * self._cut)


class Reader(Protocol):
    def feed(self, data: bytes) -> list[Line]:
        """The lines that end in `data`, which was cut off anywhere. Raises LogError."""

    def finish(self) -> list[Line]:
        """When a program has ended: its last words, without a line end."""

    def begun(self, stream: str) -> int | None:
        """The time of a line that has begun and not ended."""


class Multiplexed:
    """The log of a container without a terminal."""

    def __init__(self) -> None:
        self._rest = b""
        self._parts: dict[str, _Part] = {}

    def feed(self, data: bytes) -> list[Line]:
        data = self._rest + data
        lines: list[Line] = []
        place = 0
        while len(data) - place >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, place)
            if kind not in (*_KINDS, _ENGINE_ERROR) or length > MESSAGE_MAX:
                raise LogError(f"expected the header of a message, got {data[place : place + 8]!r}")
            end = place + _HEADER.size + length
            if end > len(data):
                break
            message = data[place + _HEADER.size : end]
            if kind == _ENGINE_ERROR:
                raise LogError(f"the engine says: {message.decode('utf-8', 'replace').strip()[:500]}")
            lines += self._lines(_KINDS[kind], message)
            place = end
        self._rest = data[place:]
        return lines

    def _lines(self, stream: str, message: bytes) -> Iterator[Line]:
        found = _TIME.match(message)
        if not found:
            raise LogError(f"expected a time at the beginning of a message, got {message[:40]!r}")
        at, text = _moment(found), message[found.end() :]
        part = self._parts.pop(stream, None)
        if part and part.at != at:  # a program ended without a line end, and the next one goes on
            yield part.line()
            part = None
        ended = text.endswith(b"\n")
        if ended and not part and len(text) <= LINE_MAX:
            yield Line(stream, at, text[:-1])
            return
        part = part or _Part(stream, at)
        part.add(text.removesuffix(b"\n"))
        if ended:
            yield part.line()
        else:
            self._parts[stream] = part

    def finish(self) -> list[Line]:
        lines = [part.line() for part in self._parts.values()]
        self._parts.clear()
        return lines

    def begun(self, stream: str) -> int | None:
        part = self._parts.get(stream)
        return part.at if part else None


class Terminal:
    """The log of a container with a terminal, which has no stderr.

    Nothing says where a message ends, so times within a line are looked at. The line's own time once more: the engine
    has cut the line there. A later time: the line before it had no end, and another begins. An earlier time is text of
    the program, for the time of a line is taken when it is written.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Line]:
        lines: list[Line] = []
        *ended, rest = data.split(b"\n")
        for text in ended:
            self._keep(text)
            lines += self._lines()
        self._keep(rest)
        return lines

    def _keep(self, text: bytes) -> None:
        # A little more than a line, for the times in it.
        self._rest += text[: max(MESSAGE_MAX - len(self._rest), 0)]

    def _lines(self) -> Iterator[Line]:
        text = bytes(self._rest)
        self._rest.clear()
        found = _TIME.match(text)
        if not found:
            raise LogError(f"expected a time at the beginning of a line, got {text[:40]!r}")
        part, begin = _Part("stdout", _moment(found)), found.end()
        for found in _TIME.finditer(text, begin):
            at = _moment(found)
            if at >= part.at:
                part.add(text[begin : found.start()])
                begin = found.end()
            if at > part.at:
                yield part.line()
                part = _Part("stdout", at)
        part.add(text[begin:].removesuffix(b"\r"))
        yield part.line()

    def finish(self) -> list[Line]:
        return list(self._lines()) if self._rest else []

    def begun(self, stream: str) -> int | None:
        found = _TIME.match(self._rest)
        return _moment(found) if found and stream == "stdout" else None


# --- Places --------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Up to which line a stream was read: engines can be asked for lines since a time, and several may have one."""

    at: int = 0  # ns, of the last line
    lines: int = 0  # that have exactly this time, up to the last


class Position(msgspec.Struct):
    """Up to where the log of a container was sent. What is kept of it in Redis."""

    since: int  # ns: no line that was not sent is older
    stdout: Place = Place()
    stderr: Place = Place()


class Track:
    """The way along one stream of a log, from the place where it was left."""

    def __init__(self, sent: Place) -> None:
        self.sent = sent
        self._read = sent
        self._again: Place | None = sent  # lines up to here come again, until one comes that lies behind
        self._seen_again = 0
        self._waiting: int | None = None  # time of the oldest line that was read and not sent

    def read(self, at: int) -> Place | None:
        """The place of the next line, None if it was sent before."""
        if self._again:
            if at < self._again.at:
                return None
            if at == self._again.at and self._seen_again < self._again.lines:
                self._seen_again += 1
                return None
            self._again = None
        self._read = Place(at, self._read.lines + 1 if at == self._read.at else 1)
        if self._waiting is None:
            self._waiting = at
        return self._read

    def send(self, place: Place) -> None:
        """All up to this place was sent."""
        self.sent = place
        self._waiting = None if place == self._read else place.at

    def settle(self) -> None:
        """All that was read was sent, or was nothing to send."""
        self.send(self._read)

    @property
    def waiting(self) -> bool:
        return self._waiting is not None

    def since(self, begun: int | None, at: int) -> int:
        """No line of this stream that was not sent is older, when the whole log was read up to the time `at`."""
        waits = [moment for moment in (self._waiting, begun) if moment is not None]
        return max(min([at, *waits]) - SKEW, self.sent.at)
