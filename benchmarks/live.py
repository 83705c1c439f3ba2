"""From sending a line to its row in a browser, while other lines come in.

    python -m benchmarks.live --rate 1000 --viewers 0

A real Chromium shows the Logs page; a MutationObserver in it notes when the row of a marked line is in the document.
That time is compared with the sender's clock before it sent the line: same machine, same clock. Marked lines come
alternately by POST and by XADD, at random moments, once with a filter that the background lines match as well (a
frame has at most 200 rows: a marked line can be among the skipped ones) and once with one for the marked lines alone.
"not shown" are marked lines whose row had not come five seconds after the last of them was sent.

Promised: p99 below 250 ms. The exit code is 1 if a marked line was not stored exactly once, or if it never came to the
page for marked lines alone, and that page did not say that it left lines out.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
from playwright.sync_api import Page, expect, sync_playwright
from websockets.asyncio.client import connect

from benchmarks import corpus, report
from benchmarks.clients import HttpClient, StreamClient, http_request, xadd
from benchmarks.product import ADMIN, API_KEY, HOST, PASSWORD, Product, run
from tests.servers import NO_BROWSER, browser

CHROMIUM: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
MARK: Final = "benchmark-mark"
FILTERS: Final = {"all lines": "-service:pharos-*", "marked lines alone": f'"{MARK}"'}
POST, XADD = "POST", "XADD"
BATCHES: Final = 20  # background bodies a second
POOL: Final = 20_000  # different background lines
PAUSE: Final = (0.05, 0.15)  # seconds between two marked lines: out of step with the page's ten frames a second
WARM_UP: Final = 3.0
PATIENCE: Final = 5.0  # seconds for the last marked rows
OBSERVER: Final = """(mark) => {
    const seen = {}, pattern = new RegExp(mark + "-(\\\\w+)");
    window.benchmark = { seen, skipped: 0 };
    const look = (element) => {
        const found = element.matches(".row") && pattern.exec(element.textContent);
        if (found && !(found[1] in seen)) seen[found[1]] = performance.timeOrigin + performance.now();
        if (element.matches(".gap")) window.benchmark.skipped += Number(element.textContent.replace(/\\D/g, ""));
    };
    new MutationObserver((changes) => {
        for (const { addedNodes } of changes)
            for (const node of addedNodes)
                if (node.nodeType === 1) [node, ...node.querySelectorAll(".row, .gap")].forEach(look);
    }).observe(document.body, { childList: true, subtree: true });
}"""
CLOCK: Final = "performance.timeOrigin + performance.now()"


# --- The background, in a process of its own -------------------------------------------------------------------------


class Background(NamedTuple):
    """What it did: lines sent and refused, seconds; what each further viewer got."""

    sent: int
    refused: int
    seconds: float
    viewed: list[int]
    skipped: list[int]


class Frame(msgspec.Struct):
    records: list[msgspec.Raw]
    skipped: int = 0


def background(port: int, rate: int, viewers: int, stop: Event, result: Queue[Background]) -> None:
    """Sends `rate` lines a second and looks on with `viewers` WebSocket clients, until `stop`."""
    viewed, skipped = [0] * viewers, [0] * viewers
    looking_on = threading.Thread(target=lambda: asyncio.run(_view(port, stop, viewed, skipped)), daemon=True)
    looking_on.start()
    began = time.monotonic()
    sent, refused = _keep_sending(port, rate, stop)
    seconds = time.monotonic() - began
    looking_on.join(PATIENCE)
    result.put(Background(sent, refused, seconds, viewed, skipped))


def _keep_sending(port: int, rate: int, stop: Event) -> tuple[int, int]:
    pool = cycle(list(corpus.lines(POOL, seed=1)))
    sent = refused = 0
    began = time.monotonic()
    with HttpClient(port) as client:
        while rate and not stop.wait(max(0.0, began + (sent + refused) / rate - time.monotonic())):
            now = corpus.now()
            batch = [
                corpus.restamped(line, now + place) for place, line in enumerate(islice(pool, rate // BATCHES or 1))
            ]
            status, _ = client.post(http_request(b"\n".join(batch)))
            if status == 202:
                sent += len(batch)
            else:
                refused += len(batch)
    stop.wait()
    return sent, refused


async def _view(port: int, stop: Event, viewed: list[int], skipped: list[int]) -> None:
    watching = [asyncio.create_task(_watch(port, viewer, viewed, skipped)) for viewer in range(len(viewed))]
    await asyncio.to_thread(stop.wait)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)


async def _watch(port: int, viewer: int, viewed: list[int], skipped: list[int]) -> None:
    uri, headers = f"ws://{HOST}:{port}/ws/logs/?format=json", {"Authorization": f"Bearer {API_KEY}"}
    async with connect(uri, additional_headers=headers, max_size=None, compression=None) as socket:
        async for message in socket:
            frame = msgspec.json.decode(message, type=Frame)
            viewed[viewer] += len(frame.records)
            skipped[viewer] += frame.skipped


@contextmanager
def load(port: int, rate: int, viewers: int) -> Iterator[list[Background]]:
    """Yields a list that holds the result when it is over."""
    context = multiprocessing.get_context("spawn")
    stop, result = context.Event(), context.Queue()
    process = context.Process(target=background, args=(port, rate, viewers, stop, result), daemon=True)
    process.start()
    found: list[Background] = []
    try:
        yield found
    finally:
        stop.set()
        found.append(result.get(timeout=30))
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()


# --- The marked lines ------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """One filter's page: when (seconds since the epoch) marked lines were sent, by way and name, and when seen."""

    sent: dict[str, dict[str, float]] = field(default_factory=lambda: {POST: {}, XADD: {}})
    seen: dict[str, float] = field(default_factory=dict)
    said_skipped: int = 0  # lines that the page said it left out
    clock_off: float = 0.0  # the page's clock minus ours

    def delays(self, way: str) -> list[float]:
        """In milliseconds, of the rows that came."""
        return [(self.seen[name] - at) * 1_000 for name, at in self.sent[way].items() if name in self.seen]

    def missing(self, way: str) -> int:
        return sum(name not in self.seen for name in self.sent[way])


