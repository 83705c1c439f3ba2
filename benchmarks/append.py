"""What it costs to store lines: from NDJSON to durable, in commits of 2,000 lines, on one core.

    python -m benchmarks.append --lines 500000 --rounds 5

The store on SQLite and on PostgreSQL, each beside the table with a row per line that one would write first
(`benchmarks.rows`). In each round all of them get the same lines, one after the other. The exit code is 1 if the lines
that are stored are not as many as were sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import corpus, product, report, rows, stores
from benchmarks.stores import BODY_LINES, Place, Site
from logs.store import codec

WARM_UP: Final = 10  # commits of a process that are not measured: modules, caches and memory are new to it


@dataclass
class Round:
    """What was stored, and of what was measured: lines, seconds, CPU seconds, and seconds of each append."""

    stored: int
    commits: int
    lines: int
    took: float
    cpu: float
    appends: list[float]
    server_cpu: float = 0.0


@dataclass
class Contestant:
    name: str
    site: Site
    place: Place
    run: Callable[[Place, Path, int], Round]
    rounds: list[Round] = field(default_factory=list)
    stored: int = 0
    bytes: int = 0
    settled_bytes: int | None = None  # after upkeep; a table has none

    @property
    def lines(self) -> int:
        return sum(each.stored for each in self.rounds)

    @property
    def speed(self) -> float:
        """Lines a second in the median round."""
        return median(self.speeds)

    @property
    def speeds(self) -> list[float]:
        return [each.lines / each.took for each in self.rounds]


# --- In a child ------------------------------------------------------------------------------------------------------


def into_store(place: Place, lines: Path, number: int, block_lines: int = codec.BLOCK_LINES) -> Round:
    """`number` bodies were stored before these."""
    with stores.opened(place, block_lines) as store:
        return _round(lines, number, stores.batch, store.append)


def into_rows(place: Place, lines: Path, number: int) -> Round:
    with rows.opened(place) as table:
        return _round(lines, number, lambda body, _: rows.parsed(body), table.append)


def _round(lines: Path, number: int, prepare: Callable[[bytes, int], Any], append: Callable[[Any], object]) -> Round:
    source = iter(lines.read_bytes().splitlines())
    bodies = []
    while body := b"\n".join(islice(source, BODY_LINES)):
        bodies.append(body)
    warm = min(WARM_UP, len(bodies) // 2)
    for place, body in enumerate(bodies[:warm], number):
        append(prepare(body, place))
    appends = []
    cpu, began = time.process_time(), time.perf_counter()
    for place, body in enumerate(bodies[warm:], number + warm):
        prepared = prepare(body, place)
        append_began = time.perf_counter()
        append(prepared)
        appends.append(time.perf_counter() - append_began)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Round(_lines(bodies), len(bodies), _lines(bodies[warm:]), took, cpu, appends)


def _lines(bodies: Sequence[bytes]) -> int:
    return sum(body.count(b"\n") + 1 for body in bodies)


def stored_in_store(place: Place) -> int:
    with stores.opened(place) as store:
        return store.stats()["lines"]


def stored_in_rows(place: Place) -> int:
    with rows.opened(place) as table:
        return table.count()


# --- The rounds ------------------------------------------------------------------------------------------------------


def measure(sites: Sequence[Site], directory: Path, lines: int, rounds: int) -> list[Contestant]:
    contestants = []
    for site in sites:
        contestants.append(Contestant(f"store on {site.database}", site, site.blocks, into_store))
        contestants.append(Contestant(f"rows on {site.database}", site, site.rows, into_rows))
    empty = {each.name: _made(each) for each in contestants}
    source, file = corpus.lines(lines), directory / "lines.ndjson"
    for number in range(rounds):
        report.progress(f"round {number + 1} of {rounds}")
        file.write_bytes(b"\n".join(islice(source, lines * (number + 1) // rounds - lines * number // rounds)))
        for each in contestants:
            server_cpu = each.site.server_cpu()
            appended = sum(before.commits for before in each.rounds)
            each.rounds.append(stores.in_child(each.run, each.place, file, appended))
            each.rounds[-1].server_cpu = each.site.server_cpu() - server_cpu
    for each in contestants:
        each.bytes = each.place.bytes - empty[each.name]
        if each.run is into_store:
            report.progress(f"upkeep: {each.name}")
            stores.in_child(stores.settle, each.place)
            each.settled_bytes = each.place.bytes - empty[each.name]
            each.stored = stores.in_child(stored_in_store, each.place)
        else:
            each.stored = stores.in_child(stored_in_rows, each.place)
    return contestants


def _made(contestant: Contestant) -> int:
    """Makes the tables; returns the bytes that PostgreSQL takes without a line. SQLite's file is nothing but ours."""
    stores.in_child(stored_in_store if contestant.run is into_store else stored_in_rows, contestant.place)
    return contestant.place.bytes if contestant.place.url else 0


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = (
    "what", "lines/s", "slowest", "fastest", "of rows", "CPU µs/line", "server's", "append ms p50", "p99", "max",
    "B/line", "after upkeep", "rows take",
)  # fmt: skip


def row(each: Contestant, rows: Contestant) -> list[report.Cell]:
    """`rows` is the table in the same database."""
    appends = [1_000 * append for one in each.rounds for append in one.appends]
    cpu, measured = sum(one.cpu for one in each.rounds), sum(one.lines for one in each.rounds)
    server_cpu = sum(one.server_cpu for one in each.rounds)
    settled = each.bytes if each.settled_bytes is None else each.settled_bytes
    return [
        each.name,
        round(each.speed),
        round(min(each.speeds)),
        round(max(each.speeds)),
        report.ratio(each.speed, rows.speed),
        1e6 * cpu / measured + 1e6 * server_cpu / each.lines,
        1e6 * server_cpu / each.lines if each.place.url else None,
        report.percentile(appends, 0.5),
        report.percentile(appends, 0.99),
        max(appends),
        each.bytes / each.lines,
        settled / each.lines if each.settled_bytes is not None else None,
        report.ratio(rows.bytes, settled),
    ]


def main() -> int:
    parser = stores.parser("Measures what it costs to store lines.", lines=500_000)
    parser.add_argument("--rounds", type=int, default=5, help="the lines are shared out to them")
    options = parser.parse_args()
    where = f"{report.machine()}\n{stores.pin()}"
    with stores.work_directory() as directory, ExitStack() as stack:
        names = stores.databases(options.database)
        sites = [stack.enter_context(stores.site(name, directory / name)) for name in names]
        contestants = measure(sites, directory, options.lines, options.rounds)
    of = {each.site.database: each for each in contestants if each.run is into_rows}
    title = f"Append: {options.lines:,} lines in commits of {BODY_LINES:,}, {options.rounds} rounds"
    print(report.table(title, where, HEAD, [row(each, of[each.site.database]) for each in contestants]))
    wrong = [each for each in contestants if each.stored != options.lines]
    for each in wrong:
        print(f"{each.name}: {options.lines:,} lines were sent, {each.stored:,} are stored.")
    if not wrong:
        print("Every line is stored once.")
    return int(bool(wrong))


if __name__ == "__main__":
    product.run(main)
