"""What an engine sends becomes lines, however it is cut; and a log that is read again goes on where it was left."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs.sources.docker_lines import (
    CUT,
    LINE_MAX,
    SKEW,
    Line,
    LogError,
    Multiplexed,
    Place,
    Reader,
    Terminal,
    Track,
    nanoseconds,
)

T = "2026-11-21T10:30:45.12345678"  # and one more digit
AT = 1_795_257_045_123_456_780


def message(text: bytes, digit: int = 0, kind: int = 1) -> bytes:
    body = f"{T}{digit}Z ".encode() + text
    return struct.pack(">BxxxI", kind, len(body)) + body


def lines(reader: Reader, data: bytes, size: int = 1 << 30) -> list[Line]:
    found = [line for at in range(0, len(data), size) for line in reader.feed(data[at : at + size])]
    return found + reader.finish()


# --- Times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-21T10:30:45.123456789Z", AT + 9),
        ("2026-11-21T11:30:45.123456789+01:00", AT + 9),
        ("2026-11-21T10:30:45.5Z", 1_795_257_045_500_000_000),
        ("2026-11-21T10:30:45Z", 1_795_257_045_000_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: str, at: int) -> None:
    assert nanoseconds(text.encode()) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-21T10:30:45Z", "2026-11-21 10:30:45Z", "1795257045"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(LogError, match="expected a time"):
        nanoseconds(text.encode())


# --- Messages with headers -----------------------------------------------------------------------------------------

LOG = b"".join(
    [
        message(b"one\n", 1),
        message(b"two\n", 2, kind=2),
        message(b"x" * 16_384, 3),
        message(b"between\n", 4, kind=2),
        message(b"y" * 16_384, 3),
        message(b"z\n", 3),
        message(b"\n", 5),
        message(b"no end", 6),
        message(b"next run\n", 7),
        message(b"last words", 8),
    ]
)
LINES = [
    Line("stdout", AT + 1, b"one"),
    Line("stderr", AT + 2, b"two"),
    Line("stderr", AT + 4, b"between"),
    Line("stdout", AT + 3, b"x" * 16_384 + b"y" * 16_384 + b"z"),
    Line("stdout", AT + 5, b""),
    Line("stdout", AT + 6, b"no end"),
    Line("stdout", AT + 7, b"next run"),
    Line("stdout", AT + 8, b"last words"),
]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40_000))
def test_messages_are_read_however_they_are_cut(size: int) -> None:
    assert lines(Multiplexed(), LOG, size) == LINES


def test_messages_are_read_byte_by_byte() -> None:
    short = message(b"one\n", 1) + message(b"two\n", 2, kind=2)
    assert lines(Multiplexed(), short, 1) == LINES[:2]


def test_a_line_that_is_too_long_is_cut() -> None:
    log = message(b"x" * 16_384) * 100 + message(b"\n") + message(b"y\n", 1)
    assert lines(Multiplexed(), log) == [Line("stdout", AT, b"x" * LINE_MAX + CUT), Line("stdout", AT + 1, b"y")]


def test_what_the_engine_says_itself_ends_the_reading() -> None:
    said = b"Error grabbing logs: unexpected EOF"
    with pytest.raises(LogError, match="the engine says: Error grabbing logs"):
        Multiplexed().feed(struct.pack(">BxxxI", 3, len(said)) + said)


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n", b"\1\0\0\0\xff\xff\xff\xff", b"\1\0\0\0\0\0\0\3abc"])
def test_what_is_no_message_is_said(data: bytes) -> None:
    with pytest.raises(LogError, match="expected"):
        Multiplexed().feed(data)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_lines_or_an_error(chunks: list[bytes]) -> None:
    for reader in (Multiplexed(), Terminal()):
        try:
            for chunk in chunks:
                reader.feed(chunk)
        except LogError:
            continue


# --- A terminal ----------------------------------------------------------------------------------------------------


def text(line: bytes, digit: int) -> bytes:
    return f"{T}{digit}Z ".encode() + line


def test_the_log_of_a_terminal() -> None:
    log = (
        text(b"\x1b[1mone\x1b[0m\r\n", 1)
        + text(b"x" * 16_384, 2) + text(b"y" * 16_384, 2) + text(b"z\r\n", 2)  # cut by the engine
        + text(b"$ ", 3) + text(b"next run\r\n", 4)  # a prompt without an end
        + text(b"quoted: " + text(b"earlier\r\n", 1), 5)  # what docker logs -t prints
        + text(b"last words", 6)
    )  # fmt: skip
    expected = [
        (1, b"\x1b[1mone\x1b[0m"),
        (2, b"x" * 16_384 + b"y" * 16_384 + b"z"),
        (3, b"$ "),
        (4, b"next run"),
        (5, b"quoted: " + text(b"earlier", 1)),
        (6, b"last words"),
    ]
    for size in (1, 7, 1_000, 16_384, 1 << 20):
        found = lines(Terminal(), log, size)
        assert [(line.at - AT, line.text) for line in found] == expected
        assert {line.stream for line in found} == {"stdout"}


def test_a_terminal_without_line_ends_fills_no_memory() -> None:
    reader = Terminal()
    reader.feed(text(b"", 1))
    for _ in range(100):
        assert reader.feed(b"x" * 65_536) == []
    [line] = reader.feed(b"\n")
    assert line.text == b"x" * LINE_MAX + CUT


# --- Places --------------------------------------------------------------------------------------------------------


def test_of_several_lines_with_one_time_each_is_read_once() -> None:
    log = [1, 2, 2, 2, 3, 3, 4]
    for left in range(len(log) + 1):
        first = Track(Place())
        for at in log[:left]:
            place = first.read(at)
            assert place
            first.send(place)
        again = Track(first.sent)
        assert [at for at in log if at >= first.sent.at and again.read(at)] == log[left:]


def test_lines_older_than_the_last_count_when_they_come_after_it() -> None:
    """A clock that was set back."""
    track = Track(Place(100, 1))
    assert [track.read(at) for at in (99, 100, 101, 50, 50)] == [None, None, Place(101, 1), Place(50, 1), Place(50, 2)]


def test_a_stream_that_is_silent_does_not_hold_the_others_back() -> None:
    stdout, stderr = Track(Place()), Track(Place())
    for at in (1, SKEW * 2, SKEW * 5):
        if place := stdout.read(at):
            stdout.send(place)
    assert stdout.since(None, SKEW * 5) == SKEW * 5
    assert stderr.since(None, SKEW * 5) == SKEW * 4


def test_what_was_read_and_not_sent_is_asked_for_again() -> None:
    track = Track(Place())
    for at in (1, SKEW * 2, SKEW * 3, SKEW * 4):
        track.read(at)
    track.send(Place(SKEW * 2, 1))
    assert track.since(None, SKEW * 9) == SKEW * 2
    assert track.since(SKEW, SKEW * 9) == SKEW * 2, "a line never begins before one that was sent"
    track.settle()
    assert track.since(None, SKEW * 9) == SKEW * 8
    assert track.since(SKEW * 6, SKEW * 9) == SKEW * 5, "a line that has begun and not ended"
