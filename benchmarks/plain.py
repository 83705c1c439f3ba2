"""What reading a line of text costs, by its format, and what grouping and pipelines add to each line.

    python -m benchmarks.plain

Each figure is the fastest of many rounds, in one thread. Promised: at most 10 µs for a line of a usual format.
"""

from __future__ import annotations

import timeit
from collections import Counter
from collections.abc import Callable
from typing import Final

from benchmarks import report
from logs import plain
from logs.lines import Lines
from logs.multiline import Grouper
from logs.rules import Rule

ROUNDS, TIMES = 30, 200
TIME: Final = 1_795_257_045_000_000  # that of the lines
LABELS: Final = {"container": "web-1", "image": "shop:3", "host": "a"}
LINES: Final = {
    "words": "listening on port 8080",
    "a level": "INFO: listening on port 8080",
    "Python": "2026-11-21 10:30:45,123 - shop.orders - INFO - order 17 was paid",
    "Spring Boot": "2026-11-21T10:30:45.123Z  INFO 1 --- [shop] [           main] c.e.Orders    : order 17 was paid",
    "Logback": "2026-11-21 10:30:45.123 [main] INFO  com.example.Orders - order 17 was paid",
    "Rust": "2026-11-21T10:30:45.123456Z  INFO shop::orders: order 17 was paid",
    "Go": "2026/11/21 10:30:45 order 17 was paid",
    "klog": "I1121 10:30:45.123456       1 orders.go:116] order 17 was paid",
    "PostgreSQL": "2026-11-21 10:30:45.123 UTC [77] app@shop LOG:  duration: 1 ms",
    "Valkey": "1:M 21 Nov 2026 10:30:45.123 * Ready to accept connections",
    "nginx, access": '1.2.3.4 - - [21/Nov/2026:10:30:45 +0000] "GET /orders HTTP/1.1" 200 12 "-" "curl/8"',
    "JSON": '{"time":"2026-11-21T10:30:45.123Z","level":"info","msg":"order 17 was paid","order":17}',
    "logfmt": 'time=2026-11-21T10:30:45.123Z level=info msg="order 17 was paid" order=17',
}
RULES: Final = {
    "minimum level": Rule(minimum="debug"),
    "sampling": Rule(keep=99),
    "labels": Rule(labels={"team": "shop"}),
    "drop query": Rule(drop="healthz AND level:<=info"),
    "drop expression": Rule(drop_expression="^GET /(healthz|metrics)"),
    "extract": Rule(expression=r"order (?P<order>\d+)"),
}


def fastest(call: Callable[[], object], lines: int = 1) -> float:
    """µs for one line."""
    return min(timeit.repeat(call, number=TIMES, repeat=ROUNDS)) / TIMES / lines * 1e6


def read(line: str) -> float:
    return fastest(lambda: plain.read(line, TIME, timestamp=TIME, service="web", labels=LABELS))


def grouped() -> float:
    grouper: Grouper[int] = Grouper()
    return fastest(lambda: grouper.feed(LINES["Python"], TIME, 0))


def ruled(rule: Rule) -> float:
    lines = Lines.of([plain.read(f"order {number} was paid", TIME, service="web") for number in range(100)])
    return fastest(lambda: rule.run(lines, Counter()), len(lines))


def main() -> None:
    where = report.machine()
    rows = [(name, f"{read(line):.1f}") for name, line in LINES.items()]
    print(report.table("A line of text becomes a record, with three labels", where, ("format", "µs a line"), rows))
    steps = [("grouping", f"{grouped():.1f}"), *[(name, f"{ruled(rule):.2f}") for name, rule in RULES.items()]]
    print(report.table("What is added to each line", where, ("step", "µs a line"), steps))


if __name__ == "__main__":
    main()
