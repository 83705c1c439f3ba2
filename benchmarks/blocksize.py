"""How many lines a block should have: what 1,024 to 8,192 of them cost to store, take on disk and take to search.

    python -m benchmarks.blocksize --lines 500000

For each size a store is filled, merged and asked, on one core. The exit code is 1 if an answer is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from benchmarks import corpus, product, report, stores
from benchmarks.append import Round, into_store
from benchmarks.questions import LINES_MIN, Facts, facts
from benchmarks.search import REPEAT, Timing, ask_store, needle_of
from benchmarks.stores import Place

SIZES: Final = (1_024, 2_048, 4_096, 8_192)
ASKED: Final = (
    "newest 100", "page in the middle", "error + billing", "fatal + scheduler", "word once", "word absent",
    "request id", "metadata, rare value", "infix once", "infix absent", "histogram", "histogram of a word",
)  # fmt: skip


@dataclass
class Outcome:
    appended: Round
    upkeep: float  # seconds
    blocks: int
    bytes: int
    timings: dict[str, Timing]


def measure(place: Place, known: Facts, lines: Path, block_lines: int, repeat: int) -> Outcome:
    appended = stores.in_child(into_store, place, lines, 0, block_lines)
    upkeep = stores.in_child(stores.settle, place, block_lines)
    taken, blocks = place.bytes, stores.in_child(count_blocks, place)
    known.position = stores.in_child(needle_of, place, known)
    timings, _ = stores.in_child(ask_store, place, known, repeat, ASKED, block_lines)
    return Outcome(appended, upkeep, blocks, taken, timings)


def count_blocks(place: Place) -> int:
    with stores.opened(place) as store:
        return store.stats()["blocks"]


def _append(done: Round) -> tuple[report.Cell, report.Cell]:
    return round(done.lines / done.took), 1e6 * done.cpu / done.lines


def table_rows(outcomes: Sequence[Outcome], lines: int) -> list[list[report.Cell]]:
    """Two columns for each size: the figure, and the CPU time that belongs to it."""
    figures: dict[str, Callable[[Outcome], tuple[report.Cell, report.Cell]]] = {
        "lines in a block": lambda outcome: (lines / outcome.blocks, None),
        "append, lines/s": lambda outcome: _append(outcome.appended),
        "upkeep, µs/line": lambda outcome: (1e6 * outcome.upkeep / lines, None),
        "B/line": lambda outcome: (outcome.bytes / lines, None),
    }
    found = [[name, *chain.from_iterable(map(figure, outcomes))] for name, figure in figures.items()]
    for name in ASKED:
        timings = [outcome.timings[name] for outcome in outcomes]
        found.append([f"{name}, p50 ms", *chain(*((1_000 * each.p50, 1_000 * each.cpu) for each in timings))])
    return found


def main() -> int:
    parser = stores.parser("Compares sizes of blocks.", lines=500_000)
    parser.set_defaults(database=stores.SQLITE)
    parser.add_argument("--repeat", type=int, default=REPEAT, help=f"of each question ({REPEAT})")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="lines in a block, at most")
    options = parser.parse_args()
    if options.lines < LINES_MIN:
        parser.error(f"--lines: expected at least {LINES_MIN:,}, got {options.lines:,}")
    where, wrong = f"{report.machine()}\n{stores.pin()}", []
    known, sizes = facts(options.lines), [int(size) for size in options.sizes.split(",")]
    for database in stores.databases(options.database):
        outcomes: dict[int, Outcome] = {}
        with stores.work_directory() as directory:
            lines = directory / "lines.ndjson"
            lines.write_bytes(b"\n".join(corpus.lines(options.lines)))
            for size in sizes:
                report.progress(f"{database}: blocks of {size:,} lines")
                with stores.site(database, directory / f"{database}-{size}") as site:
                    outcomes[size] = measure(site.blocks, known, lines, size, options.repeat)
        title = f"Size of a block on {database}: {options.lines:,} lines"
        head = ("at most", *chain(*((f"{size:,}", "CPU") for size in sizes)))
        print(report.table(title, where, head, table_rows([*outcomes.values()], options.lines)))
        wrong += [
            f"{database}, blocks of {size:,}: the answer is wrong: {name}."
            for size, outcome in outcomes.items()
            for name, timing in outcome.timings.items()
            if not timing.right
        ]
    print("\n".join(wrong) or "Every answer is right.")
    return int(bool(wrong))


if __name__ == "__main__":
    product.run(main)
