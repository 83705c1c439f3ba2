"""Long answers on a real Daphne: no faster than the client reads, and visibly cut when they fail."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from monitor import valkey
from tests.product import ROOT
from tests.waiting import until


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = valkey.free_port()
    command = [sys.executable, "-m", "daphne", "-p", str(port), "tests.monitor.long_answers:application"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        until(lambda: parts_sent(port) == 0, seconds=20, ignoring=OSError)
        yield port
        process.terminate()


@contextmanager
def get(port: int, path: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()


def parts_sent(port: int) -> int:
    with get(port, "/") as answer:
        found: dict[str, Any] = json.load(answer)
    return int(found["parts"])


def test_the_server_waits_for_a_client_that_reads_slowly(port: int) -> None:
    before = parts_sent(port)
    with get(port, "/flood") as answer:
        answer.read(65_536)
        time.sleep(1)
        # What fits into the buffers of the two sockets, and a little of the server's own.
        assert 1 <= parts_sent(port) - before < 400
        while answer.read(1 << 20):
            pass
    assert parts_sent(port) - before == 4_000


def test_a_client_that_leaves_takes_nobody_with_it(port: int) -> None:
    with get(port, "/flood") as answer:
        answer.read(65_536)
    assert parts_sent(port)


@pytest.mark.parametrize("attempt", ["first", "second"])
def test_an_answer_that_fails_in_the_middle_is_cut_and_the_next_one_is_whole(port: int, attempt: str) -> None:
    began = time.monotonic()
    with get(port, "/broken") as answer, pytest.raises((ConnectionError, http.client.IncompleteRead)):
        answer.read()
    assert time.monotonic() - began < 5
    assert parts_sent(port) >= 0
