"""How the time without an answer is found, and what a sender does when a web process is away."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from benchmarks import faults
from benchmarks.clients import HttpClient, NotSentError, http_request
from benchmarks.crash import Sender, Unit
from monitor.valkey import free_port


def sender(name: str, *acknowledged: float) -> Sender:
    made = Sender(name, 1, 1.0, lambda lines: b"", lambda request: 202)
    made.units = [Unit(f"{name}{number}", 1, at, at) for number, at in enumerate(acknowledged)]
    return made


def test_the_gap_is_that_of_all_who_post_together() -> None:
    several = [sender("post0-", 1.0, 2.0, 9.0), sender("post1-", 1.5, 5.0, 0.0), sender("xadd-", 3.0)]
    assert faults.longest_gap(several) == 4.0
    assert faults.longest_gap([]) == 0.0


def test_the_next_web_process_takes_what_one_that_is_away_does_not() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"accepted":1,"rejected":0}'
            self.send_response(202)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        away, there = HttpClient(free_port()), HttpClient(server.server_address[1])
        with there:
            assert faults.in_turn([away, there])(http_request(b"{}")) == 202
        thread.join()
    with pytest.raises(NotSentError, match="none of the web processes"):
        faults.in_turn([away])(http_request(b"{}"))
