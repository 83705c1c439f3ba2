"""The web server at SIGTERM: what is under way is finished, what has no end is sent off, and nobody new is let in."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from monitor import valkey
from tests.monitor.slow_answers import PART, PARTS
from tests.product import ROOT
from tests.waiting import until

START = "from monitor import web; web.PATIENCE = {}; web.Command.entrypoint()"


@contextmanager
def serving(patience: float) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = valkey.free_port()
    command = [sys.executable, "-c", START.format(patience), "-p", str(port), "tests.monitor.slow_answers:application"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: accepts(port), seconds=30)
            yield process, port
        finally:
            process.kill()


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Client:
    """One connection for each request, all of them closed at the end."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self.port, self.stack = port, stack

    def ask(self, path: str, length: int = 0) -> http.client.HTTPConnection:
        """Sends the beginning of a request; a body of `length` bytes is still to come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.stack.callback(connection.close)
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        return connection

    def answer(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        return self.stack.enter_context(connection.getresponse())


def test_what_is_under_way_is_finished_and_what_has_no_end_is_sent_off() -> None:
    # With more time than it has: on a busy machine it is the test that is slow.
    with serving(patience=60) as (process, port), connect(f"ws://127.0.0.1:{port}/live") as page, ExitStack() as stack:
        client = Client(port, stack)
        upload = client.ask("/", length=10)
        upload.send(b"12345")
        export, events = (client.answer(client.ask(path)) for path in ("/export", "/events"))
        assert export.read(len(PART)) == PART
        assert events.readline() == b"data: 1\n"

        process.terminate()

        until(lambda: not accepts(port), seconds=10)
        with pytest.raises(ConnectionClosed) as closed:
            page.recv(timeout=10)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1012  # come again
        assert events.read() == b"\n"  # a whole answer, and not one that broke off
        upload.send(b"67890")
        answer = client.answer(upload)
        assert (answer.read(), answer.getheader("connection")) == (b"10", "close")
        assert len(export.read()) == len(PART) * (PARTS - 1) + len("0")
        assert process.wait(30) == 0


def test_a_request_without_an_end_is_cut_when_the_time_is_up() -> None:
    with serving(patience=0.1) as (process, port), ExitStack() as stack:
        client = Client(port, stack)
        unanswered, unsent = client.ask("/never"), client.ask("/", length=10)
        assert client.answer(client.ask("/")).read() == b"0"  # the others have come before

        process.terminate()

        for each in (unanswered, unsent):
            with pytest.raises(ConnectionError):
                each.getresponse()
        assert process.wait(10) == 0
