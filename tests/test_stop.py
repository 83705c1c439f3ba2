"""SIGTERM for each process of a running Pharos: it ends by itself, and its successor goes on with what it held."""

from __future__ import annotations

import http.server
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.product import Product, run_in, running
from tests.waiting import until

LINES = 3_000
# Its lease is longer than the test waits: only one that is handed back is asked again in time.
ADD_CHECK = """
from services.models import Check, Service
Check.objects.create(service=Service.objects.create(name="shop"), name="slow", kind="http", timeout=60, interval=3600,
                     target="http://127.0.0.1:{port}/")
"""


@pytest.mark.xdist_group("product")
def test_each_process_ends_by_itself_and_its_successor_goes_on_with_what_it_held() -> None:
    with running() as product, silent_server() as asked:
        run_in(product, ADD_CHECK.format(port=asked.port))
        sender = threading.Thread(target=send, args=(product,))
        sender.start()
        until(lambda: len(product.find("sent")) > 0)
        terminate(product, "ingest")

        until(lambda: asked.times == 1)
        terminate(product, "worker")
        until(lambda: asked.times == 2, seconds=30)

        terminate(product, "beat")
        sender.join()
        terminate(product, "web")
        until(lambda: count(product) == LINES, ignoring=OSError)


def terminate(product: Product, name: str) -> None:
    """Returns when it has ended without being killed, and its successor runs."""
    before = product.pids()[name]
    os.kill(before, signal.SIGTERM)
    ended = rf"\b{name} (ended with|was ended by) (.+?)\."
    until(lambda: re.search(ended, product.output.read_text()), seconds=30)
    found = re.search(ended, product.output.read_text())
    assert found
    assert found[2] == "exit code 0"
    until(lambda: product.pids().get(name, before) != before)


def send(product: Product) -> None:
    for first in range(0, LINES, 100):
        product.send(*[{"message": f"sent {number}", "service": "stop"} for number in range(first, first + 100)])


def count(product: Product) -> int:
    answer = product.request("/api/logs/histogram?from=-1h&q=service:stop&step=3600")
    return sum(sum(bucket["counts"].values()) for bucket in answer["buckets"])


class Asked:
    def __init__(self) -> None:
        self.times, self.port = 0, 0
        self.over = threading.Event()


@contextmanager
def silent_server() -> Iterator[Asked]:
    """Counts who asks, and answers at the end."""
    asked = Asked()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.times += 1
            asked.over.wait(60)

        def log_message(self, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            asked.over.set()
            server.shutdown()
            thread.join()
