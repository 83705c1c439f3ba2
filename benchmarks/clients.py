"""Lean clients, so that on a machine with two cores the product gets most of the time: plain blocking sockets, one per
thread, that send bytes which were prepared beforehand.

Each tells what its caller must know about a failure: `NotSentError` (nothing of it can have arrived, send it again),
`RefusedError` (it arrived and was turned away) or `BrokenError` (the connection ended after something was sent, and
before the answer: nobody knows).
"""

from __future__ import annotations

import gzip
import socket
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Final, Self

from benchmarks.product import API_KEY, HOST, STREAM

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TIMEOUT: Final = 30.0  # seconds
PLAIN, GZIP, ZSTD = "identity", "gzip", "zstd"


class NotSentError(OSError):
    """There was no connection."""


class RefusedError(OSError):
    """The answer was an error."""


class BrokenError(OSError):
    """The connection ended before the answer was there."""


class Client:
    """A connection that is made when it is needed, and again after it broke."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None
        self._answers: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._answers:
            self._answers.close()
        if self._socket:
            self._socket.close()
        self._socket = self._answers = None

    def connect(self) -> None:
        """Raises NotSentError."""
        self._connected()

    def _send(self, data: bytes) -> IO[bytes]:
        """Sends, and returns the file to read the answer from."""
        connection, answers = self._connected()
        connection.sendall(data)
        return answers

    def _connected(self) -> tuple[socket.socket, IO[bytes]]:
        if self._socket is None or self._answers is None:
            try:
                self._socket = socket.create_connection((HOST, self.port), TIMEOUT)
            except OSError as error:
                raise NotSentError(*error.args) from error
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._answers = self._socket.makefile("rb")
        return self._socket, self._answers


class HttpClient(Client):
    """`POST /api/logs`."""

    def post(self, request: bytes) -> tuple[int, bytes]:
        """Sends what `http_request` made. Returns status and body of the answer."""
        try:
            answer = self._send(request)
            status = int(_line(answer).split(b" ", 2)[1])
            length = 0
            while header := _line(answer).strip().lower():
                if header.startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            return status, answer.read(length)
        except NotSentError:
            raise
        except OSError as error:
            self.close()
            raise BrokenError(*error.args) from error


class StreamClient(Client):
    """XADD to the log stream."""

    def add(self, commands: bytes, count: int) -> list[bytes]:
        """Sends `count` commands that `xadd` made in one go. Returns the ids of the entries."""
        try:
            answers = self._send(commands)
            return [_entry_id(answers) for _ in range(count)]
        except NotSentError:
            raise
        except RefusedError:
            self.close()  # with the answers that are still to come
            raise
        except OSError as error:
            self.close()
            raise BrokenError(*error.args) from error


def _line(answer: IO[bytes]) -> bytes:
    if line := answer.readline():
        return line
    raise BrokenError("the connection ended")


def _entry_id(answers: IO[bytes]) -> bytes:
    head = _line(answers)
    if not head.startswith(b"$"):
        raise RefusedError(head.decode(errors="replace").strip())
    return _line(answers).strip()


def http_request(body: bytes, encoding: str = PLAIN) -> bytes:
    """The bytes of a request with the body, packed by `encoding`."""
    packed = _packed(body, encoding)
    head = (
        "POST /api/logs HTTP/1.1\r\n"
        f"Host: {HOST}\r\n"
        f"Authorization: Bearer {API_KEY}\r\n"
        "Content-Type: application/x-ndjson\r\n"
        f"Content-Encoding: {encoding}\r\n"
        f"Content-Length: {len(packed)}\r\n\r\n"
    )
    return head.encode() + packed


def _packed(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(body, 6)
        case "zstd":
            return bytes(zstd.compress(body))
    return body


def xadd(*fields: bytes, stream: str = STREAM) -> bytes:
    """The bytes of one XADD with names and values in turn."""
    return resp(b"XADD", stream.encode(), b"*", *fields)


def resp(*words: bytes) -> bytes:
    return b"".join([b"*%d\r\n" % len(words), *[b"$%d\r\n%s\r\n" % (len(word), word) for word in words]])


def xadd_each(lines: Sequence[bytes], name: bytes = b"payload") -> bytes:
    """One XADD for each line, as services send them: one field that holds JSON."""
    return b"".join([xadd(name, line) for line in lines])
