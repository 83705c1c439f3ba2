"""Lines per second through the whole pipeline, from a sender to the store.

    python -m benchmarks.pipeline --lines 300000 --senders 2

Every row starts the product anew, sends the same lines and stops the clock when all of them are stored and searchable.
Rows: POST of bodies of 1,000 lines, plain and packed; XADD with a line per entry, pipelined; XADD with 1,000 lines per
entry as JSON, and as the sealed chunks that the product's own edge puts there. Senders share the machine with the
product: `client` is their CPU time. The exit code is 1 if a line is missing or was stored twice.
"""

from __future__ import annotations

import argparse
import math
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import corpus, report
from benchmarks.clients import GZIP, PLAIN, ZSTD, HttpClient, StreamClient, http_request, xadd, xadd_each
from benchmarks.product import NAMES, SECRET_KEY, Product, committed, run

BODY_LINES: Final = 1_000
STORE_TIMEOUT: Final = 60.0  # seconds without any progress
LOOK_EVERY: Final = 0.02
RETRY_AFTER: Final = 0.2
MINUTE: Final = 60_000_000  # µs
CPU_OF: Final = (*NAMES, "client")
NOT_OURS: Final = "-service:pharos-*"  # leaves out what Pharos says of itself


@dataclass
class Load:
    """What one row sends: the bytes of one request each, ready to go."""

    name: str
    requests: list[bytes]
    over_http: bool
    entries: int  # in one request


@dataclass
class Figures:
    """Seconds; CPU seconds by process; bytes."""

    accepted_in: float = math.nan
    stored_in: float = math.nan
    answers: list[float] = field(default_factory=list)  # from each request to its answer
    retries: int = 0
    cpu: dict[str, float] = field(default_factory=dict)
    stored: int = 0
    block_bytes: float = math.nan
    file_bytes: int = 0


def _each(body: bytes) -> bytes:
    return xadd_each(body.split(b"\n"))


def _whole(body: bytes) -> bytes:
    return xadd(b"lines", body)


def _http(name: str, bodies: Sequence[bytes], encoding: str) -> Load:
    return Load(name, [http_request(body, encoding) for body in bodies], over_http=True, entries=1)


def _stream(name: str, bodies: Sequence[bytes], entries: int, command: Callable[[bytes], bytes]) -> Load:
    return Load(name, [command(body) for body in bodies], over_http=False, entries=entries)


def _chunks(bodies: Sequence[bytes]) -> Load:
    """As the edge makes them, with the installation's secret."""
    with TemporaryDirectory() as directory:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "monitor.settings",
            "PHAROS_DATA_DIR": directory,
            "PHAROS_SECRET_KEY": SECRET_KEY,
        }
        import django

        django.setup()
        from logs.sources import json_lines
        from logs.stream import chunks

        received = corpus.now()
        requests = []
        for body in bodies:
            (entry,) = chunks(json_lines.parse(body, received).records)
            requests.append(xadd(*(word for pair in entry.items() for word in pair)))
    return Load("XADD, sealed chunks", requests, over_http=False, entries=1)


# By the names that --only takes. Each is as large as all lines together, so it is made when its turn comes.
WAYS: Final[dict[str, Callable[[Sequence[bytes]], Load]]] = {
    "http": partial(_http, "POST, plain", encoding=PLAIN),
    "gzip": partial(_http, "POST, gzip", encoding=GZIP),
    "zstd": partial(_http, "POST, zstd", encoding=ZSTD),
    "entries": partial(_stream, "XADD, a line per entry", entries=BODY_LINES, command=_each),
    "json": partial(_stream, "XADD, 1,000 lines per entry", entries=1, command=_whole),
    "chunks": _chunks,
}


# --- One row ---------------------------------------------------------------------------------------------------------


def measure(load: Load, lines: int, senders: int, settle: float) -> Figures:
    figures = Figures()
    with Product() as product:
        _warm_up(product)
        with product.database() as database:
            before, _ = committed(database)
            cpu, own_cpu = product.cpu(), time.process_time()
            began = time.monotonic()
            _send(product, load, senders, figures)
            figures.accepted_in = time.monotonic() - began
            _await_lines(database, before + lines)
            figures.stored_in = time.monotonic() - began
            figures.cpu = {name: used - cpu.get(name, 0.0) for name, used in product.cpu().items()}
            figures.cpu["client"] = time.process_time() - own_cpu
            figures.stored = _count(product, lines)
            _await_merges(database, settle)
            figures.block_bytes = _block_bytes(database)
        # The last one to close the file moves the write-ahead log into it.
        product.stop()
        figures.file_bytes = product.file_bytes()
    return figures


def _warm_up(product: Product) -> None:
    """One line: connections are there and the key is known."""
    with HttpClient(product.port) as client:
        status, answer = client.post(http_request(b'{"service":"pharos-benchmark","message":"warm-up"}'))
    if status != 202:
        raise SystemExit(f"The first line was answered with {status}: {answer.decode()}")
    while product.waiting() != 0:
        time.sleep(0.1)


