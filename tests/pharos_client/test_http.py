"""HTTP: what the client makes of each answer."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pharos_client import Settings
from pharos_client.transports import RETRY_AFTER_MAX, AwayError, HttpTransport, RefusedError

LINES = [b'{"message":"one"}', b'{"message":"two"}']


class Answers(BaseHTTPRequestHandler):
    """Answers with the first of `planned`, and keeps what came."""

    protocol_version = "HTTP/1.1"
    planned: list[tuple[int, bytes, dict[str, str]]] = []
    came: list[tuple[str, dict[str, str], bytes]] = []
    closes = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append((self.path, dict(self.headers), body))
        status, text, headers = self.planned.pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = self.closes  # without saying so

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def answers() -> Iterator[type[Answers]]:
    class Own(Answers):
        planned: list[tuple[int, bytes, dict[str, str]]] = []
        came: list[tuple[str, dict[str, str], bytes]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    Own.server_version = str(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Own
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def transport(answers: type[Answers]) -> Iterator[HttpTransport]:
    transport = HttpTransport(Settings(url=f"http://127.0.0.1:{answers.server_version}/pharos/", api_key="k"))
    yield transport
    transport.forget()


def test_lines_are_posted_with_the_key(answers: type[Answers], transport: HttpTransport) -> None:
    answers.planned = [(202, b'{"accepted":2,"rejected":[]}', {})] * 2
    assert transport.send(LINES) == ""
    assert transport.send(LINES * 100) == ""
    (path, headers, body), (_, packed_headers, packed) = answers.came
    assert path == "/pharos/api/logs"
    assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer k", "application/x-ndjson")
    assert body == b"\n".join(LINES)
    assert packed_headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == b"\n".join(LINES * 100)


def test_a_line_that_was_rejected_is_told(answers: type[Answers], transport: HttpTransport) -> None:
    answers.planned = [(202, b'{"accepted":1,"rejected":[{"line":2,"error":"expected JSON"}]}', {})]
    assert transport.send(LINES) == "1 lines were rejected: expected JSON"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 302])
def test_what_is_refused_is_never_sent_again(answers: type[Answers], transport: HttpTransport, status: int) -> None:
    answers.planned = [(status, b'{"error":"because"}', {})]
    with pytest.raises(RefusedError, match=f"HTTP {status}: because"):
        transport.send(LINES)


@pytest.mark.parametrize(
    ("status", "retry_after", "seconds"),
    [
        (429, "5", 5.0),
        (503, "0", 0.0),
        (503, "100000", RETRY_AFTER_MAX),
        (502, "", None),
        (503, "soon", None),
        (503, "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (503, "Wed, 21 Oct 2099 07:28:00 GMT", RETRY_AFTER_MAX),
    ],
)
def test_what_is_too_much_now_is_sent_later(
    answers: type[Answers], transport: HttpTransport, status: int, retry_after: str, seconds: float | None
) -> None:
    answers.planned = [(status, b"<html>busy</html>", {"Retry-After": retry_after} if retry_after else {})]
    with pytest.raises(AwayError, match=f"HTTP {status}: <html>busy") as raised:
        transport.send(LINES)
    assert raised.value.retry_after == seconds


def test_a_kept_connection_that_was_closed_is_opened_again(answers: type[Answers], transport: HttpTransport) -> None:
    answers.planned = [(202, b"{}", {})] * 2
    answers.closes = True
    transport.send(LINES)
    transport.send(LINES)
    assert len(answers.came) == 2


def test_nobody_at_the_address_is_away() -> None:
    transport = HttpTransport(Settings(url="http://127.0.0.1:1", api_key="k"))
    with pytest.raises(AwayError, match="ConnectionRefusedError"):
        transport.send(LINES)
