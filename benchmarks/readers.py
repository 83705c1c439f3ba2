"""Readers beside a writer beside upkeep: how long appends and searches take when all of them go on at once.

    python -m benchmarks.readers --seconds 30 --rate 5000

20 readers (4 processes of 5 threads, as a web server has them) ask for the newest 100 lines every half second; one
process appends small commits at a steady rate; one merges every second. Promised: an append p99 ≤ 50 ms, the newest 100
p99 ≤ 20 ms. The exit code is 1 if a line is missing in the end, or if a reader got a wrong page.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from typing import Final

from django.db import connections

from benchmarks import corpus, product, report, stores
from benchmarks.questions import PAGE
from benchmarks.search import fill_store
from benchmarks.stores import BODY_LINES, Place
from logs.query import Everything
from logs.records import LogRecord
from logs.store import BaseLogStore

BUDGET: Final = 1.0  # seconds of upkeep, each second
START_TIMEOUT: Final = 120.0


@dataclass(frozen=True)
class Span:
    """Seconds of the clock that all processes share."""

    began: float
    ended: float

    @property
    def took(self) -> float:
        return self.ended - self.began

    def meets(self, others: Iterable[Span]) -> bool:
        return any(self.began < other.ended and other.began < self.ended for other in others)


@dataclass(frozen=True)
class Load:
    seconds: float
    rate: int  # lines a second
    commit_lines: int
    processes: int
    threads: int  # of each
    every: float  # seconds between two searches of a reader


@dataclass
class Outcome:
    before: int  # lines in the store
    appended: int = 0
    stored: int = 0
    appends: list[Span] = field(default_factory=list)
    searches: list[Span] = field(default_factory=list)
    upkeep: list[Span] = field(default_factory=list)
    blocks: int = 0  # that upkeep wrote
    wrong: list[str] = field(default_factory=list)  # pages

    @property
    def lost(self) -> int:
        return self.before + self.appended - self.stored


# --- In children -----------------------------------------------------------------------------------------------------


def write(place: Place, load: Load, before: int, ready: threading.Barrier) -> tuple[int, list[Span]]:
    """Appends what comes in the corpus after the first `before` lines; returns how many lines, too."""
    count = round(load.rate * load.seconds)
    source = islice(corpus.lines(before + count), before, None)
    bodies = []
    while body := b"\n".join(islice(source, load.commit_lines)):
        bodies.append(body)
    first = before // BODY_LINES + 1
    appended, spans = 0, []
    with stores.opened(place) as store:
        ready.wait(START_TIMEOUT)
        for number in ticks(load.commit_lines / load.rate, load.seconds):
            batch = stores.batch(bodies[number], first + number)
            began = time.monotonic()
            store.append(batch)
            spans.append(Span(began, time.monotonic()))
            appended += bodies[number].count(b"\n") + 1
    return appended, spans


def read(place: Place, load: Load, ready: threading.Barrier) -> tuple[list[Span], list[str]]:
    with stores.opened(place) as store, ThreadPoolExecutor(load.threads) as pool:
        ready.wait(START_TIMEOUT)
        readers = [pool.submit(_read, store, load) for _ in range(load.threads)]
        found = [reader.result() for reader in readers]
    return [span for spans, _ in found for span in spans], [each for _, wrong in found for each in wrong]


def _read(store: BaseLogStore, load: Load) -> tuple[list[Span], list[str]]:
    spans, wrong, newest = [], [], (0, 0)
    time.sleep(random.random() * load.every)
    for _ in ticks(load.every, load.seconds - load.every):
        began = time.monotonic()
        records = store.search(Everything(), limit=PAGE).records
        spans.append(Span(began, time.monotonic()))
        if problem := wrong_page(records, newest):
            wrong.append(problem)
        newest = records[0].position if records else newest
    connections.close_all()
    return spans, wrong


def wrong_page(records: Sequence[LogRecord], newest: tuple[int, int]) -> str:
    """What is wrong with the newest lines, for a reader who has seen `newest` before; "" if nothing is."""
    positions = [record.position for record in records]
    if len(positions) != PAGE:
        return f"expected {PAGE} lines, got {len(positions)}"
    if positions != sorted(set(positions), reverse=True):
        return "lines are not in order, or there twice"
    return "the newest line has gone" if positions[0] < newest else ""


def maintain(place: Place, load: Load, ready: threading.Barrier) -> tuple[int, list[Span]]:
    os.nice(4)
    blocks, spans = 0, []
    with stores.opened(place) as store:
        ready.wait(START_TIMEOUT)
        for _ in ticks(1.0, load.seconds):
            began = time.monotonic()
            blocks += store.maintain(BUDGET)
            spans.append(Span(began, time.monotonic()))
    return blocks, spans


def ticks(every: float, seconds: float) -> Iterator[int]:
    """0, 1, … at a steady rate. Who is late catches up, for as long again at most."""
    began = time.monotonic()
    for number in range(round(seconds / every)):
        now = time.monotonic()
        if now > began + 2 * seconds:
            return
        time.sleep(max(0.0, began + number * every - now))
        yield number


def stored(place: Place) -> int:
    with stores.opened(place) as store:
        return store.stats()["lines"]


# --- All at once -----------------------------------------------------------------------------------------------------


def measure(place: Place, lines: int, load: Load) -> Outcome:
    report.progress(f"{lines:,} lines to begin with")
    stores.in_child(fill_store, place, lines)
    outcome = Outcome(lines)
    report.progress(f"all at once, for {load.seconds:g} s")
    processes = load.processes + 2
    with get_context("spawn").Manager() as manager, ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        ready = manager.Barrier(processes)
        writing = pool.submit(write, place, load, lines, ready)
        merging = pool.submit(maintain, place, load, ready)
        reading = [pool.submit(read, place, load, ready) for _ in range(load.processes)]
        outcome.appended, outcome.appends = writing.result()
        outcome.blocks, outcome.upkeep = merging.result()
        for each in reading:
            spans, wrong = each.result()
            outcome.searches += spans
            outcome.wrong += wrong
    outcome.stored = stores.in_child(stored, place)
    return outcome


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = ("ms", "times", "p50", "p99", "max")


def rows(database: str, outcome: Outcome) -> list[list[report.Cell]]:
    beside = [span for span in outcome.appends if span.meets(outcome.upkeep)]
    alone = [span for span in outcome.appends if not span.meets(outcome.upkeep)]
    named = {
        "append": outcome.appends,
        "append while upkeep is at work": beside,
        "append while it is not": alone,
        "newest 100": outcome.searches,
        "upkeep": outcome.upkeep,
    }
    return [[f"{database}: {name}", *_figures(spans)] for name, spans in named.items()]


def _figures(spans: Sequence[Span]) -> list[report.Cell]:
    times = [1_000 * span.took for span in spans]
    return [len(times), *(report.percentile(times, share) for share in (0.5, 0.99, 1.0))]


def judge(database: str, outcome: Outcome, load: Load) -> list[str]:
    """Says how it went; returns what is wrong."""
    took = outcome.appends[-1].ended - outcome.appends[0].began
    waited = max((span.took for span in outcome.appends if span.meets(outcome.upkeep)), default=0.0)
    print(
        f"{database}: {outcome.appended / took:,.0f} lines/s, {len(outcome.searches) / load.seconds:.0f} searches/s; "
        f"upkeep wrote {outcome.blocks:,} blocks; no append beside it took longer than {1_000 * waited:.0f} ms."
    )
    wrong = [f"{database}: {each}" for each in sorted(set(outcome.wrong))]
    if outcome.lost:
        wrong.append(f"{database}: {outcome.lost:,} lines are missing.")
    return wrong


def main() -> int:
    parser = stores.parser("Measures appends and searches beside each other.", lines=200_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=5_000, help="lines a second that are appended")
    parser.add_argument("--commit-lines", type=int, default=100, help="of one append")
    parser.add_argument("--processes", type=int, default=4, help="with readers")
    parser.add_argument("--threads", type=int, default=5, help="readers in each")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two searches of a reader")
    options = parser.parse_args()
    load = Load(options.seconds, options.rate, options.commit_lines, options.processes, options.threads, options.every)
    where, outcomes = report.machine(), {}
    with stores.work_directory() as directory:
        for database in stores.databases(options.database):
            with stores.site(database, directory / database) as site:
                outcomes[database] = measure(site.blocks, options.lines, load)
    readers = f"{load.processes} × {load.threads} readers, each every {load.every:g} s"
    title = f"{readers}, beside {load.rate:,} lines/s in commits of {load.commit_lines:,}, and upkeep each second"
    print(report.table(title, where, HEAD, [row for each in outcomes.items() for row in rows(*each)]))
    wrong = [sentence for database, outcome in outcomes.items() for sentence in judge(database, outcome, load)]
    print("\n".join(wrong) or "Every page was right, and every line is stored once.")
    return int(bool(wrong))


if __name__ == "__main__":
    product.run(main)
