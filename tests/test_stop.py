"""SIGTERM for each process of a running Pharos: it ends by itself, and its successor goes on with what it held."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.alerts.sinks import Request, Sink, http_sink
from tests.product import Product, run_in, running
from tests.waiting import until

LINES = 3_000
# Its lease is longer than the test waits: only one that is handed back is asked again in time.
ADD_CHECK = """
from services.models import Check, Service
Check.objects.create(service=Service.objects.create(name="shop"), name="slow", kind="http", timeout=60, interval=3600,
                     target="http://127.0.0.1:{port}/")
"""
# Four messages are as many as one channel has under way: two are sent at a time, two wait for them.
TELL = """
from django.db import transaction
from django.utils import timezone
from alerts import deliveries
from alerts.models import Channel, Receiver
from alerts.samples import sample
now, receiver = timezone.now(), Receiver.objects.create(name="slow")
with transaction.atomic():
    for path, messages in (("slow", 1), ("silent", 4)):
        channel = Channel.objects.create(receiver=receiver, kind="webhook", options={{"url": "{url}/" + path}})
        for _ in range(messages):
            deliveries.enqueue([channel], sample("slow", reason="firing"), reason="firing", now=now)
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
        with receivers() as (sink, answer):
            run_in(product, TELL.format(url=sink.url))
            until(lambda: len(sink.requests) == 3)
            terminate(product, "worker", meanwhile=answer)
            until(lambda: asked.times == 2, seconds=30)
            until(lambda: len(sink.requests) == 5)
            told = [(request.path, request.headers["webhook-id"]) for request in sink.requests]
            assert len(set(told)) == 5
            until(lambda: len(delivered(product)) == 3)
            # By the first try: the worker did not leave it to the end of its lease.
            assert sorted(delivered(product)) == [("silent", 1), ("silent", 1), ("slow", 1)]

        terminate(product, "beat")
        sender.join()
        terminate(product, "web")
        until(lambda: count(product) == LINES, ignoring=OSError)


def terminate(product: Product, name: str, meanwhile: Callable[[Product], object] = lambda _: None) -> None:
    """Returns when it has ended without being killed, and its successor runs."""
    before = product.pids()[name]
    os.kill(before, signal.SIGTERM)
    meanwhile(product)
    ended = rf"\b{name} (ended with|was ended by) (.+?)\."
    until(lambda: re.search(ended, product.output.read_text()), seconds=30)
    found = re.search(ended, product.output.read_text())
    assert found
    assert found[2] == "exit code 0"
    until(lambda: product.pids().get(name, before) != before)


@contextmanager
def receivers() -> Iterator[tuple[Sink, Callable[[Product], None]]]:
    """One answers when the worker has begun to stop, the other one never to those of its messages that came before."""
    stopping, over = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if request.path == "/slow":
            stopping.wait(60)
        elif not stopping.is_set():
            over.wait(60)

    def answer(product: Product) -> None:
        until(lambda: "Warm shutdown" in product.output.read_text())
        stopping.set()

    with http_sink() as sink:
        sink.hold = hold
        try:
            yield sink, answer
        finally:
            stopping.set()
            over.set()


def delivered(product: Product) -> list[tuple[str, int]]:
    """To whom, and by which try."""
    path = product.directory / "data" / "pharos.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
        rows = database.execute(
            "SELECT options, attempts FROM alerts_delivery JOIN alerts_channel ON channel_id = alerts_channel.id "
            "WHERE outcome = 'delivered'"
        ).fetchall()
    return [(json.loads(options)["url"].rpartition("/")[2], attempts) for options, attempts in rows]


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