def watch(page: Page, product: Product, label: str, marked: int) -> Watched:
    page.goto(f"{product.address}/logs/?q={quote(FILTERS[label])}")
    page.evaluate(OBSERVER, MARK)
    expect(page.locator("#log-state")).to_contain_text("connected", timeout=20_000)
    time.sleep(WARM_UP)
    watched = Watched(clock_off=_clock_off(page))
    _send_marked(product, watched, "all" if label == "all lines" else "alone", marked)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        noted: dict[str, Any] = page.evaluate("window.benchmark")
        watched.seen = {name: at / 1_000 for name, at in noted["seen"].items()}
        watched.said_skipped = noted["skipped"]
        if not watched.missing(POST) + watched.missing(XADD):
            break
        time.sleep(0.2)
    return watched


def _clock_off(page: Page) -> float:
    before = time.time()
    there: float = page.evaluate(CLOCK)
    return there / 1_000 - (before + time.time()) / 2


def _send_marked(product: Product, watched: Watched, prefix: str, marked: int) -> None:
    random = Random(1)
    source = corpus.lines(2 * marked, seed=2)
    with HttpClient(product.port) as http, StreamClient(product.redis_port) as stream:
        for number, line in enumerate(source):
            way = (POST, XADD)[number % 2]
            name = f"{prefix}{way.lower()}{number}"
            line = corpus.marked(corpus.restamped(line, corpus.now()), f"{MARK}-{name}")
            request = http_request(line) if way == POST else xadd(b"payload", line)
            watched.sent[way][name] = time.time()
            if way == XADD:
                stream.add(request, 1)
            elif (answer := http.post(request))[0] != 202:
                raise SystemExit(f"A marked line was answered with {answer[0]}: {answer[1].decode()[:300]}")
            time.sleep(random.uniform(*PAUSE))


def _stored(product: Product) -> Counter[str]:
    """How often each marked line is in the store."""
    deadline = time.monotonic() + PATIENCE
    while product.waiting() != 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    words = (record["message"].split(" ", 1)[0] for record in product.records(FILTERS["marked lines alone"]))
    return Counter(word.removeprefix(f"{MARK}-") for word in words)