def _send(product: Product, load: Load, senders: int, figures: Figures) -> None:
    send = _post if load.over_http else _add
    shares = [load.requests[sender::senders] for sender in range(senders)]
    with ThreadPoolExecutor(senders) as pool:
        for answers, retries in pool.map(lambda share: send(product, share, load.entries), shares):
            figures.answers += answers
            figures.retries += retries


def _post(product: Product, requests: Sequence[bytes], _entries: int) -> tuple[list[float], int]:
    answers, retries = [], 0
    with HttpClient(product.port) as client:
        for request in requests:
            began = time.monotonic()
            while (answer := client.post(request))[0] != 202:
                if answer[0] not in (429, 503):
                    raise SystemExit(f"A body was answered with {answer[0]}: {answer[1].decode()[:300]}")
                retries += 1
                time.sleep(RETRY_AFTER)
            answers.append(time.monotonic() - began)
    return answers, retries


def _add(product: Product, requests: Sequence[bytes], entries: int) -> tuple[list[float], int]:
    answers = []
    with StreamClient(product.redis_port) as client:
        for request in requests:
            began = time.monotonic()
            client.add(request, entries)
            answers.append(time.monotonic() - began)
    return answers, 0


def _await_lines(database: sqlite3.Connection, wanted: int) -> None:
    stored, moved_at = 0, time.monotonic()
    while stored < wanted:
        time.sleep(LOOK_EVERY)
        now_stored, _ = committed(database)
        if now_stored > stored:
            stored, moved_at = now_stored, time.monotonic()
        elif time.monotonic() - moved_at > STORE_TIMEOUT:
            report.progress(f"nothing was stored for {STORE_TIMEOUT:g} s, at {stored:,} of {wanted:,} lines")
            return


def _count(product: Product, lines: int) -> int:
    """How many of the lines a search finds, once the stream is empty."""
    deadline = time.monotonic() + STORE_TIMEOUT
    while product.waiting() != 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    minutes = 2 * lines * corpus.STEP // MINUTE + 1
    begin = corpus.START - corpus.START % MINUTE
    return product.count(NOT_OURS, begin, begin + minutes * MINUTE)


def _await_merges(database: sqlite3.Connection, settle: float) -> None:
    """Until the upkeep, which comes every 5 s, has left the blocks alone for a while."""
    blocks, moved_at, deadline = 0, time.monotonic(), time.monotonic() + settle
    while time.monotonic() < min(moved_at + 7, deadline):
        time.sleep(0.5)
        (now_blocks,) = database.execute("SELECT COUNT(*) FROM logs_logblock").fetchone()
        if now_blocks != blocks:
            blocks, moved_at = now_blocks, time.monotonic()


def _block_bytes(database: sqlite3.Connection) -> float:
    """For each line."""
    row = database.execute("SELECT SUM(size + LENGTH(header) + LENGTH(commits)), SUM(lines) FROM logs_logblock")
    size, lines = row.fetchone()
    return size / lines if lines else math.nan


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = (
    "way in", "accepted/s", "stored/s", "answer ms p50", "p99", "again",
    *(f"{name} s" for name in CPU_OF), "B/line blocks", "file",
)  # fmt: skip


def row(name: str, figures: Figures, lines: int) -> list[report.Cell]:
    answers = [1_000 * each for each in figures.answers]
    return [
        name,
        round(lines / figures.accepted_in),
        round(lines / figures.stored_in),
        report.percentile(answers, 0.5),
        report.percentile(answers, 0.99),
        figures.retries,
        *(figures.cpu.get(process, math.nan) * 1e6 / lines for process in CPU_OF),
        figures.block_bytes,
        figures.file_bytes / lines,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures lines per second through the whole pipeline.")
    parser.add_argument("--lines", type=int, default=300_000, help="lines that each row sends")
    parser.add_argument("--senders", type=int, default=2, help="connections that send at the same time")
    parser.add_argument("--settle", type=float, default=30.0, help="seconds for merging, before bytes are counted")
    parser.add_argument("--only", default=",".join(WAYS), help=f"which rows, of {','.join(WAYS)}")
    options = parser.parse_args()
    where = report.machine()
    bodies = corpus.bodies(options.lines, BODY_LINES)
    rows, wrong = [], []
    for way in options.only.split(","):
        load = WAYS[way](bodies)
        report.progress(load.name)
        figures = measure(load, options.lines, options.senders, options.settle)
        rows.append(row(load.name, figures, options.lines))
        if figures.stored != options.lines:
            wrong.append(f"{load.name}: {options.lines:,} lines were sent, {figures.stored:,} are stored.")
    title = f"Pipeline: {options.lines:,} lines, {options.senders} senders; CPU seconds for a million lines"
    print(report.table(title, where, HEAD, rows))
    print("\n".join(wrong) or "Every line is stored once.")
    return int(bool(wrong))


if __name__ == "__main__":
    run(main)
