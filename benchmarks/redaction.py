"""What redaction costs: µs of CPU for a line, in batches of 1,000, on the corpus and where some have secrets.

    python -m benchmarks.redaction --lines 100000 --rounds 7

The lines are parsed before the clock runs. The exit code is 1 if the clean corpus costs more than 1.5 µs a line, if a
line of it is changed, or if a secret is left.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from statistics import median
from typing import Final

from benchmarks import corpus, product, report, stores

PROMISED: Final = 1.5  # µs a line
BATCH: Final = 1_000
SECRET: Final = "hunter2-5f9e"
KINDS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda line: line.replace(b'"message":"', b'"message":"password=%s ' % SECRET.encode(), 1),
    lambda line: line.replace(b'"metadata":{', b'"metadata":{"userToken":"%s",' % SECRET.encode(), 1),
    lambda line: line.replace(b'"message":"', b'"message":"card 4111 1111 1111 1111 declined, ', 1),
    lambda line: line.replace(b'"message":"', b'"message":"GET /x?token=%s&page=2 ' % SECRET.encode(), 1),
    lambda line: line.replace(b'"metadata":{', b'"metadata":{"h":{"Authorization":"Bearer %s"},' % SECRET.encode(), 1),
)
LEFT: Final = (SECRET, "4111 1111")


def sown(lines: Iterator[bytes], share: float) -> Iterator[bytes]:
    """The lines, some of them with a secret."""
    random = Random(corpus.SEED)
    for number, line in enumerate(lines):
        yield KINDS[number % len(KINDS)](line) if random.random() < share else line


def measure(name: str, body: Sequence[bytes], rounds: int, own: str = "") -> tuple[list[report.Cell], int, int]:
    """A row of the table, how many lines were changed, and how many still have a secret."""
    from logs.redaction import DEFAULTS, PATTERN, Redactor, Rule
    from logs.sources import json_lines

    redactor = Redactor([*DEFAULTS, Rule(PATTERN, own)] if own else DEFAULTS)
    batches = [
        json_lines.parse(b"\n".join(body[begin : begin + BATCH]), corpus.now()).records
        for begin in range(0, len(body), BATCH)
    ]
    times = []
    for _ in range(rounds):
        began = time.process_time()
        found = [redactor.redact(batch) for batch in batches]
        times.append(1e6 * (time.process_time() - began) / len(body))
    changed = sum(len(each.places) for each in found)
    texts = [f"{line.message} {line.metadata.decode()}" for each in found for line in each.lines]
    left = sum(any(secret in text for secret in LEFT) for text in texts)
    return [name, median(times), min(times), max(times), changed, left], changed, left


HEAD: Final = ("lines", "CPU µs/line", "fastest", "slowest", "lines changed", "secrets left")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures what redaction costs.")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    where = f"{report.machine()}\n{stores.pin()}"
    clean = list(corpus.lines(options.lines))
    row, changed, _ = measure("the corpus", clean, options.rounds)
    rows, wrong, cost = [row], changed, row[1]
    for share in (0.01, 0.1):
        row, _, left = measure(f"{share:.0%} with secrets", list(sown(iter(clean), share)), options.rounds)
        rows.append(row)
        wrong += left
    rows.append(measure("the corpus, one own pattern", clean, options.rounds, r"customer-\d{6}")[0])
    print(report.table(f"Redaction: {options.lines:,} lines in batches of {BATCH:,}", where, HEAD, rows))
    if wrong:
        print(f"Of the corpus {changed:,} lines were changed; {wrong - changed:,} secrets are left.")
    is_slow = isinstance(cost, float) and cost > PROMISED
    print(f"Promised: at most {PROMISED} µs a line of the corpus. {'It takes more.' if is_slow else 'Kept.'}")
    return int(bool(wrong) or is_slow)


if __name__ == "__main__":
    product.run(main)