@contextmanager
def reader(product: Product, width: int = 1280, height: int = 800) -> Iterator[Page]:
    """A browser in which somebody has logged in."""
    path = browser()
    if path is None:
        raise SystemExit(NO_BROWSER)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM))
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.goto(f"{product.address}/login/")
        page.fill("[name=username]", ADMIN)
        page.fill("[name=password]", PASSWORD)
        page.click("#login-form [type=submit]")
        page.wait_for_function("!location.pathname.startsWith('/login')")
        yield page
        chromium.close()


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = ("the page shows", "sent by", "sent", "shown", "not shown", "p50 ms", "p90 ms", "p99 ms", "max ms")


def rows(found: Mapping[str, Watched]) -> list[list[report.Cell]]:
    return [_row(label, way, watched) for label, watched in found.items() for way in watched.sent]


def _row(label: str, way: str, watched: Watched) -> list[report.Cell]:
    delays = watched.delays(way)
    times = [report.percentile(delays, share) for share in (0.5, 0.9, 0.99, 1.0)]
    return [label, way, len(watched.sent[way]), len(delays), watched.missing(way), *times]


def wrong(found: Mapping[str, Watched], stored: Mapping[str, int]) -> list[str]:
    """What broke a promise, in sentences."""
    sent = [name for watched in found.values() for names in watched.sent.values() for name in names]
    said = [f"{name} is stored {stored.get(name, 0)} times." for name in sent if stored.get(name, 0) != 1]
    alone = found["marked lines alone"]
    missing = alone.missing(POST) + alone.missing(XADD)
    if missing and not alone.said_skipped:
        said.append(f"{missing} lines never came to the page for marked lines alone, and it said nothing of it.")
    return said


class Measured(NamedTuple):
    pages: dict[str, Watched]  # by filter
    stored: Counter[str]  # how often, by marked line
    done: Background
    cores: dict[str, float]  # that each process used


def measure(rate: int, viewers: int, marked: int) -> Measured:
    with Product() as product:
        found: dict[str, Watched] = {}
        with reader(product) as page, load(product.port, rate, viewers) as done:
            time.sleep(WARM_UP)
            cpu, began = product.cpu(), time.monotonic()
            for label in FILTERS:
                report.progress(f"the page shows {label}")
                found[label] = watch(page, product, label, marked)
            seconds = time.monotonic() - began
            cores = {name: (used - cpu.get(name, 0.0)) / seconds for name, used in product.cpu().items()}
        return Measured(found, _stored(product), done[0], cores)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the time from sending a line to its row in a browser.")
    parser.add_argument("--rate", type=int, default=1_000, help="background lines a second")
    parser.add_argument("--viewers", type=int, default=0, help="further viewers, as WebSocket clients")
    parser.add_argument("--marked", type=int, default=100, help="marked lines for each row of the table")
    options = parser.parse_args()
    where = report.machine()
    found, stored, done, cores = measure(options.rate, options.viewers, options.marked)
    title = f"Live: {options.rate:,} background lines/s, {options.viewers} further viewers"
    print(report.table(title, where, HEAD, rows(found)))
    print(f"Background: {done.sent / done.seconds:,.0f} lines/s sent, {done.refused:,} lines refused.")
    if done.viewed:
        left_out = sum(done.skipped) / max(sum(done.viewed) + sum(done.skipped), 1)
        fewest = min(done.viewed[viewer] + done.skipped[viewer] for viewer in range(options.viewers))
        print(f"Further viewers: {fewest:,} lines or more told of to each, {left_out:.1%} of them as skipped.")
    said = ", ".join(f"{watched.said_skipped:,} ({label})" for label, watched in found.items())
    print(f"Lines that the page said it left out: {said}.")
    print("Cores used: " + ", ".join(f"{name} {used:.2f}" for name, used in cores.items()) + ".")
    print(f"Clock of the page minus clock of the sender: {found['all lines'].clock_off * 1_000:+.1f} ms.")
    said_wrong = wrong(found, stored)
    print("\n".join(said_wrong) or "Every marked line is stored once.")
    return int(bool(said_wrong))


if __name__ == "__main__":
    run(main)
