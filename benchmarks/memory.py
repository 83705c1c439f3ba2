"""Memory of everything that `manage.py up` starts, when it has nothing to do, and the time to the login page.

    python -m benchmarks.memory --idle 15

Promised: at most 450 MB (RSS, summed up over all processes). The exit code is 1 if a process is missing, or if the
sum is larger than `--limit`.
"""

from __future__ import annotations

import argparse
import time

from benchmarks import report
from benchmarks.product import NAMES, SUPERVISOR, Memory, Product, run

LIMIT_MB = 450.0


def measure(idle: float) -> tuple[dict[str, Memory], float, float]:
    """Memory by process, `idle` seconds after the first start; seconds to the login page, first and second start."""
    with Product() as product:
        first = product.start_took
        report.progress(f"started in {first:.1f} s, idle for {idle:g} s")
        time.sleep(idle)
        used = product.memory()
        product.stop()
        report.progress("second start")
        return used, first, product.start()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures idle memory and the time of a start.")
    parser.add_argument("--idle", type=float, default=15.0, help="seconds between the start and the measurement")
    parser.add_argument("--limit", type=float, default=LIMIT_MB, help="MB that all processes may have together")
    options = parser.parse_args()
    where = report.machine()
    used, first, second = measure(options.idle)
    total = Memory(sum(each.rss for each in used.values()), sum(each.pss for each in used.values()))
    rows = [(name, each.rss, each.pss) for name, each in [*used.items(), ("total", total)]]
    print(report.table(f"Memory, idle for {options.idle:g} s", where, ("process", "RSS MB", "PSS MB"), rows))
    print(f"Login page after {first:.1f} s at the first start, {second:.1f} s at the second.")
    missing = {SUPERVISOR, *NAMES} - set(used)
    if missing:
        print(f"Missing: {', '.join(sorted(missing))}.")
    if total.rss > options.limit:
        print(f"More than {options.limit:g} MB.")
    return int(bool(missing) or total.rss > options.limit)


if __name__ == "__main__":
    run(main)
