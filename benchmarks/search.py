"""How long a search takes: each kind of question, on one core, with a check that the answer is right.

    python -m benchmarks.search --lines 1000000 --keep ~/pharos-benchmark

The store on SQLite and on PostgreSQL, each beside the table with a row per line that one would write first
(`benchmarks.rows`). `--keep` keeps what was built, and takes it from there the next time. The exit code is 1 if an
answer is wrong, if the deletion of old lines leaves any or takes others, or if searching took more memory than
`--limit`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import corpus, product, report, rows, stores
from benchmarks.questions import LINES_MIN, Answer, Facts, TooSlowError, ask, facts, find_needle, parse, questions
from benchmarks.stores import BODY_LINES, Place, Site
from core import clock
from logs.query import Everything
from logs.store import BaseLogStore, codec
from logs.store.base import Position

PATIENCE: Final = 10.0  # seconds for one answer
LONG: Final = 3.0  # seconds for all repetitions of a question
REPEAT: Final = 50
ROWS_MAX: Final = 1_000_000  # lines in a table with a row per line
LIMIT_MB: Final = 200.0
DELETION: Final = "delete the oldest 20 %"


@dataclass
class Timing:
    """Seconds of each repetition; none if an answer took longer than PATIENCE."""

    times: list[float]
    right: bool
    cpu: float = math.nan  # seconds of this process' own, in the median repetition

    @property
    def p50(self) -> float:
        return report.percentile(self.times, 0.5)


@dataclass
class Result:
    """By question."""

    site: str
    warm: dict[str, Timing] = field(default_factory=dict)
    cold: dict[str, Timing] = field(default_factory=dict)
    rows: dict[str, Timing] = field(default_factory=dict)
    peak_mb: float = 0.0

    @property
    def wrong(self) -> Iterator[str]:
        asked = {"store": self.warm, "fresh process, store": self.cold, "rows": self.rows}
        for what, timings in asked.items():
            for name, timing in timings.items():
                if not timing.right:
                    yield f"{what} on {self.site}: the answer is wrong: {name}."


# --- In a child ------------------------------------------------------------------------------------------------------


def fill_store(place: Place, lines: int, block_lines: int = codec.BLOCK_LINES) -> None:
    with stores.opened(place, block_lines) as store:
        for number, body in enumerate(_bodies(lines)):
            store.append(stores.batch(body, number))
    stores.settle(place, block_lines)


def fill_rows(place: Place, lines: int) -> None:
    with rows.opened(place) as table:
        for body in _bodies(lines):
            table.append(rows.parsed(body))
        table.analyse()


def _bodies(lines: int) -> Iterator[bytes]:
    source, done, said_at = corpus.lines(lines), 0, time.monotonic()
    while some := list(islice(source, BODY_LINES)):
        yield b"\n".join(some)
        done += len(some)
        if time.monotonic() > said_at + 10:
            report.progress(f"{done:,} of {lines:,} lines")
            said_at = time.monotonic()


def needle_of(place: Place, known: Facts) -> Position:
    with stores.opened(place) as store:
        return find_needle(store, known)


def ask_store(
    place: Place, known: Facts, repeat: int, names: Iterable[str], block_lines: int = codec.BLOCK_LINES
) -> tuple[dict[str, Timing], float]:
    """Also the peak of this process' memory."""
    with stores.opened(place, block_lines) as store:
        asked = [questions()[name] for name in names]
        found = {
            each.name: timed(partial(ask, store, each, known, PATIENCE), known.answer(each), repeat) for each in asked
        }
    return found, stores.peak_mb()


def ask_store_first(place: Place, known: Facts, name: str) -> Timing:
    """The first question to a process that has not seen the store."""
    question = questions()[name]
    with stores.opened(place) as store:
        parse(question.query)
        return timed(partial(ask, store, question, known, PATIENCE), known.answer(question), repeat=0)


def ask_rows(place: Place, known: Facts, repeat: int) -> dict[str, Timing]:
    with rows.opened(place, PATIENCE) as table:
        asked = questions().values()
        return {each.name: timed(partial(table.ask, each, known), known.answer(each), repeat) for each in asked}


def timed(answer: Callable[[], Answer], right: Answer, repeat: int) -> Timing:
    """The first answer is looked at; its time counts if there is no other."""
    clocked: list[tuple[float, float]] = []
    is_right = True  # an answer that nobody waits for is not wrong
    try:
        first, said = _clocked(answer)
        is_right, until = said == right, time.monotonic() + LONG
        while len(clocked) < repeat and time.monotonic() < until:
            clocked.append(_clocked(answer)[0])
    except TooSlowError:
        return Timing([], is_right)
    times, cpu = zip(*clocked or [first], strict=True)
    return Timing(list(times), is_right, median(cpu))


def _clocked(answer: Callable[[], Answer]) -> tuple[tuple[float, float], Answer]:
    """Seconds and CPU seconds, and what was said."""
    cpu, began = time.process_time(), time.perf_counter()
    said = answer()
    return (time.perf_counter() - began, time.process_time() - cpu), said


def delete_from_store(place: Place, known: Facts) -> Timing:
    with stores.opened(place) as store:
        return delete(store, known)


def delete(store: BaseLogStore, known: Facts) -> Timing:
    """A store may keep lines for an hour longer, and must keep all that are younger."""
    began = time.perf_counter()
    deleted = store.delete_before(known.fifth)
    took = time.perf_counter() - began
    old, left = known.lines // 5, store.stats()["lines"]
    hour = sum(lines for (minute, _), lines in known.minutes["histogram"].items() if _in_last_hour(minute, known.fifth))
    start = known.fifth - known.fifth % clock.MINUTE + clock.MINUTE
    younger = sum(lines for (minute, _), lines in known.minutes["histogram"].items() if minute >= start)
    kept = sum(store.histogram(Everything(), start=start, end=known.end, step=clock.MINUTE).totals)
    right = old - hour <= deleted <= old and left == known.lines - deleted and kept == younger
    return Timing([took], right)


