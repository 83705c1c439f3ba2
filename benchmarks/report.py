"""What a benchmark prints: where it ran, and one table."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

Cell = str | int | float | None


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def machine() -> str:
    """One line. The load average is that of the last minute: above 0 at the start, others were at work."""
    load = os.getloadavg()[0]
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{when} · {cores()} cores · {_cpu()} · Python {platform.python_version()} · load before {load:.1f}"


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return " ".join(names[0].split()) if names else platform.machine()


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile (0 < share ≤ 1); not a number without values."""
    if not values:
        return math.nan
    return sorted(values)[math.ceil(share * len(values)) - 1]


def ratio(value: float, base: float) -> str:
    """How many times `base` it is, in figures that tell something."""
    if not base or math.isnan(value / base):
        return "–"
    times = value / base
    return f"{times:,.0f} ×" if times >= 100 else f"{times:.1f} ×" if times >= 1 else f"{times:.2g} ×"


def table(title: str, where: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Text with aligned columns: the first to the left, numbers to the right."""
    cells = [list(head), *[[_shown(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
    rule = "-" * len(lines[0])
    return "\n".join(["", title, where, "", lines[0], rule, *[line.rstrip() for line in lines[1:]], ""])


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return "–"
        case float() if math.isnan(cell):
            return "–"
        case float():
            return f"{cell:,.1f}" if abs(cell) < 1_000 else f"{cell:,.0f}"
        case int():
            return f"{cell:,}"
    return cell


def progress(text: str) -> None:
    """To standard error, so that the table alone can be kept."""
    print(f"· {text}", file=sys.stderr, flush=True)