def _in_last_hour(minute: int, time: int) -> bool:
    return time - clock.HOUR - clock.MINUTE <= minute <= time


def delete_from_rows(place: Place, known: Facts) -> Timing:
    with rows.opened(place) as table:
        began = time.perf_counter()
        deleted = table.delete(known.fifth)
        took = time.perf_counter() - began
        return Timing([took], deleted == known.lines // 5 and table.count() == known.lines - deleted)


# --- One database ----------------------------------------------------------------------------------------------------


def build(site: Site, lines: int, row_lines: int) -> None:
    report.progress(f"{site.database}: {lines:,} lines into the store")
    stores.in_child(fill_store, site.blocks, lines)
    if row_lines:
        report.progress(f"{site.database}: {row_lines:,} rows")
        stores.in_child(fill_rows, site.rows, row_lines)


def measure(site: Site, known: Facts, known_rows: Facts | None, repeat: int, *, cold: bool) -> Result:
    result = Result(site.database)
    known.position = stores.in_child(needle_of, site.blocks, known)
    if cold:
        for name in questions():
            result.cold[name] = stores.in_child(ask_store_first, site.blocks, known, name)
    report.progress(f"{site.database}: store")
    result.warm, result.peak_mb = stores.in_child(ask_store, site.blocks, known, repeat, list(questions()))
    result.warm[DELETION] = stores.in_child(delete_from_store, site.blocks, known)
    if known_rows:
        report.progress(f"{site.database}: rows")
        result.rows = stores.in_child(ask_rows, site.rows, known_rows, repeat)
        result.rows[DELETION] = stores.in_child(delete_from_rows, site.rows, known_rows)
    return result


def run(
    database: str, work: Path, kept: Path | None, known: Facts, known_rows: Facts | None, repeat: int, cold: bool
) -> Result:
    """Builds, or takes what was kept; PostgreSQL starts anew between that and the questions."""
    if kept and kept.exists():
        stores.copy(kept, work)
    else:
        with stores.site(database, work) as site:
            build(site, known.lines, known_rows.lines if known_rows else 0)
        if kept:
            stores.copy(work, kept)
    with stores.site(database, work) as site:
        return measure(site, known, known_rows, repeat, cold=cold)


# --- The table -------------------------------------------------------------------------------------------------------


def head(results: Iterable[Result]) -> list[str]:
    found = ["ms"]
    for result in results:
        found += [f"{result.site} p50", "CPU", "p99", "cold", "rows p50", "rows/store"]
    return found


def row(name: str, results: Iterable[Result]) -> list[report.Cell]:
    """`rows/store` is how much longer the table with a row per line takes."""
    cells: list[report.Cell] = [name]
    for result in results:
        store, table = result.warm[name], result.rows.get(name)
        cells += [_ms(store, 0.5), 1_000 * store.cpu, _ms(store, 0.99), _ms(result.cold.get(name), 0.5)]
        cells += [_ms(table, 0.5), report.ratio(table.p50, store.p50) if table else None]
    return cells


def _ms(timing: Timing | None, share: float) -> report.Cell:
    if timing is None:
        return None
    return 1_000 * report.percentile(timing.times, share) if timing.times else f"> {PATIENCE:g} s"


def main() -> int:
    parser = stores.parser("Measures how long searches take.", lines=1_000_000)
    parser.add_argument("--repeat", type=int, default=REPEAT, help=f"of each question, within {LONG:g} s ({REPEAT})")
    parser.add_argument("--keep", type=Path, help="a directory for what was built, for the next time")
    parser.add_argument("--no-rows", action="store_true", help="the stores alone")
    parser.add_argument("--no-cold", action="store_true", help="without a fresh process for each question")
    parser.add_argument("--limit", type=float, default=LIMIT_MB, help="MB that the process that searches may have")
    options = parser.parse_args()
    if options.lines < LINES_MIN:
        parser.error(f"--lines: expected at least {LINES_MIN:,}, got {options.lines:,}")
    where = f"{report.machine()}\n{stores.pin()}"
    report.progress("the right answers")
    known, row_lines = facts(options.lines), min(options.lines, ROWS_MAX)
    known_rows = None if options.no_rows else known if row_lines == options.lines else facts(row_lines)
    results = []
    with stores.work_directory() as directory:
        for database in stores.databases(options.database):
            kept = options.keep and options.keep / f"{database}-{options.lines}"
            work = directory / database
            results.append(run(database, work, kept, known, known_rows, options.repeat, not options.no_cold))
    title = f"Search: {options.lines:,} lines" + ("" if options.no_rows else f", {row_lines:,} in the tables with rows")
    names = (*questions(), DELETION)
    print(report.table(title, where, head(results), [row(name, results) for name in names]))
    return judge(results, options.limit)


def judge(results: Iterable[Result], limit: float) -> int:
    """Says what was wrong; returns the exit code."""
    wrong = [sentence for result in results for sentence in result.wrong]
    for result in results:
        print(f"{result.site}: the process that searched had at most {result.peak_mb:.0f} MB.")
        if result.peak_mb > limit:
            wrong.append(f"{result.site}: more than {limit:g} MB.")
    print("\n".join(wrong) or "Every answer is right.")
    return int(bool(wrong))


if __name__ == "__main__":
    product.run(main)
